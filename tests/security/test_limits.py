"""Attempts to sign in are limited, over all web processes, and also while Redis is away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from allauth.account.adapter import get_adapter
from django.conf import settings
from django.core.cache.backends.locmem import LocMemCache
from django.urls import reverse

from project.cache import SharedCache, _Outage
from tests.factories import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client, RequestFactory

    from integrations.models import User
    from tests.processes import Valkey

# https://docs.allauth.org/en/latest/account/rate_limits.html: five in five minutes for an account.
FAILURES_ALLOWED = 5


@pytest.fixture(autouse=True)
def _no_outage_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin as a process that was just started, and leave nothing counted to the next test."""
    monkeypatch.setattr(_Outage, "ends_at", 0.0)
    yield
    LocMemCache("while-redis-is-away", {}).clear()


def a_process() -> SharedCache:
    """Return the cache as a web process of its own would make it."""
    return SharedCache(settings.LIVE_REDIS_URL, {"KEY_PREFIX": "a-test"})


class TestTheCache:
    def test_what_one_process_counts_another_sees(self) -> None:
        one, another = a_process(), a_process()
        one.set("attempts", [1.5, 2.5], 60)
        assert another.get("attempts") == [1.5, 2.5]
        assert not another.add("attempts", [], 60)
        another.delete("attempts")
        assert one.get("attempts") is None

    def test_it_forgets_in_time(self) -> None:
        one = a_process()
        one.set("attempts", [1], 0.05)
        one.set("gone-already", [1], 0)
        assert one.get("gone-already") is None
        deadline = time.monotonic() + 5
        while one.get("attempts") is not None:
            assert time.monotonic() < deadline

    def test_clearing_leaves_what_others_keep(self) -> None:
        one = a_process()
        other = SharedCache(settings.LIVE_REDIS_URL, {"KEY_PREFIX": "another"})
        one.set("attempts", [1], 60)
        other.set("attempts", [2], 60)
        one.clear()
        assert one.get("attempts") is None
        assert other.get("attempts") == [2]

    def test_while_redis_is_away_each_counts_for_itself(self, valkey: Valkey) -> None:
        valkey.stop()
        one = a_process()
        one.set("attempts", [1], 60)
        assert one.get("attempts") == [1]


@pytest.mark.django_db
class TestBehindProxies:
    """Failures are counted by address: which one that is, no client may say."""

    @pytest.mark.parametrize(
        ("given", "counted"),
        [
            (None, "192.0.2.1"),
            ("", "192.0.2.1"),
            # Past one of the two proxies: whoever opened the connection.
            ("198.51.100.7", "192.0.2.1"),
            ("198.51.100.7, 192.0.2.8", "198.51.100.7"),
            ("203.0.113.9, 198.51.100.7, 192.0.2.8", "198.51.100.7"),
        ],
    )
    def test_the_address_is_the_one_before_ours(
        self, given: str | None, counted: str, settings: Any, rf: RequestFactory
    ) -> None:
        settings.TRUSTED_PROXY_COUNT = settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2
        sent = {} if given is None else {"X-Forwarded-For": given}
        request = rf.get("/", headers=sent, REMOTE_ADDR="192.0.2.1")
        assert get_adapter(request).get_client_ip(request) == counted

    def test_a_chain_too_short_is_no_error_and_one_line_in_the_log(
        self, client: Client, alice: User, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.TRUSTED_PROXY_COUNT = settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2
        fields = {"login": alice.email, "password": PASSWORD}
        sent = {"X-Forwarded-For": "198.51.100.7"}
        assert client.post(reverse("account_login"), fields, headers=sent).status_code == 302
        said = [line for line in caplog.records if "fewer proxies" in str(line.msg)]
        assert {line.levelname for line in said} == {"WARNING"}


@pytest.mark.django_db
class TestSigningIn:
    def sign_in(self, client: Client, user: User, password: str) -> str:
        answer = client.post(
            reverse("account_login"), {"login": user.email, "password": password}, follow=True
        )
        return "in" if answer.context["user"].is_authenticated else answer.content.decode()

    def test_the_right_password_comes_in(self, client: Client, alice: User) -> None:
        assert self.sign_in(client, alice, PASSWORD) == "in"

    @pytest.mark.parametrize("redis", ["there", "away"])
    def test_guessing_ends_and_then_the_right_one_is_no_help(
        self, client: Client, alice: User, valkey: Valkey, redis: str
    ) -> None:
        if redis == "away":
            valkey.stop()
        for number in range(FAILURES_ALLOWED):
            assert "Too many" not in self.sign_in(client, alice, f"guess-{number}")
        assert "Too many failed" in self.sign_in(client, alice, PASSWORD)
