"""The fields that the owner's documents name, and the rules that the database holds."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, connection, models
from django.utils import timezone

from integrations.constants import (
    SYNC_STATUS_CHOICES,
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_PENDING,
    SYNC_STATUS_SYNCING,
    RunKind,
    RunTrigger,
    TeamRole,
)
from integrations.models import (
    CredentialUnreadable,
    GitHubIntegration,
    IntegrationCredential,
    Membership,
    SyncRun,
    Team,
    TeamMember,
    TrackedRepository,
    User,
)
from integrations.models.accounts import SLUG_LENGTH
from tests.factories import (
    GitHubIntegrationFactory,
    IntegrationCredentialFactory,
    TeamFactory,
    TeamMemberFactory,
    TrackedRepositoryFactory,
    UserFactory,
)

if TYPE_CHECKING:
    from pytest_django import Settings

pytestmark = pytest.mark.django_db

NEW_KEY = base64.urlsafe_b64encode(b"new-key-new-key-new-key-new-key!").decode()


class TestMemberSyncFields:
    def test_it_starts_as_pending_with_nothing_beside(self) -> None:
        integration = GitHubIntegration.objects.create(team=TeamFactory())
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_PENDING
        assert integration.member_sync_started_at is None
        assert integration.member_sync_completed_at is None
        assert integration.member_sync_error == ""
        assert integration.member_sync_result is None

    def test_its_status_has_four_choices(self) -> None:
        field = GitHubIntegration._meta.get_field("member_sync_status")
        assert isinstance(field, models.CharField)
        assert list(field.choices or []) == list(SYNC_STATUS_CHOICES)
        assert [value for value, _ in SYNC_STATUS_CHOICES] == [
            SYNC_STATUS_PENDING,
            SYNC_STATUS_SYNCING,
            SYNC_STATUS_COMPLETE,
            SYNC_STATUS_ERROR,
        ]

    def test_it_keeps_counts_as_they_were_given(self) -> None:
        counts = {"created": 3, "updated": 1, "unchanged": 0, "departed": 2, "failed": 0}
        integration = GitHubIntegrationFactory(member_sync_result=counts)
        integration.refresh_from_db()
        assert integration.member_sync_result == counts

    def test_they_are_separate_from_a_repository_s(self) -> None:
        repository = TrackedRepositoryFactory()
        repository.integration.member_sync_status = SYNC_STATUS_ERROR
        repository.integration.save(update_fields=["member_sync_status"])
        repository.refresh_from_db()
        assert repository.sync_status == SYNC_STATUS_PENDING
        assert repository.sync_started_at is None

    def test_the_migration_made_their_columns(self) -> None:
        with connection.cursor() as cursor:
            table = GitHubIntegration._meta.db_table
            columns = connection.introspection.get_table_description(cursor, table)
        assert {
            "member_sync_status",
            "member_sync_started_at",
            "member_sync_completed_at",
            "member_sync_error",
            "member_sync_result",
        } <= {column.name for column in columns}


class TestUser:
    def test_it_signs_in_by_e_mail_in_lower_case(self) -> None:
        user = User.objects.create_user("Alice@Example.COM", "pw")
        assert user.email == "alice@example.com"
        assert user.check_password("pw")
        assert str(user) == "alice@example.com"

    def test_it_needs_an_e_mail_address(self) -> None:
        with pytest.raises(ValueError, match="e-mail"):
            User.objects.create_user("")

    def test_a_superuser_is_staff(self) -> None:
        user = User.objects.create_superuser("root@example.com", "pw")
        assert user.is_staff
        assert user.is_superuser

    def test_it_is_called_by_name_or_by_the_front_of_its_address(self) -> None:
        assert UserFactory(email="ada@example.com", first_name="").display_name == "ada"
        assert UserFactory(first_name="Ada", last_name="Byron").display_name == "Ada Byron"


class TestTeam:
    def test_whoever_makes_it_is_its_admin(self) -> None:
        user = UserFactory()
        team = Team.objects.create_for(user, name="Platform & Tools")
        assert team.slug == "platform-tools"
        assert Membership.objects.get(team=team).role == TeamRole.ADMIN
        assert Membership.objects.get(team=team).is_admin

    def test_two_of_one_name_get_two_slugs(self) -> None:
        user = UserFactory()
        first = Team.objects.create_for(user, name="Core")
        second = Team.objects.create_for(user, name="Core")
        assert first.slug == "core"
        assert second.slug.startswith("core-")

    @pytest.mark.parametrize("name", ["日本語", "!!!", "x" * 100])
    def test_any_name_makes_a_slug(self, name: str) -> None:
        team = Team.objects.create_for(UserFactory(), name=name)
        assert 0 < len(team.slug) <= SLUG_LENGTH

    def test_it_shows_a_person_only_their_own(self) -> None:
        user, team = UserFactory(), TeamFactory()
        own = Team.objects.create_for(user, name="Own")
        assert list(Team.objects.for_user(user)) == [own]
        assert team not in Team.objects.for_user(user)

    def test_a_person_is_in_it_once(self) -> None:
        user = UserFactory()
        team = Team.objects.create_for(user, name="Core")
        with pytest.raises(IntegrityError):
            Membership.objects.create(team=team, user=user)


class TestIntegrationCredential:
    def test_the_token_is_not_in_the_row(self) -> None:
        credential = IntegrationCredentialFactory(access_token="gho_planted")
        row = IntegrationCredential.objects.filter(pk=credential.pk).values().get()
        assert "gho_planted" not in repr(row)
        credential.refresh_from_db()
        assert credential.access_token == "gho_planted"

    def test_a_retired_key_still_reads(self, settings: Settings) -> None:
        credential = IntegrationCredentialFactory(access_token="gho_planted")
        old_keys = settings.FIELD_ENCRYPTION_KEYS
        settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY, *old_keys]
        assert credential.access_token == "gho_planted"

    def test_no_fitting_key_is_an_error_of_its_own(self, settings: Settings) -> None:
        credential = IntegrationCredentialFactory(access_token="gho_planted")
        settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY]
        with pytest.raises(CredentialUnreadable):
            _ = credential.access_token

    def test_its_name_shows_whose_it_is_and_no_token(self) -> None:
        credential = IntegrationCredentialFactory(access_token="gho_planted")
        assert credential.github_username in str(credential)
        assert "gho_planted" not in str(credential)

    @pytest.mark.parametrize(
        ("scopes", "reads"),
        [("read:org", False), ("read:org user:email", True), ("read:user", True), ("", True)],
    )
    def test_it_knows_whether_e_mail_may_be_asked_for(self, *, scopes: str, reads: bool) -> None:
        assert IntegrationCredentialFactory.build(scopes=scopes).reads_email is reads


class TestTeamMember:
    def test_one_row_a_person_and_team(self) -> None:
        member = TeamMemberFactory()
        with pytest.raises(IntegrityError):
            TeamMemberFactory(team=member.team, github_id=member.github_id)

    def test_two_people_may_carry_one_login(self) -> None:
        member = TeamMemberFactory()
        other = TeamMemberFactory(team=member.team, github_username=member.github_username)
        assert TeamMember.objects.filter(github_username=other.github_username).count() == 2

    @pytest.mark.parametrize("text", ["Zoë", "zoe-k", "@zoe-k", "ZOE@EXAMPLE"])
    def test_it_is_found_by_name_login_and_e_mail(self, text: str) -> None:
        member = TeamMemberFactory(
            name="Zoë Kravitz", github_username="zoe-k", email="zoe@example.com"
        )
        TeamMemberFactory(team=member.team, name="Bob", github_username="bob", email="")
        assert list(member.team.members.matching(text)) == [member]


class TestSyncRun:
    def _run(self, integration: GitHubIntegration, **fields: object) -> SyncRun:
        defaults = {"kind": RunKind.MEMBERS, "trigger": RunTrigger.MANUAL}
        return SyncRun.objects.create(integration=integration, **defaults | fields)

    def test_one_member_run_at_a_time(self) -> None:
        integration = GitHubIntegrationFactory()
        self._run(integration)
        with pytest.raises(IntegrityError):
            self._run(integration, status=SYNC_STATUS_SYNCING)

    def test_an_ended_run_makes_room(self) -> None:
        integration = GitHubIntegrationFactory()
        self._run(integration, status=SYNC_STATUS_COMPLETE)
        self._run(integration, status=SYNC_STATUS_ERROR)
        assert self._run(integration).is_active

    def test_members_and_repositories_run_side_by_side(self) -> None:
        repository = TrackedRepositoryFactory()
        other = TrackedRepositoryFactory(integration=repository.integration)
        self._run(repository.integration)
        for each in (repository, other):
            self._run(repository.integration, kind=RunKind.REPOSITORY, repository=each)
        assert SyncRun.objects.active().count() == 3

    def test_one_run_a_repository_at_a_time(self) -> None:
        repository = TrackedRepositoryFactory()
        self._run(repository.integration, kind=RunKind.REPOSITORY, repository=repository)
        with pytest.raises(IntegrityError):
            self._run(repository.integration, kind=RunKind.REPOSITORY, repository=repository)

    def test_a_repository_run_names_its_repository(self) -> None:
        with pytest.raises(IntegrityError):
            self._run(GitHubIntegrationFactory(), kind=RunKind.REPOSITORY)

    def test_a_lease_has_a_token_and_an_end(self) -> None:
        with pytest.raises(IntegrityError):
            self._run(GitHubIntegrationFactory(), lease_expires_at=timezone.now())


class TestTrackedRepository:
    def test_its_sync_has_fields_of_its_own(self) -> None:
        repository = TrackedRepositoryFactory()
        repository.refresh_from_db()
        assert repository.sync_status == SYNC_STATUS_PENDING
        assert repository.sync_started_at is None
        assert repository.sync_completed_at is None
        assert repository.sync_error == ""

    def test_it_is_found_by_its_name(self) -> None:
        repository = TrackedRepositoryFactory(full_name="acme/rocket-skates", is_tracked=True)
        other = TrackedRepositoryFactory(integration=repository.integration, full_name="acme/anvil")
        found = TrackedRepository.objects.filter(integration=repository.integration)
        assert list(found.matching("ROCKET")) == [repository]
        assert list(found.tracked()) == [repository]
        assert set(found.matching("")) == {repository, other}
