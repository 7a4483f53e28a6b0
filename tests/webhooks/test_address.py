"""The webhooks' address: what is taken there, and what is refused with which words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client as DjangoClient
from django.utils import timezone

from integrations import tasks
from integrations.github.webhooks import signature_of
from integrations.models import GitHubIntegration, WebhookDelivery
from integrations.services.webhooks import intake
from tests.webhook_deliveries import (
    ADDRESS,
    SECRET,
    guid_at,
    membership_payload,
    person,
    post,
    work,
)

if TYPE_CHECKING:
    from django.test import Client

    from tests.processes import Valkey

pytestmark = pytest.mark.django_db(transaction=True)


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
