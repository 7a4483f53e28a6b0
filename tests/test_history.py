"""The pages of history, of held people, of previews and settings, and the CSVs."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone

from integrations.constants import RunTrigger
from integrations.models import GitHubIntegration, HeldDeparture, MemberChange, SyncRun
from integrations.services import transitions
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory, TeamMemberFactory
from tests.syncing import remove, sync

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import Team, User
    from tests.sandbox_control import SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def admin(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def synced(integration: GitHubIntegration) -> SyncRun:
    """Acme's roster after its first sync of 240 people."""
    return sync(integration)


def at(name: str, *args: Any) -> str:
    return reverse(name, args=["acme", *args])


class TestWhoMayEnter:
    @pytest.fixture
    def addresses(self, synced: SyncRun) -> list[str]:
        member = synced.integration.team.members.first()
        assert member is not None
        return [
            at("github_history"), at("github_history") + "?show=changes",
            at("github_run", synced.pk), at("github_member", member.pk), at("github_held"),
        ]  # fmt: skip

    def test_people_of_the_team_look_and_nobody_else_does(
        self, addresses: list[str], client: Client, bob: User, charlie: User
    ) -> None:
        for address in addresses:
            client.logout()
            assert client.get(address).status_code == 302, address
            client.force_login(charlie)
            assert client.get(address).status_code == 404, address
            client.force_login(bob)
            assert client.get(address).status_code == 200, address

    @pytest.mark.parametrize(
        "name", ["github_run_cancel", "github_preview_apply", "github_members_cancel",
                 "github_members_preview", "github_held", "github_settings"],
    )  # fmt: skip
    def test_only_admins_do(self, name: str, synced: SyncRun, client: Client, bob: User) -> None:
        client.force_login(bob)
        args = [synced.pk] if name in {"github_run_cancel", "github_preview_apply"} else []
        assert client.post(at(name, *args)).status_code == 403

    def test_a_run_of_another_team_is_not_there(
        self, acme: Team, admin: Client, integration: GitHubIntegration
    ) -> None:
        other: GitHubIntegration = GitHubIntegrationFactory()
        run = start_run(other, trigger=RunTrigger.MANUAL).run
        assert admin.get(at("github_run", run.pk)).status_code == 404
        assert admin.post(at("github_run_cancel", run.pk)).status_code == 404
        run.refresh_from_db()
        assert run.is_active


class TestHistory:
    def test_runs_are_listed_and_filtered(self, synced: SyncRun, admin: Client) -> None:
        run = start_run(synced.integration, trigger=RunTrigger.SCHEDULE).run
        transitions.fail(run, "github_unavailable")
        text = admin.get(at("github_history")).content.decode()
        assert "On schedule" in text
        assert "240 joined" in " ".join(text.split())
        failed = admin.get(at("github_history"), {"status": "error", "kind": "nonsense"})
        assert list(failed.context["page"].object_list) == [run]

    def test_changes_are_listed_and_searched(self, synced: SyncRun, admin: Client) -> None:
        someone = synced.changes.order_by("pk")[7]
        response = admin.get(at("github_history"), {"show": "changes", "kind": "joined"})
        assert response.context["page"].paginator.count == 240
        found = admin.get(
            at("github_history"), {"show": "changes", "q": f"@{someone.github_username}"}
        )
        assert someone.github_username in found.content.decode()
        assert found.context["page"].paginator.count >= 1

    def test_a_list_of_a_hundred_asks_no_more_than_one_of_ten(
        self, synced: SyncRun, admin: Client, django_assert_max_num_queries: Any
    ) -> None:
        for _ in range(60):
            run = start_run(synced.integration, trigger=RunTrigger.MANUAL).run
            transitions.fail(run, "internal_error")
        for address in (at("github_history"), at("github_history") + "?show=changes"):
            with django_assert_max_num_queries(9):
                admin.get(address)

    def test_one_run_tells_its_timeline_and_its_changes(
        self, synced: SyncRun, admin: Client
    ) -> None:
        text = admin.get(at("github_run", synced.pk)).content.decode()
        assert text.count("timeline__step") == synced.transitions.count() == 3
        assert "attempt 1" in text
        assert "1 to 50 of 240" in text

    def test_one_person_is_told_in_order_and_their_name_is_words(
        self, synced: SyncRun, organization: SandboxOrganization, admin: Client
    ) -> None:
        somebody = organization.somebody()
        organization.change(somebody["login"], name=HOSTILE, login=f"{somebody['login']}-2")
        sync(synced.integration)
        member = synced.integration.team.members.get(github_id=somebody["id"])
        text = admin.get(at("github_member", member.pk)).content.decode()
        assert HOSTILE not in text
        assert "&lt;script&gt;" in text
        assert text.index("Renamed") < text.index("Joined</span>")


class TestCancel:
    def test_it_ends_the_sync_and_says_so(
        self, integration: GitHubIntegration, admin: Client
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        page = admin.post(at("github_members_cancel"), follow=True).content.decode()
        run.refresh_from_db()
        assert run.error_code == "cancelled"
        assert "Cancelled." in page
        assert 'data-state="cancelled"' in page

    def test_what_is_over_stays_as_it_ended(self, synced: SyncRun, admin: Client) -> None:
        page = admin.post(at("github_run_cancel", synced.pk), follow=True).content.decode()
        assert "over already" in page
        synced.refresh_from_db()
        assert synced.error_code == ""
        assert (
            "over already" in admin.post(at("github_members_cancel"), follow=True).content.decode()
        )


class TestPreview:
    @pytest.mark.usefixtures("worker")
    def test_from_the_button_to_applied(
        self,
        synced: SyncRun,
        organization: SandboxOrganization,
        admin: Client,
        wait_until: Any,
    ) -> None:
        added = organization.add()
        response = admin.post(at("github_members_preview"))
        found = SyncRun.objects.get(kind="preview")
        assert response["Location"] == at("github_run", found.pk)
        wait_until(lambda: not SyncRun.objects.get(pk=found.pk).is_active, timeout_s=20)
        text = admin.get(at("github_run", found.pk)).content.decode()
        assert added["login"] in text
        assert "Apply these changes" in text
        assert admin.post(at("github_preview_apply", found.pk)).status_code == 302
        members = synced.integration.team.members
        wait_until(lambda: members.filter(github_id=added["id"]).exists(), timeout_s=20)
        again = admin.post(at("github_preview_apply", found.pk))
        assert again.status_code == 409
        assert members.active().count() == 241

    def test_unconnected_it_says_so(self, synced: SyncRun, admin: Client) -> None:
        GitHubIntegration.objects.update(credential=None)
        page = admin.post(at("github_members_preview"), follow=True).content.decode()
        assert "GitHub is not connected" in page
        assert not SyncRun.objects.filter(kind="preview").exists()


class TestHeld:
    @pytest.fixture
    def held(self, synced: SyncRun, organization: SandboxOrganization) -> list[HeldDeparture]:
        remove(organization, 30)
        sync(synced.integration)
        return list(HeldDeparture.objects.select_related("member"))

    def test_they_are_named_and_decided(self, held: list[HeldDeparture], admin: Client) -> None:
        assert 'data-state="held"' in admin.get(at("github_members")).content.decode()
        text = admin.get(at("github_held")).content.decode()
        assert all(one.member.github_username in text for one in held)
        keep = [str(one.member_id) for one in held[:2]]
        page = admin.post(at("github_held"), {"decision": "keep", "member": keep}, follow=True)
        assert "2 people are kept." in page.content.decode()
        page = admin.post(at("github_held"), {"decision": "remove", "all": "1"}, follow=True)
        assert "28 people were removed." in page.content.decode()
        assert 'data-state="complete"' in page.content.decode()
        page = admin.post(at("github_held"), {"decision": "remove", "all": "1"}, follow=True)
        assert "decided already" in page.content.decode()

    @pytest.mark.parametrize(
        "posted",
        [{}, {"decision": "explode", "all": "1"}, {"decision": "keep"},
         {"decision": "remove", "member": "x"}],
    )  # fmt: skip
    def test_nonsense_decides_nothing(
        self, posted: dict[str, str], held: list[HeldDeparture], admin: Client
    ) -> None:
        response = admin.post(at("github_held"), posted)
        assert response.status_code == 400
        assert "Choose" in response.content.decode()
        assert HeldDeparture.objects.count() == 30


class TestSettings:
    FIELDS = {
        "guard_percent": "20", "guard_minimum": "3", "schedule_enabled": "on",
        "schedule_from_hour": "22", "schedule_hours": "2",
        "schedule_time_zone": "Asia/Kolkata", "history_days": "",
    }  # fmt: skip

    def test_they_are_kept_and_the_next_night_follows(
        self, integration: GitHubIntegration, admin: Client
    ) -> None:
        assert admin.post(at("github_settings"), self.FIELDS).status_code == 302
        integration.refresh_from_db()
        assert (integration.guard_percent, integration.guard_minimum) == (20, 3)
        assert integration.history_days is None
        assert integration.next_sync_at is not None
        assert "The next nightly read" in admin.get(at("github_settings")).content.decode()
        assert "next read" in admin.get(at("github_members")).content.decode()

    @pytest.mark.parametrize(
        ("name", "value"),
        [("guard_percent", "101"), ("guard_minimum", "0"), ("schedule_from_hour", "24"),
         ("schedule_hours", "0"), ("schedule_time_zone", "Mars/Olympus"), ("history_days", "0"),
         ("history_days", "9" * 30)],
    )  # fmt: skip
    def test_nonsense_is_refused_by_field(
        self, name: str, value: str, integration: GitHubIntegration, admin: Client
    ) -> None:
        response = admin.post(at("github_settings"), self.FIELDS | {name: value})
        assert response.status_code == 400
        assert name in response.context["form"].errors
        before = GitHubIntegration.objects.get()
        assert before.schedule_time_zone == "UTC"


class TestCSV:
    def rows(self, user: User, address: str) -> list[list[str]]:
        return async_to_sync(self.read)(user, address)

    async def read(self, user: User, address: str) -> list[list[str]]:
        client = AsyncClient()
        await client.aforce_login(user)
        response: Any = await client.get(address)
        assert response.status_code == 200
        assert response["Content-Type"] == "text/csv; charset=utf-8"
        assert response["Content-Disposition"].startswith('attachment; filename="acme-')
        text = b"".join([chunk async for chunk in response]).decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text)))

    def test_the_roster_as_it_is_filtered(
        self, acme: Team, bob: User, integration: GitHubIntegration
    ) -> None:
        TeamMemberFactory(team=acme, github_username="ada", name="=HYPERLINK(1)", email="@x")
        TeamMemberFactory(team=acme, github_username="gone", is_active=False)
        TeamMemberFactory(team=acme, github_username="zoë", name='Zoë \u202e, "quoted"\nline')
        header, *rows = self.rows(bob, at("github_members_csv"))
        assert header[:4] == ["github_id", "github_username", "name", "email"]
        assert [row[1] for row in rows] == ["ada", "zoë"]
        assert rows[0][2:4] == ["'=HYPERLINK(1)", "'@x"]
        assert rows[1][2] == 'Zoë \u202e, "quoted"\nline'
        everybody = self.rows(bob, at("github_members_csv") + "?active=all")
        assert len(everybody) == 4

    def test_more_than_a_chunk_comes_whole_and_once(
        self, acme: Team, bob: User, integration: GitHubIntegration
    ) -> None:
        now = timezone.now()
        MemberChange.objects.bulk_create(
            MemberChange(
                team=acme, github_id=n, github_username=f"p{n}", kind="joined",
                at=now - timedelta(seconds=n),
            )
            for n in range(2345)
        )  # fmt: skip
        _, *rows = self.rows(bob, at("github_history_csv"))
        assert [row[2] for row in rows] == [f"p{n}" for n in range(2345)]

    def test_a_run_and_a_preview(
        self, acme: Team, bob: User, integration: GitHubIntegration
    ) -> None:
        run = SyncRun.objects.create(integration=integration, kind="preview", trigger="manual")
        run.planned_changes.create(
            github_id=1, github_username="ada", kind="renamed",
            fields={"github_username": ["a", "ada"]},
        )  # fmt: skip
        _, row = self.rows(bob, at("github_run_csv", run.pk))
        assert row == ["1", "ada", "renamed", "github_username: a -> ada"]
