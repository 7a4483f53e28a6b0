"""What admins see of webhooks, deliveries that GitHub could not bring, and what was missed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from integrations import tasks
from integrations.constants import WEBHOOK_KEPT_FOR
from integrations.models import DeliverySearch, MemberChange, WebhookDelivery
from integrations.services import app_connection, retention
from integrations.services.webhooks import search
from integrations.services.webhooks.missed import missed_count
from integrations.views.webhooks import masked_payload
from tests.factories import GitHubIntegrationFactory
from tests.syncing import roster, sync
from tests.webhook_deliveries import ADDRESS, membership_payload, person, post, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from integrations.models import GitHubIntegration, Team, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def club(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=6)


@pytest.fixture
def connected(acme: Team, alice: User, club: SandboxOrganization) -> GitHubIntegration:
    return app_connection.connect(acme, person=alice, installation_id=club.install())


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def hear(client: Client, integration: GitHubIntegration, **facts: Any) -> WebhookDelivery:
    """Have somebody added by a delivery of the integration's own installation."""
    assert integration.credential is not None
    payload = membership_payload(integration, "member_added", person(7, **facts))
    payload["installation"] = {"id": integration.credential.installation_id}
    assert post(client, "organization", payload).status_code == 202
    work()
    return WebhookDelivery.objects.latest("pk")


def test_an_older_installation_s_deliveries_are_no_longer_the_team_s(
    client: Client, connected: GitHubIntegration
) -> None:
    """One batch with both: an App that was uninstalled and installed anew has another id."""
    assert connected.credential is not None
    for number, installation_id in ((8, 1), (9, connected.credential.installation_id)):
        payload = membership_payload(connected, "member_added", person(number))
        post(client, "organization", payload | {"installation": {"id": installation_id}})
    work()
    assert set(connected.team.members.values_list("github_id", flat=True)) == {9}
    words = dict(WebhookDelivery.objects.values_list("subject_id", "outcome"))
    assert words == {8: "nobody_here", 9: ""}


class TestThePage:
    def test_it_lists_what_came_and_what_became_of_it(
        self, browser: Client, connected: GitHubIntegration
    ) -> None:
        delivery = hear(browser, connected, login="ada")
        page = browser.get(reverse("github_webhooks", args=["acme"])).content.decode()
        assert "organization.member_added" in page
        assert "Applied" in page
        filtered = browser.get(reverse("github_webhooks", args=["acme"]), {"status": "failed"})
        assert "organization.member_added" not in filtered.content.decode()
        address = reverse("github_webhook", args=["acme", delivery.pk])
        assert "ada" in browser.get(address).content.decode()
        history = browser.get(reverse("github_history", args=["acme"]), {"show": "changes"})
        assert "by webhook" in history.content.decode()

    def test_its_payload_masks_e_mails_and_escapes_the_rest(
        self, browser: Client, connected: GitHubIntegration
    ) -> None:
        delivery = hear(browser, connected, email="ada.l@example.com", bio="<script>x</script>")
        page = browser.get(reverse("github_webhook", args=["acme", delivery.pk])).content.decode()
        assert "ada.l@example.com" not in page
        assert "a•••@example.com" in page
        assert "<script>x" not in page

    @pytest.mark.parametrize("body", ["{", "[" * 100_000, '"ada@example.com"', "\u2028"])
    def test_whatever_the_body_is_it_can_be_shown(self, body: str) -> None:
        assert "ada@" not in masked_payload(body)

    def test_it_can_be_applied_again(self, browser: Client, connected: GitHubIntegration) -> None:
        delivery = hear(browser, connected)
        connected.team.members.all().delete()
        address = reverse("github_webhook_apply", args=["acme", delivery.pk])
        assert browser.post(address).status_code == 302
        # The second click finds it waiting.
        browser.post(address)
        work()
        assert connected.team.members.get().github_id == 7

    def test_nobody_else_sees_it(
        self, client: Client, connected: GitHubIntegration, bob: User, charlie: User
    ) -> None:
        delivery = hear(client, connected)
        names: tuple[tuple[str, list[Any]], ...] = (
            ("github_webhooks", []),
            ("github_webhook", [delivery.pk]),
        )
        for who, slug, status in ((bob, "acme", 403), (charlie, "acme", 404)):
            client.force_login(who)
            for name, arguments in names:
                assert client.get(reverse(name, args=[slug, *arguments])).status_code == status

    def test_a_team_of_another_installation_or_kind_is_shown_none(
        self, client: Client, connected: GitHubIntegration, charlie: User
    ) -> None:
        """Charlie's team watches the same organisation, with a person's token."""
        delivery = hear(client, connected)
        theirs = charlie.memberships.get().team
        GitHubIntegrationFactory(team=theirs, organization_id=connected.organization_id)
        client.force_login(charlie)
        address = reverse("github_webhook", args=[theirs.slug, delivery.pk])
        assert client.get(address).status_code == 404
        page = client.get(reverse("github_webhooks", args=[theirs.slug])).content.decode()
        assert "member_added" not in page
        assert "not connected by the GitHub App" in page

    def test_it_says_which_secret_is_still_in_use(
        self, browser: Client, connected: GitHubIntegration, settings: Any
    ) -> None:
        address = reverse("github_webhooks", args=["acme"])
        settings.GITHUB_WEBHOOK_SECRETS = ["fresh", "sandbox-webhook-secret"]
        hear(browser, connected)
        assert "still signs with an older one" in browser.get(address).content.decode()
        settings.GITHUB_WEBHOOK_SECRETS = ["sandbox-webhook-secret", "older"]
        hear(browser, connected)
        assert "can be removed" in browser.get(address).content.decode()

    def test_without_secrets_it_says_that_webhooks_are_off(
        self, browser: Client, connected: GitHubIntegration, settings: Any
    ) -> None:
        settings.GITHUB_WEBHOOK_SECRETS = []
        page = browser.get(reverse("github_webhooks", args=["acme"])).content.decode()
        assert "webhooks are off" in page

    def test_old_deliveries_are_forgotten(
        self, client: Client, connected: GitHubIntegration
    ) -> None:
        hear(client, connected)
        retention.prune(timezone.now())
        assert WebhookDelivery.objects.exists()
        retention.prune(timezone.now() + WEBHOOK_KEPT_FOR + timedelta(minutes=1))
        assert not WebhookDelivery.objects.exists()


class TestMissedDeliveries:
    def test_one_that_never_came_is_found_and_asked_for_again(
        self,
        client: Client,
        connected: GitHubIntegration,
        club: SandboxOrganization,
        sandbox: SandboxControl,
        wait_until: Callable[..., None],
    ) -> None:
        sync(connected)
        sandbox.change_app(deliveries_paused=True)
        try:
            added = club.add()
        finally:
            sandbox.change_app(deliveries_paused=False)
        lost = club.deliveries()[-1]
        assert lost["attempts"] == [0]
        # Of other tests' organisations there may be lost ones, too.
        assert search.search() >= 1
        [again] = [one for one in club.deliveries() if one["guid"] == lost["guid"]]
        assert len(again["attempts"]) == 2
        headers = dict(again["headers"])
        answer = client.post(
            ADDRESS, data=again["body"].encode(), content_type=headers.pop("Content-Type"),
            headers=headers,
        )  # fmt: skip
        assert answer.status_code == 202
        work()
        assert connected.team.members.get(github_id=added["id"]).is_active
        assert DeliverySearch.objects.get().found_count >= 1
        # It is here now: the next search asks for it no more.
        search.search()
        [known] = [one for one in club.deliveries() if one["guid"] == lost["guid"]]
        assert len(known["attempts"]) == 2

    def test_the_search_is_one_ticker_s(self, connected: GitHubIntegration) -> None:
        now = timezone.now()
        # On a server that has just been set up nothing was missed yet.
        assert not search.is_due(now)
        later = now + timedelta(minutes=16)
        assert [search.is_due(later) for _ in range(3)] == [True, False, False]

    def test_what_github_refuses_is_said_and_tried_again(
        self, browser: Client, connected: GitHubIntegration, settings: Any
    ) -> None:
        settings.GITHUB_APP_ID = "999999"
        tasks.search_deliveries_task.fn()
        assert DeliverySearch.objects.get().error_code == "app_refused"
        page = browser.get(reverse("github_webhooks", args=["acme"])).content.decode()
        assert "App&#x27;s id and private key" in page

    def test_what_a_full_read_had_to_correct_is_counted(
        self, browser: Client, connected: GitHubIntegration, club: SandboxOrganization
    ) -> None:
        sync(connected)
        week = timezone.now() - timedelta(days=7)
        # The first read finds everybody, which nobody missed.
        assert missed_count(connected, since=week) == 0
        told, gone = club.add(), club.somebody()
        club.add()
        club.remove(gone["login"])
        payload = membership_payload(connected, "member_added", person(told["id"], told["login"]))
        post(browser, "organization", payload)
        sync(connected)
        work()
        assert roster(connected).keys() == club.members().keys()
        assert MemberChange.objects.filter(team=connected.team, kind="left").count() == 1
        assert missed_count(connected, since=week) == 2
        page = browser.get(reverse("github_webhooks", args=["acme"])).content.decode()
        assert "missed 2 changes this week" in page
