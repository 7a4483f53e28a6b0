"""Who else belongs to the organisation: read where the connection may, and said why not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from integrations import tasks
from integrations.models import (
    GitHubIntegration,
    OrganizationInvitation,
    OrganizationTeam,
    OutsideCollaborator,
    VerifiedEmail,
)
from integrations.services import (
    app_connection,
    connection,
    organization_people,
    repository_list,
)
from integrations.services.github_access import NoLongerWatched, client_of
from tests.syncing import connect, sync
from tests.webhook_deliveries import organization_of, person, post, work

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import Team, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def club(sandbox: SandboxControl) -> SandboxOrganization:
    """An organisation with a team, a guest, two invitations and an address of its own domain."""
    made = sandbox.organization(size=5)
    number = made.id
    for login in (f"guest-{number}", f"invited-{number}"):
        sandbox.ask("POST", "people", {"login": login})
    made.add(login=f"invited-{number}", state="pending")
    somebody = made.somebody()["login"]
    for path, facts in (
        ("guests", {"login": f"guest-{number}"}),
        ("invitations", {"email": "new@example.com", "role": "admin"}),
        ("teams", {"name": "<b>Core</b> Team", "members": [somebody, made.owner]}),
        ("teams", {"name": "Empty"}),
    ):
        sandbox.ask("POST", f"organizations/{made.login}/{path}", facts)
    emails = {somebody: ["somebody@club.example.com"]}
    sandbox.ask("PUT", f"organizations/{made.login}/verified_emails", emails)
    return made


@pytest.fixture
def integration(acme: Team, alice: User, club: SandboxOrganization) -> GitHubIntegration:
    """Acme, connected by the club's owner and synced once."""
    made = connection.connect_with_token(acme, person=alice, token=club.token)
    connection.choose_organization(made, club.id)
    sync(made)
    return made


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def read(integration: GitHubIntegration) -> GitHubIntegration:
    """Do what ticker and worker do."""
    GitHubIntegration.objects.update(people_read_at=None)
    for integration_id in organization_people.take_due(timezone.now()):
        tasks.read_people_task.fn(integration_id)
    integration.refresh_from_db()
    return integration


def members_page(browser: Client, **query: str) -> str:
    content = browser.get(reverse("github_members", args=["acme"]), query).content.decode()
    return re.sub(r"\s+", " ", content)


def settings_page(browser: Client) -> str:
    content = browser.get(reverse("github_settings", args=["acme"])).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", content))


class TestReading:
    def test_an_owner_s_connection_reads_it_all_after_the_sync(
        self, integration: GitHubIntegration, club: SandboxOrganization
    ) -> None:
        read(integration)
        assert {
            kind: told["code"] for kind, told in integration.people_access.items()
        } == dict.fromkeys(("invitations", "outside_collaborators", "teams", "verified_emails"), "")
        invited = OrganizationInvitation.objects.values_list("github_username", "email", "role")
        assert set(invited) == {
            (f"invited-{club.id}", "", "direct_member"),
            ("", "new@example.com", "admin"),
        }
        assert OutsideCollaborator.objects.get().github_username == f"guest-{club.id}"
        team = OrganizationTeam.objects.get(slug="b-core-b-team")
        assert team.people.count() == 2
        assert VerifiedEmail.objects.get().email == "somebody@club.example.com"
        assert integration.people_due_at is None

    def test_the_app_reads_it_all_too(
        self, acme: Team, alice: User, club: SandboxOrganization
    ) -> None:
        made = app_connection.connect(acme, person=alice, installation_id=club.install())
        sync(made)
        read(made)
        assert [told["code"] for told in made.people_access.values()] == [""] * 4

    def test_a_plain_member_s_connection_reads_what_members_may(
        self, browser: Client, acme: Team, alice: User, club: SandboxOrganization,
        sandbox: SandboxControl,
    ) -> None:  # fmt: skip
        login = next(one["login"] for one in club.members().values() if one["role"] == "member")
        made = connection.connect_with_token(acme, person=alice, token=sandbox.token(login))
        connection.choose_organization(made, club.id)
        sync(made)
        read(made)
        codes = {kind: told["code"] for kind, told in made.people_access.items()}
        assert codes["teams"] == codes["verified_emails"] == ""
        assert codes["invitations"]
        assert codes["outside_collaborators"]
        assert not OrganizationInvitation.objects.exists()
        page = members_page(browser)
        assert 'value="invited"' not in page
        assert 'value="outside"' not in page
        assert 'name="team"' in page
        assert "Only owners may see them." in settings_page(browser)

    def test_what_may_not_be_seen_any_more_is_dropped_and_said(
        self, browser: Client, acme: Team, alice: User, club: SandboxOrganization
    ) -> None:
        installation_id = club.install()
        made = app_connection.connect(acme, person=alice, installation_id=installation_id)
        sync(made)
        read(made)
        assert 'name="team"' in members_page(browser)
        club.change_installation(installation_id, permissions={"metadata": "read"})
        organization_people.ask_for(GitHubIntegration.objects.all())
        read(made)
        assert not OrganizationTeam.objects.exists()
        assert not OrganizationInvitation.objects.exists()
        assert 'name="team"' not in members_page(browser)
        assert "lacks the permission to read members" in settings_page(browser)

    @pytest.mark.parametrize("fault", ["rate_limit", "server_error"])
    def test_what_github_can_t_deliver_stays_as_it_was(
        self, integration: GitHubIntegration, club: SandboxOrganization, fault: str
    ) -> None:
        read(integration)
        before = integration.people_access
        club.fault(FAULTS[fault])
        organization_people.ask_for(GitHubIntegration.objects.all())
        read(integration)
        assert OrganizationTeam.objects.count() == 2
        assert integration.people_access == before
        # It is still due: by and by it is read again.
        assert integration.people_due_at is not None
        club.mend()
        organization_people.ask_for(GitHubIntegration.objects.all())
        read(integration)
        assert integration.people_due_at is None

    def test_what_changes_is_followed_and_nothing_else_is_written(
        self, integration: GitHubIntegration, club: SandboxOrganization, sandbox: SandboxControl
    ) -> None:
        read(integration)
        keys = set(OrganizationTeam.objects.values_list("pk", flat=True))
        club.control.ask("DELETE", f"organizations/{club.login}/teams/empty")
        club.add(login=f"invited-{club.id}")
        organization_people.ask_for(GitHubIntegration.objects.all())
        read(integration)
        assert set(OrganizationTeam.objects.values_list("pk", flat=True)) < keys
        assert OrganizationInvitation.objects.get().email == "new@example.com"

    def test_another_organisation_s_are_forgotten(
        self, integration: GitHubIntegration, club: SandboxOrganization, sandbox: SandboxControl
    ) -> None:
        read(integration)
        other = sandbox.organization(size=2, owner=club.owner)
        connection.choose_organization(integration, other.id)
        assert not OrganizationTeam.objects.exists()
        assert not VerifiedEmail.objects.exists()

    def test_what_was_read_of_the_old_organisation_is_not_written_after_a_switch(
        self, integration: GitHubIntegration, club: SandboxOrganization, sandbox: SandboxControl
    ) -> None:
        stale = GitHubIntegration.objects.get(pk=integration.pk)
        client = client_of(stale)
        other = sandbox.organization(size=2, owner=club.owner)
        connection.choose_organization(integration, other.id)
        for read_kind in organization_people.READERS.values():
            with pytest.raises(NoLongerWatched):
                read_kind(stale, client)
        repository_list.refresh_if_stale(stale)
        assert not OrganizationTeam.objects.exists()
        assert not OrganizationInvitation.objects.exists()
        assert not OutsideCollaborator.objects.exists()
        assert not VerifiedEmail.objects.exists()
        assert not integration.repositories.exists()

    def test_a_list_that_names_somebody_twice_is_taken_once(
        self, integration: GitHubIntegration, club: SandboxOrganization
    ) -> None:
        club.fault("repeated_entry")
        read(integration)
        assert {told["code"] for told in integration.people_access.values()} == {""}
        assert integration.people_access["invitations"]["count"] == 2
        assert OrganizationTeam.objects.count() == 2
        GitHubIntegration.objects.update(repositories_listed_at=None)
        integration.refresh_from_db()
        repository_list.refresh_if_stale(integration)
        ids = list(integration.repositories.values_list("github_id", flat=True))
        assert ids
        assert len(ids) == len(set(ids))

    def test_one_ticker_takes_it_and_a_dead_worker_s_is_taken_again(
        self, integration: GitHubIntegration
    ) -> None:
        now = timezone.now()
        assert organization_people.take_due(now) == [integration.pk]
        assert organization_people.take_due(now) == []
        assert organization_people.take_due(now + organization_people.CLAIM_LENGTH) == [
            integration.pk
        ]

    @pytest.mark.parametrize(
        ("event", "action"), [("membership", "added"), ("organization", "member_invited")]
    )
    def test_a_webhook_has_it_read_again(
        self, client: Client, integration: GitHubIntegration, event: str, action: str
    ) -> None:
        read(integration)
        payload = {"action": action, "organization": organization_of(integration)}
        for _ in range(3):
            post(client, event, payload | {"member": person(7)})
        work()
        integration.refresh_from_db()
        assert integration.people_due_at is not None


FAULTS = {"rate_limit": "primary_rate_limit", "server_error": "server_error"}


class TestPages:
    def test_teams_are_shown_filtered_and_escaped(
        self, browser: Client, integration: GitHubIntegration
    ) -> None:
        read(integration)
        page = members_page(browser)
        assert "&lt;b&gt;Core&lt;/b&gt; Team" in page
        assert "<b>Core</b>" not in page
        filtered = members_page(browser, team="b-core-b-team")
        assert "2 people found" in filtered
        assert "Nobody matches" in members_page(browser, team="empty")
        member = integration.team.members.get(
            github_id=OrganizationTeam.objects.get(slug="b-core-b-team").people.first().github_id  # type: ignore[union-attr]
        )
        address = reverse("github_member", args=["acme", member.pk])
        assert "&lt;b&gt;Core&lt;/b&gt; Team" in browser.get(address).content.decode()

    def test_the_invited_and_the_guests_have_lists_of_their_own(
        self, browser: Client, integration: GitHubIntegration, club: SandboxOrganization
    ) -> None:
        read(integration)
        invited = members_page(browser, active="invited")
        assert f"@invited-{club.id}" in invited
        assert "new@example.com" in invited
        assert "new@example.com" not in members_page(browser, active="invited", q="zzz")
        assert f"@guest-{club.id}" in members_page(browser, active="outside")
        table = browser.get(
            reverse("github_members_table", args=["acme"]), {"active": "invited"}
        ).content.decode()
        assert "new@example.com" in table

    def test_a_person_s_page_shows_verified_addresses(
        self, browser: Client, integration: GitHubIntegration
    ) -> None:
        read(integration)
        github_id = VerifiedEmail.objects.get().github_id
        member = integration.team.members.get(github_id=github_id)
        page = browser.get(reverse("github_member", args=["acme", member.pk])).content.decode()
        assert "somebody@club.example.com" in page

    def test_other_teams_see_nothing_of_it(
        self, client: Client, integration: GitHubIntegration, sandbox: SandboxControl,
        charlie: User,
    ) -> None:  # fmt: skip
        read(integration)
        other = connect(sandbox.organization(size=2))
        other.team.memberships.create(user=charlie, role="admin")
        client.force_login(charlie)
        address = reverse("github_members", args=[other.team.slug])
        page = client.get(address, {"active": "invited"}).content.decode()
        assert "new@example.com" not in page
        filtered = client.get(address, {"team": "b-core-b-team"}).content.decode()
        assert "Nobody matches" in filtered

    def test_the_page_costs_as_much_whatever_teams_there_are(
        self, browser: Client, integration: GitHubIntegration, django_assert_max_num_queries: Any
    ) -> None:
        read(integration)
        address = reverse("github_members", args=["acme"])
        browser.get(address)
        with django_assert_max_num_queries(12):
            browser.get(address, {"team": "b-core-b-team"})
