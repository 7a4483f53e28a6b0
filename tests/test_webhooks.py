"""Webhooks: what is taken and what is refused at their address, and what they do to a roster."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client as DjangoClient
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from integrations import tasks
from integrations.constants import (
    CLOCKS_APART_MAX,
    SYNC_STATUS_ERROR,
    WEBHOOK_BATCH_SIZE,
    WEBHOOK_LEASE,
    WEBHOOK_RETRY_AFTER_MAX,
    DeactivatedBy,
    MemberChangeKind,
)
from integrations.github.webhooks import signature_of
from integrations.models import (
    GitHubIntegration,
    HeldDeparture,
    IntegrationCredential,
    MemberChange,
    SyncRun,
    TeamMember,
    WebhookDelivery,
    WebhookInbox,
)
from integrations.services import departures, member_sync, transitions
from integrations.services.roster import write_page
from integrations.services.switching import switch_member
from integrations.services.webhooks import drain, intake
from tests.factories import (
    GitHubIntegrationFactory,
    TeamMemberFactory,
    TrackedRepositoryFactory,
)
from tests.syncing import connect, roster, start, sync, work_on
from tests.webhook_deliveries import (
    ADDRESS,
    SECRET,
    guid_at,
    membership_payload,
    organization_of,
    person,
    post,
    work,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.test import Client

    from integrations.models import Team, User
    from tests.processes import Valkey
    from tests.sandbox_control import SandboxControl

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def watched(acme: Team) -> GitHubIntegration:
    """Acme, connected by a token of its owner to an organisation nobody asks about."""
    found: GitHubIntegration = GitHubIntegrationFactory(team=acme)
    return found


class TestTheAddress:
    def test_without_a_secret_it_is_not_there(
        self, client: Client, watched: GitHubIntegration, settings: Any
    ) -> None:
        settings.GITHUB_WEBHOOK_SECRETS = []
        payload = membership_payload(watched, "member_added", person(7))
        # Not even for who signs with nothing.
        assert post(client, "organization", payload, secret="").status_code == 404
        assert not WebhookDelivery.objects.exists()

    def test_a_signed_delivery_is_stored_and_queued(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        payload = membership_payload(watched, "member_added", person(7))
        assert post(client, "organization", payload).status_code == 202
        delivery = WebhookDelivery.objects.get()
        assert (delivery.event, delivery.action) == ("organization", "member_added")
        assert json.loads(delivery.body) == payload
        assert delivery.headers["X-GitHub-Event"] == "organization"
        assert "X-Hub-Signature-256" not in delivery.headers
        assert delivery.inbox.account_id == watched.organization_id
        assert delivery.inbox.message_at is not None

    @pytest.mark.parametrize(
        ("changed", "status"),
        [
            ({"X_Hub_Signature_256": "sha256=" + "0" * 64}, 403),
            ({"X_Hub_Signature_256": ""}, 403),
            ({"X_Hub_Signature_256": "sha1=aa"}, 403),
            ({"X_Hub_Signature_256": "sha256=\u00e9"}, 403),
            ({"X_GitHub_Delivery": ""}, 400),
            ({"X_GitHub_Delivery": "a b"}, 400),
            ({"X_GitHub_Event": "<script>"}, 400),
            ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
            ({"Content_Type": "text/plain"}, 415),
        ],
    )
    def test_what_github_did_not_send_is_refused_with_a_sentence(
        self,
        client: Client,
        watched: GitHubIntegration,
        changed: dict[str, Any],
        status: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        payload = membership_payload(watched, "member_added", person(7))
        answer = post(client, "organization", payload, **changed)
        assert answer.status_code == status
        assert answer.json()["message"].endswith(".")
        assert not WebhookDelivery.objects.exists()
        assert "webhook refused" in caplog.text

    def test_one_signed_with_another_secret_is_forged(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        payload = membership_payload(watched, "member_added", person(7))
        assert post(client, "organization", payload, secret="guessed").status_code == 403

    def test_a_truncated_body_is_not_what_was_signed(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        body = json.dumps(membership_payload(watched, "member_added", person(7))).encode()
        whole = {
            "X-GitHub-Event": "organization",
            "X-GitHub-Delivery": "1",
            "X-Hub-Signature-256": signature_of(SECRET, body),
        }
        answer = client.post(
            ADDRESS, data=body[:-3], content_type="application/json", headers=whole
        )
        assert answer.status_code == 403

    @pytest.mark.parametrize("body", [b"[]", b"null", b'{"action": ', b"\xff\xfe", b"7"])
    def test_a_signed_body_that_is_no_object_is_refused(self, client: Client, body: bytes) -> None:
        assert post(client, "organization", body).status_code == 400
        assert not WebhookDelivery.objects.exists()

    def test_an_oversized_one_is_not_read(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("integrations.webhooks.WEBHOOK_SIZE_MAX", 1_000)
        body = json.dumps({"zen": "x" * 1_000}).encode()
        assert post(client, "ping", body).status_code == 413
        assert post(client, "ping", {"zen": "Keep it logically awesome."}).status_code == 200

    def test_only_post_is_for_it(self, client: Client) -> None:
        assert client.get(ADDRESS).status_code == 405

    def test_it_needs_no_csrf_token_and_no_session(self, watched: GitHubIntegration) -> None:
        strict = DjangoClient(enforce_csrf_checks=True)
        answer = post(strict, "ping", {"zen": "Speak like a human.", "hook_id": 1})
        assert answer.status_code == 200
        assert answer.json() == {"message": "pong"}
        assert not answer.cookies

    @pytest.mark.parametrize(("secret", "index"), [("new", 0), ("old", 1)])
    def test_while_a_secret_is_replaced_both_are_good(
        self, client: Client, settings: Any, secret: str, index: int
    ) -> None:
        settings.GITHUB_WEBHOOK_SECRETS = ["new", "old"]
        assert post(client, "ping", {"zen": "x"}, secret=secret).status_code == 200
        assert WebhookDelivery.objects.get().secret_index == index
        assert post(client, "ping", {"zen": "x"}, secret=SECRET).status_code == 403

    def test_a_redelivered_one_answers_200_and_changes_nothing(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        guid = guid_at(timezone.now())
        payload = membership_payload(watched, "member_added", person(7))
        assert post(client, "organization", payload, guid=guid).status_code == 202
        work()
        other = membership_payload(watched, "member_removed", person(7))
        assert post(client, "organization", other, guid=guid).status_code == 200
        work()
        assert watched.team.members.get().is_active
        assert WebhookDelivery.objects.count() == 1

    def test_a_queue_that_is_down_loses_nothing(
        self, client: Client, watched: GitHubIntegration, valkey: Valkey
    ) -> None:
        valkey.kill()
        payload = membership_payload(watched, "member_added", person(7))
        assert post(client, "organization", payload).status_code == 202
        valkey.start()
        [inbox] = intake.inboxes_to_send(timezone.now())
        tasks.apply_webhooks_task.fn(inbox.pk)
        assert watched.team.members.get().github_id == 7


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


class TestBesideAFullRead:
    """Case 14: a full read that began before a webhook never undoes it, nor the other way round."""

    @pytest.mark.parametrize("moment", ["before the page", "after the page"])
    def test_case_14_who_is_added_during_a_read_stays(
        self, client: Client, sandbox: SandboxControl, moment: str
    ) -> None:
        organization = sandbox.organization(size=4)
        integration = connect(organization)
        sync(integration)
        run = start(integration)
        SyncRun.objects.filter(pk=run.pk).update(started_at=timezone.now())
        payload = membership_payload(integration, "member_added", person(7))
        if moment == "before the page":
            post(client, "organization", payload)
            work()
            work_on(run)
        else:

            def meanwhile() -> None:
                post(client, "organization", payload)
                work()

            _work_and_meanwhile(run, meanwhile)
        run.refresh_from_db()
        assert run.status == "complete"
        assert integration.team.members.get(github_id=7).is_active

    def test_case_14_who_is_removed_during_a_read_stays_away(
        self, client: Client, sandbox: SandboxControl
    ) -> None:
        organization = sandbox.organization(size=4)
        integration = connect(organization)
        sync(integration)
        gone, stranger = organization.somebody(), person(7)
        run = start(integration)

        def meanwhile() -> None:
            for who in (person(gone["id"], gone["login"]), stranger):
                post(client, "organization", membership_payload(integration, "member_removed", who))
            work()

        _work_and_meanwhile(run, meanwhile)
        assert not integration.team.members.get(github_id=gone["id"]).is_active
        kinds = MemberChange.objects.filter(github_id=gone["id"]).order_by("pk")
        assert [one.kind for one in kinds] == ["joined", "left"]

    def test_case_14_a_late_delivery_changes_nothing_that_a_read_knows(
        self, client: Client, sandbox: SandboxControl
    ) -> None:
        organization = sandbox.organization(size=4)
        integration = connect(organization)
        happened = timezone.now()
        sync(integration)
        there = organization.somebody()
        for action, who in (
            ("member_removed", person(there["id"], there["login"])),
            ("member_added", person(7)),
        ):
            post(client, "organization", membership_payload(integration, action, who), at=happened)
        work()
        assert roster(integration) == organization.members()
        assert set(WebhookDelivery.objects.values_list("outcome", flat=True)) == {"not_news"}


def _work_and_meanwhile(run: SyncRun, meanwhile: Callable[[], None]) -> None:
    """Work on a run whose first page has been asked for when something else happens."""

    def write(lease: Any, page: Any) -> None:
        meanwhile()
        write_page(lease, page)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(member_sync, "write_page", write)
        work_on(run)


class TestOtherEvents:
    def deliver(self, client: Client, event: str, payload: dict[str, Any]) -> WebhookDelivery:
        assert post(client, event, payload).status_code in (200, 202)
        work()
        return WebhookDelivery.objects.latest("pk")

    @pytest.mark.parametrize("event", ["star", "ping", "installation_something", "sponsorship"])
    def test_unknown_ones_are_kept_and_ignored(self, client: Client, event: str) -> None:
        delivery = self.deliver(client, event, {"action": "created", "zen": "x"})
        assert (delivery.status, delivery.outcome) == ("ignored", "unused")

    def test_a_renamed_organisation_is_followed(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        renamed = organization_of(watched) | {"login": "acme-two"}
        self.deliver(
            client, "organization",
            {"action": "renamed", "organization": renamed, "changes": {"login": {"from": "acme"}}},
        )  # fmt: skip
        watched.refresh_from_db()
        assert watched.organization_login == "acme-two"

    def test_a_deleted_organisation_removes_nobody_and_says_so(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        TeamMemberFactory(team=watched.team)
        payload = {"action": "deleted", "organization": organization_of(watched)}
        self.deliver(client, "organization", payload)
        watched.refresh_from_db()
        assert watched.member_sync_status == SYNC_STATUS_ERROR
        assert "deleted" in watched.member_sync_error
        assert watched.team.members.active().count() == 1

    def repository(
        self, integration: GitHubIntegration, number: int, **facts: Any
    ) -> dict[str, Any]:
        name = facts.get("name", f"repository-{number}")
        return {
            "id": number, "name": name, "full_name": f"acme/{name}", "private": False,
            "archived": False, "description": None, "html_url": "", "language": None,
            "default_branch": "main", "pushed_at": None,
            "owner": organization_of(integration),
        } | facts  # fmt: skip

    def about(
        self, client: Client, integration: GitHubIntegration, action: str, **facts: Any
    ) -> WebhookDelivery:
        payload = {
            "action": action,
            "repository": self.repository(integration, 5, **facts),
            "organization": organization_of(integration),
        }
        return self.deliver(client, "repository", payload)

    def test_a_repository_s_life(self, client: Client, watched: GitHubIntegration) -> None:
        self.about(client, watched, "created", name="api")
        row = watched.repositories.get()
        assert row.full_name == "acme/api"
        self.about(client, watched, "renamed", name="api-2")
        self.about(client, watched, "archived", name="api-2", archived=True)
        self.about(client, watched, "privatized", name="api-2", archived=True, private=True)
        row.refresh_from_db()
        assert (row.name, row.is_archived, row.is_private) == ("api-2", True, True)
        self.about(client, watched, "deleted", name="api-2")
        assert not watched.repositories.exists()
        late = self.about(client, watched, "edited", name="api-2")
        assert late.outcome == "not_news"
        assert not watched.repositories.exists()

    @pytest.mark.parametrize("action", ["deleted", "transferred"])
    def test_a_tracked_one_that_goes_stays_and_says_so(
        self, client: Client, watched: GitHubIntegration, action: str
    ) -> None:
        row = TrackedRepositoryFactory(integration=watched, github_id=5, is_tracked=True)
        owner = {"id": 99, "login": "elsewhere"} if action == "transferred" else None
        facts = {"owner": owner} if owner else {}
        self.about(client, watched, action, **facts)
        row.refresh_from_db()
        assert row.gone_at is not None

    def test_a_collaborator_has_the_tracked_repository_read(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        row = TrackedRepositoryFactory(integration=watched, github_id=5, is_tracked=True)
        for action in ("added", "edited", "removed"):
            self.deliver(
                client, "member",
                {
                    "action": action, "member": person(8),
                    "repository": self.repository(watched, 5),
                    "organization": organization_of(watched),
                },
            )  # fmt: skip
        assert SyncRun.objects.get().repository == row


class TestAbuse:
    def test_a_thousand_at_once_are_one_message_and_each_is_applied_once(
        self,
        client: Client,
        watched: GitHubIntegration,
        broker: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        other = GitHubIntegrationFactory()
        # However long a slow machine takes for them: none of them is late.
        monkeypatch.setattr(intake, "RESEND_AFTER", timedelta(hours=1))
        for number in range(1_000, 2_000):
            payload = membership_payload(watched, "member_added", person(number))
            assert post(client, "organization", payload).status_code == 202
        assert broker.client.llen(f"{broker.namespace}:webhooks") == 1
        post(client, "organization", membership_payload(other, "member_added", person(7)))
        # The other organisation has an inbox and a message of its own.
        tasks.apply_webhooks_task.fn(WebhookInbox.objects.get(account_id=other.organization_id).pk)
        assert other.team.members.count() == 1
        work()
        assert watched.team.members.active().count() == 1_000
        assert MemberChange.objects.filter(team=watched.team).count() == 1_000
        assert not WebhookDelivery.objects.exclude(status="applied").exists()
        work()
        assert MemberChange.objects.filter(team=watched.team).count() == 1_000

    def test_one_that_comes_as_a_worker_ends_waits_for_no_ticker(
        self,
        client: Client,
        watched: GitHubIntegration,
        broker: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Its message finds the inbox held, and the holder has looked for the last time."""
        post(client, "organization", membership_payload(watched, "member_added", person(7)))
        [inbox] = WebhookInbox.objects.all()
        look = drain._next_batch

        def look_and_be_late(inbox_id: int) -> list[WebhookDelivery]:
            batch = look(inbox_id)
            if not batch:
                payload = membership_payload(watched, "member_added", person(8))
                post(client, "organization", payload)
                assert drain.drain(inbox_id, should_stop=lambda: False) is None
                broker.client.delete(f"{broker.namespace}:webhooks")
            return batch

        monkeypatch.setattr(drain, "_next_batch", look_and_be_late)
        tasks.apply_webhooks_task.fn(inbox.pk)
        monkeypatch.undo()
        assert broker.client.llen(f"{broker.namespace}:webhooks") == 1
        work()
        assert watched.team.members.active().count() == 2

    def test_one_bad_delivery_holds_nobody_else_up(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        good = membership_payload(watched, "member_added", person(7))
        post(client, "organization", good | {"membership": {"user": None, "role": 7}})
        post(client, "organization", good)
        post(client, "organization", good | {"membership": None})
        work()
        assert watched.team.members.get().github_id == 7
        outcomes = list(WebhookDelivery.objects.order_by("pk").values_list("status", flat=True))
        assert outcomes == ["failed", "applied", "failed"]

    def test_a_batch_costs_as_many_statements_as_one(
        self, client: Client, watched: GitHubIntegration, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(1_000, 1_000 + WEBHOOK_BATCH_SIZE):
            post(
                client, "organization", membership_payload(watched, "member_added", person(number))
            )
        with django_assert_max_num_queries(30):
            work()
        assert watched.team.members.count() == WEBHOOK_BATCH_SIZE

    def test_a_failure_on_our_side_is_tried_again_and_then_given_up(
        self, client: Client, watched: GitHubIntegration, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("integrations.services.webhooks.people.apply", fail)
        post(client, "organization", membership_payload(watched, "member_added", person(7)))
        work()
        delivery = WebhookDelivery.objects.get()
        assert (delivery.status, delivery.outcome) == ("pending", "internal_error")
        assert delivery.next_try_at is not None
        for _ in range(6):
            WebhookDelivery.objects.update(next_try_at=None)
            work()
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempt_count) == ("failed", 6)
        monkeypatch.undo()
        intake.apply_again(delivery)
        work()
        assert watched.team.members.get().github_id == 7


class TestAClockThatWasSetBack:
    """What was written by a clock an hour ahead holds no delivery up for that hour."""

    @pytest.fixture
    def inbox(self, client: Client, watched: GitHubIntegration) -> WebhookInbox:
        post(client, "organization", membership_payload(watched, "member_added", person(7)))
        WebhookInbox.objects.update(message_at=None)
        return WebhookInbox.objects.get()

    def test_a_lease_from_before_holds_nothing(
        self, inbox: WebhookInbox, watched: GitHubIntegration
    ) -> None:
        hold(inbox, timezone.now() + timedelta(hours=1))
        assert intake.inboxes_to_send(timezone.now()) == [inbox]
        work()
        assert watched.team.members.get().github_id == 7

    def test_a_lease_by_a_clock_a_little_ahead_holds(
        self, inbox: WebhookInbox, watched: GitHubIntegration
    ) -> None:
        hold(inbox, timezone.now() + WEBHOOK_LEASE + CLOCKS_APART_MAX / 2)
        assert not intake.inboxes_to_send(timezone.now())
        work()
        assert not watched.team.members.exists()

    def test_a_message_from_before_is_sent_again(self, inbox: WebhookInbox) -> None:
        now = timezone.now()
        WebhookInbox.objects.update(message_at=now + CLOCKS_APART_MAX / 2)
        assert not intake.inboxes_to_send(now)
        WebhookInbox.objects.update(message_at=now + timedelta(hours=1))
        assert intake.inboxes_to_send(now) == [inbox]

    def test_a_pause_longer_than_any_is_over(self, inbox: WebhookInbox) -> None:
        now = timezone.now()
        WebhookDelivery.objects.update(next_try_at=now + WEBHOOK_RETRY_AFTER_MAX)
        assert not intake.inboxes_to_send(now)
        WebhookDelivery.objects.update(next_try_at=now + timedelta(hours=1))
        assert intake.inboxes_to_send(now) == [inbox]


def hold(inbox: WebhookInbox, until: datetime) -> None:
    """Have another worker hold the inbox."""
    WebhookInbox.objects.filter(pk=inbox.pk).update(
        lease_token=uuid.uuid4(), lease_expires_at=until
    )


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
EVENTS = (
    "organization", "membership", "member", "repository", "installation",
    "installation_repositories", "installation_target", "github_app_authorization", "ping", "push",
)  # fmt: skip
ACTIONS = (
    "member_added", "member_removed", "member_invited", "renamed", "deleted", "created", "suspend",
    "unsuspend", "new_permissions_accepted", "revoked", "added", "removed", "transferred",
    "nonsense",
)  # fmt: skip


@pytest.mark.django_db
class TestFuzz:
    @hypothesis_settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(data=st.data())
    def test_real_shaped_payloads_with_anything_in_them_end_in_a_word(
        self, client: Client, watched: GitHubIntegration, data: st.DataObject
    ) -> None:
        """Whatever a field holds, the address answers and the delivery ends, and nobody leaves."""
        if not watched.team.members.filter(github_id=424242).exists():
            TeamMemberFactory(team=watched.team, github_id=424242)
        event = data.draw(st.sampled_from(EVENTS))
        payload: dict[str, Any] = {
            "action": data.draw(st.sampled_from(ACTIONS)),
            "organization": organization_of(watched),
            "membership": {"role": "member", "state": "active", "user": person(7)},
            "member": person(8),
            "repository": {"id": 5, "name": "api", "full_name": "a/b", "owner": person(9)},
            "installation": {"id": 3, "account": organization_of(watched), "permissions": {}},
            "account": organization_of(watched),
            "sender": person(1),
        }
        for _ in range(data.draw(st.integers(1, 3))):
            target = data.draw(st.sampled_from([payload, *_objects_in(payload)]))
            if target:
                target[data.draw(st.sampled_from(sorted(target)))] = data.draw(JSON_VALUES)
        answer = post(client, event, payload)
        assert answer.status_code in (200, 202)
        work()
        delivery = WebhookDelivery.objects.latest("pk")
        assert delivery.status in ("applied", "unchanged", "ignored", "failed"), delivery.body
        assert delivery.outcome != "internal_error"
        ada = TeamMember.objects.get(team=watched.team, github_id=424242)
        assert ada.is_active


def _objects_in(value: Any) -> list[dict[str, Any]]:
    found = [one for one in value.values() if isinstance(one, dict)]
    return found + [inner for one in found for inner in _objects_in(one)]
