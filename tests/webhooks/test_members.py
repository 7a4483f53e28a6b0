"""What deliveries about members do to a roster, and to whose."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from integrations.constants import SYNC_STATUS_ERROR, DeactivatedBy, MemberChangeKind
from integrations.models import (
    GitHubIntegration,
    HeldDeparture,
    IntegrationCredential,
    MemberChange,
    SyncRun,
    TeamMember,
    WebhookDelivery,
)
from integrations.services import departures, transitions
from integrations.services.switching import switch_member
from tests.factories import GitHubIntegrationFactory, TeamMemberFactory
from tests.syncing import connect, roster, start, sync, work_on
from tests.webhook_deliveries import membership_payload, person, post, work

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import User
    from tests.sandbox_control import SandboxControl

pytestmark = pytest.mark.django_db(transaction=True)


class TestMembers:
    def hear(
        self, client: Client, integration: GitHubIntegration, action: str, *, number: int = 7,
        **facts: Any,
    ) -> WebhookDelivery:  # fmt: skip
        at, role = facts.pop("at", None), facts.pop("role", "member")
        payload = membership_payload(integration, action, person(number, **facts), role=role)
        answer = post(client, "organization", payload, at=at)
        assert answer.status_code == 202
        work()
        return WebhookDelivery.objects.latest("pk")

    def kinds(self, integration: GitHubIntegration) -> list[str]:
        return list(
            MemberChange.objects.filter(team=integration.team)
            .order_by("pk")
            .values_list("kind", flat=True)
        )

    def test_who_is_added_joins_with_a_line_in_the_history(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        delivery = self.hear(client, watched, "member_added", login="ada", role="admin")
        member = watched.team.members.get()
        assert (member.github_username, member.role, member.is_active) == ("ada", "admin", True)
        change = MemberChange.objects.get()
        assert change.kind == MemberChangeKind.JOINED
        assert change.webhook_event == "organization.member_added"
        assert delivery.status == "applied"

    def test_who_is_removed_leaves_and_who_is_added_again_returns(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        self.hear(client, watched, "member_added")
        self.hear(client, watched, "member_removed")
        member = watched.team.members.get()
        assert not member.is_active
        assert member.deactivated_by == DeactivatedBy.SYNC
        self.hear(client, watched, "member_added")
        member.refresh_from_db()
        assert member.is_active
        assert self.kinds(watched) == ["joined", "left", "returned"]

    def test_the_page_is_told(self, client: Client, watched: GitHubIntegration) -> None:
        before = watched.team.revision
        self.hear(client, watched, "member_added")
        watched.team.refresh_from_db()
        watched.refresh_from_db()
        assert watched.roster_revision == watched.team.revision > before

    def test_in_whatever_order_they_come_the_newest_holds(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        now = timezone.now()
        self.hear(client, watched, "member_removed", at=now)
        self.hear(client, watched, "member_added", at=now - timedelta(seconds=10))
        # Nobody here had heard of them, so the removal left no row: the late joining makes one.
        TeamMember.objects.all().delete()
        self.hear(client, watched, "member_added", at=now - timedelta(seconds=30))
        self.hear(client, watched, "member_removed", at=now - timedelta(seconds=20))
        late = self.hear(client, watched, "member_added", at=now - timedelta(seconds=25))
        assert not watched.team.members.get().is_active
        assert (late.status, late.outcome) == ("unchanged", "not_news")

    def test_a_batch_is_applied_as_it_happened(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        now = timezone.now()
        for action, age_s in (("member_removed", 1), ("member_added", 3), ("member_added", 0)):
            payload = membership_payload(watched, action, person(7))
            post(client, "organization", payload, at=now - timedelta(seconds=age_s))
        work()
        assert watched.team.members.get().is_active
        assert self.kinds(watched) == ["joined", "left", "returned"]

    def test_who_was_switched_off_by_hand_stays_off(
        self, client: Client, watched: GitHubIntegration, alice: User
    ) -> None:
        self.hear(client, watched, "member_added")
        switch_member(watched.team.members.get(), active=False, person=alice)
        self.hear(client, watched, "member_removed")
        self.hear(client, watched, "member_added")
        assert not watched.team.members.get().is_active

    def test_whom_an_admin_keeps_stays(
        self, client: Client, watched: GitHubIntegration, alice: User
    ) -> None:
        member = TeamMemberFactory(team=watched.team, github_id=7)
        HeldDeparture.objects.create(member=member, held_at=timezone.now())
        departures.decide(watched, None, remove=False, person=alice)
        self.hear(client, watched, "member_removed")
        member.refresh_from_db()
        assert member.is_active

    def test_held_people_need_no_decision_once_github_has_said(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        for number in (7, 8):
            member = TeamMemberFactory(team=watched.team, github_id=number)
            HeldDeparture.objects.create(member=member, held_at=timezone.now())
        self.hear(client, watched, "member_removed", number=7)
        self.hear(client, watched, "member_added", number=8)
        assert not HeldDeparture.objects.exists()
        active = dict(watched.team.members.values_list("github_id", "is_active"))
        assert active == {7: False, 8: True}

    def test_other_organisations_teams_hear_nothing(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        other = GitHubIntegrationFactory()
        self.hear(client, watched, "member_added")
        assert not other.team.members.exists()

    def test_two_teams_of_one_organisation_both_hear(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        other = GitHubIntegrationFactory(organization_id=watched.organization_id)
        self.hear(client, watched, "member_added")
        assert watched.team.members.exists()
        assert other.team.members.exists()

    @pytest.mark.parametrize("how", ["disconnected", "revoked", "failing"])
    def test_who_may_not_read_the_organisation_hears_nothing(
        self, client: Client, watched: GitHubIntegration, how: str
    ) -> None:
        if how == "disconnected":
            GitHubIntegration.objects.update(credential=None)
        elif how == "revoked":
            IntegrationCredential.objects.update(status="revoked")
        else:
            run = start(watched)
            transitions.fail(run, "not_a_member")
        delivery = self.hear(client, watched, "member_added")
        assert (delivery.status, delivery.outcome) == ("unchanged", "nobody_here")
        assert not watched.team.members.exists()

    def test_a_connection_whose_person_was_removed_is_read_again(
        self, client: Client, sandbox: SandboxControl
    ) -> None:
        organization = sandbox.organization(size=5)
        integration = connect(organization)
        sync(integration)
        owner_id = next(one["id"] for one in roster(integration).values() if one["role"] == "admin")
        credential = integration.credential
        assert credential is not None
        credential.github_user_id = owner_id
        credential.save()
        organization.remove(organization.owner)
        self.hear(client, integration, "member_removed", number=owner_id)
        run = SyncRun.objects.latest("pk")
        assert run.trigger == "webhook"
        work_on(run)
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_ERROR
        # From now on it is none of this team's business.
        self.hear(client, integration, "member_added", number=77)
        assert not integration.team.members.filter(github_id=77).exists()

    def test_names_and_e_mails_of_a_few_are_read_at_once(
        self, client: Client, sandbox: SandboxControl
    ) -> None:
        organization = sandbox.organization(size=5)
        integration = connect(organization)
        sync(integration)
        added = organization.add(
            login=f"ada-{organization.id}", name="Ada", email="ada@example.com"
        )
        self.hear(client, integration, "member_added", number=added["id"], login=added["login"])
        member = integration.team.members.get(github_id=added["id"])
        assert (member.name, member.email) == ("Ada", "ada@example.com")
        # The next full read finds nothing to tell.
        sync(integration)
        assert self.kinds(integration).count("updated") == 0
        assert roster(integration) == organization.members()
