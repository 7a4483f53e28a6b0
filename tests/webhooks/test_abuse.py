"""Very many deliveries, bad ones, and those that fail on our side."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from integrations import tasks
from integrations.constants import WEBHOOK_BATCH_SIZE
from integrations.models import GitHubIntegration, MemberChange, WebhookDelivery, WebhookInbox
from integrations.services.webhooks import drain, intake
from tests.factories import GitHubIntegrationFactory
from tests.webhook_deliveries import membership_payload, person, post, work

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)


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
