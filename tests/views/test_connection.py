"""The page of the connection, and ending it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integrations.constants import SYNC_STATUS_ERROR, RunTrigger
from integrations.services.runs import start_run
from tests.factories import TeamMemberFactory

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from integrations.models import GitHubIntegration, User

pytestmark = pytest.mark.django_db


class TestDisconnect:
    def test_it_forgets_the_token_and_keeps_the_roster(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        TeamMemberFactory(team=integration.team)
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        client.force_login(alice)
        response = client.post(page("github_disconnect"))
        assert response.headers["Location"] == page("github_connection")
        integration.refresh_from_db()
        assert integration.credential is None
        assert integration.team.members.count() == 1
        run.refresh_from_db()
        assert run.status == SYNC_STATUS_ERROR
        assert run.error_code == "disconnected"

    def test_a_second_click_finds_nothing_to_do(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        client.force_login(alice)
        for _ in range(2):
            assert client.post(page("github_disconnect")).status_code == 302


class TestConnectionPage:
    def test_it_shows_whose_connection_it_is_and_no_token(
        self, client: Client, bob: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        credential = integration.credential
        assert credential is not None
        client.force_login(bob)
        text = client.get(page("github_connection")).content.decode()
        assert credential.github_username in text
        assert credential.access_token not in text

    def test_a_token_that_no_key_reads_says_reconnect(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        credential = integration.credential
        assert credential is not None
        credential.encrypted_access_token = "not-a-token"
        credential.save(update_fields=["encrypted_access_token"])
        client.force_login(alice)
        response = client.get(page("github_connection"))
        assert response.status_code == 200
        assert "econnect" in response.content.decode()
        assert client.get(page("github_select_org")).status_code == 502
