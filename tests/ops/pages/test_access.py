"""Who sees the operators' pages, and how; nobody else learns that they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from django.test import Client
from django.urls import reverse

from integrations.constants import RunTrigger
from integrations.models import OperatorAct, User
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory
from tests.ops import samples
from tests.ops.pages.reading import words_of

if TYPE_CHECKING:
    from integrations.models import Team

pytestmark = pytest.mark.django_db

GET: Final = ("ops", "ops_runs", "ops_messages", "ops_acts", "ops_live")
POST: Final[tuple[tuple[str, list[Any]], ...]] = (
    ("ops_queue_pause", ["scheduled"]),
    ("ops_queue_resume", ["scheduled"]),
    ("ops_queue_requeue", ["scheduled"]),
    ("ops_process_forget", ["some-process"]),
    ("ops_run_retry", [1]),
    ("ops_run_cancel", [1]),
    ("ops_messages_act", []),
)
ADDRESSES: Final = (
    *(reverse(name) for name in GET),
    reverse("ops_message", args=[samples.MESSAGE_ID]),
    *(reverse(name, args=args) for name, args in POST),
)


class TestAccess:
    @pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options"])
    @pytest.mark.parametrize("address", ADDRESSES)
    def test_nobody_else_learns_that_there_is_something(
        self, address: str, method: str, alice: User
    ) -> None:
        """Not even by a token that is refused."""
        for user in (None, alice):
            client = Client(enforce_csrf_checks=True)
            if user is not None:
                client.force_login(user)
            assert getattr(client, method)(address).status_code == 404

    def test_staff_who_were_switched_off_see_nothing(self, olga: User, operator: Client) -> None:
        olga.is_active = False
        olga.save(update_fields=["is_active"])
        assert operator.get(reverse("ops")).status_code == 404

    @pytest.mark.parametrize(("name", "args"), POST)
    def test_an_act_needs_post_and_a_token(self, olga: User, name: str, args: list[Any]) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(olga)
        address = reverse(name, args=args)
        # `messages/act/` is no message.
        assert client.get(address).status_code == 405
        assert client.post(address).status_code == 403
        assert not OperatorAct.objects.exists()

    @pytest.mark.parametrize("name", GET[:-1])
    def test_pages_are_english_and_kept_by_nobody(self, operator: Client, name: str) -> None:
        response = operator.get(reverse(name), headers={"Accept-Language": "de"})
        assert response.status_code == 200
        assert '<html lang="en"' in words_of(response)
        assert response.headers["Content-Language"] == "en"
        assert "no-store" in response.headers["Cache-Control"]

    def test_the_menu_leads_there_for_staff_only(self, olga: User, alice: User) -> None:
        for user, is_shown in ((olga, True), (alice, False)):
            client = Client()
            client.force_login(user)
            page = words_of(client.get(reverse("account_email")))
            assert (f'href="{reverse("ops")}"' in page) is is_shown

    @pytest.mark.parametrize(("is_staff", "link_count"), [(True, 2), (False, 0)])
    def test_a_sync_under_way_leads_there_beside_the_menu(
        self, acme: Team, alice: User, is_staff: bool, link_count: int
    ) -> None:
        integration = GitHubIntegrationFactory(team=acme)
        start_run(integration, trigger=RunTrigger.MANUAL)
        User.objects.filter(pk=alice.pk).update(is_staff=is_staff)
        client = Client()
        client.force_login(alice)
        page = words_of(client.get(reverse("github_members", args=["acme"])))
        assert page.count(f'href="{reverse("ops")}"') == link_count
