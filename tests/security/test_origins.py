"""Who may make a browser write, under which name, and where to: CSRF, Origin, Host, `next`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.core import mail
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from integrations.models import User
from tests.factories import PASSWORD
from tests.security.production import HOST, SESSION_COOKIE, session_of
from tests.security.walk import Address, addresses, changes, fingerprint, plant

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from integrations.models import Team
    from tests.security.production import ProductionWeb

pytestmark = pytest.mark.django_db(transaction=True)

EVIL: Final = "evil.example"
# GitHub sends no token of ours, but a signature: tests/webhooks/test_address.py.
SIGNED_INSTEAD: Final = {"github_webhooks_receive"}
# Asked by machines, without a cookie; they write nothing.
MACHINES: Final = {"healthz", "readyz"}
# Refuses every POST before anything is compared.
ONLY_GET: Final = {"ops_live"}
TOKEN: Final = "t" * 32
WITH_TOKEN: Final = {"csrfmiddlewaretoken": TOKEN}
REFUSED: Final = b"refused for its token or its origin"


def refuse(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that it was the CSRF check that refused, and nothing else."""
    return HttpResponse(REFUSED, status=403)


@pytest.fixture
def browser(alice: User) -> Client:
    """Alice's, who may do everything: nothing but the token is missing."""
    User.objects.filter(pk=alice.pk).update(is_superuser=True, is_staff=True)
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    return client


@pytest.fixture
def everywhere(acme: Team, alice: User) -> list[tuple[Address, str]]:
    examples = plant(acme, alice)
    left_out = SIGNED_INSTEAD | MACHINES
    return [(one, one.path(examples)) for one in addresses() if one.name not in left_out]


class TestForgedForms:
    """https://owasp.org/www-community/attacks/csrf"""

    def test_no_address_takes_one(
        self, browser: Client, everywhere: list[tuple[Address, str]], settings: Any
    ) -> None:
        """Every address there is, as somebody who may do everything: without the token, and with
        it from a page of another site.
        """
        settings.CSRF_FAILURE_VIEW = "tests.security.test_origins.refuse"
        browser.cookies[settings.CSRF_COOKIE_NAME] = TOKEN
        before = fingerprint(without=frozenset())
        for address, path in everywhere:
            for fields, sent in (({}, {}), (WITH_TOKEN, {"Origin": f"https://{EVIL}"})):
                response = browser.post(path, fields, headers=sent)
                if address.name in ONLY_GET:
                    assert response.status_code == 405
                else:
                    assert response.content == REFUSED, (path, response.status_code)
        assert changes(before, fingerprint(without=frozenset())) == []
        assert len(everywhere) > 200

    def test_a_token_of_another_browser_is_none(self, browser: Client, acme: Team) -> None:
        path = reverse("team_settings", args=[acme.slug])
        for cookie, sent in (("u" * 32, {}), ("", {}), (TOKEN, {"Origin": "null"})):
            browser.cookies[settings.CSRF_COOKIE_NAME] = cookie
            fields = {"team_name": "Mine", **WITH_TOKEN}
            assert browser.post(path, fields, headers=sent).status_code == 403, cookie
        acme.refresh_from_db()
        assert acme.name == "Acme"

    def test_ours_is_taken(self, browser: Client, acme: Team, alice: User) -> None:
        """With the token, and from where our pages are: the walk refuses for no other reason."""
        browser.cookies[settings.CSRF_COOKIE_NAME] = TOKEN
        for sent in ({}, {"Origin": "http://testserver"}):
            response = browser.post(
                reverse("team_settings", args=[acme.slug]),
                {"team_name": "Renamed", **WITH_TOKEN}, headers=sent,
            )  # fmt: skip
            assert response.status_code == 302
        acme.refresh_from_db()
        assert acme.name == "Renamed"

    def test_machines_write_nothing(self, client: Client) -> None:
        before = fingerprint(without=frozenset())
        for name in MACHINES:
            assert client.post(reverse(name)).status_code in {200, 405, 500, 503}
        assert changes(before, fingerprint(without=frozenset())) == []


@pytest.mark.processes
class TestOverHttps:
    def test_a_form_says_where_it_comes_from(
        self, production: ProductionWeb, acme: Team, alice: User
    ) -> None:
        """Neither Origin nor Referer, as no browser sends a form over https: refused."""
        path, key = reverse("team_settings", args=[acme.slug]), session_of(alice)

        def status(**headers: str | None) -> int:
            return production.submit(
                path, {"team_name": "Mine"}, session_key=key, headers=headers
            ).status_code

        assert status() == 302
        own, foreign = f"https://{HOST}/", f"https://{EVIL}/"
        for origin, referer, expected in (
            ("", own, 302), ("", foreign, 403), ("", "", 403), (f"http://{HOST}", own, 403),
            (f"https://{HOST}.{EVIL}", own, 403), (f"https://{HOST}:444", own, 403),
        ):  # fmt: skip
            found = status(Referer=referer or None, Origin=origin or None)
            assert found == expected, (origin, referer)

    def test_another_host_gets_nothing_and_one_line_in_the_log(
        self, production: ProductionWeb, acme: Team, alice: User
    ) -> None:
        stream, delivery = reverse("live", args=[acme.slug]), reverse("github_webhooks_receive")
        asked = [
            ("GET", "/"), ("GET", "/accounts/login/"), ("GET", "/nowhere/"), ("GET", "/ops/"),
            ("GET", reverse("github_members", args=[acme.slug])), ("GET", stream),
            ("GET", "/healthz"), ("GET", "/metrics"), ("POST", delivery), ("POST", "/admin/login/"),
        ]  # fmt: skip
        for host in (EVIL, f"{HOST}.{EVIL}", f"{HOST}@{EVIL}", "x" * 5_000, "a b", ""):
            for method, path in asked:
                before = len(production.process.output)
                response = production.ask(path, method=method, host=host, user=alice)
                assert response.status_code == 400, (host[:40], method, path)
                assert "acme" not in response.text
                lines = production.process.output[before:].splitlines()
                said = [json.loads(line) for line in lines if "HTTP_HOST" in line]
                if host:
                    [line] = said
                    assert line["level"] == "warning"
                    assert len(line["event"]) <= 400
                assert not [line for line in lines if "Traceback" in line or '"error"' in line]

    def test_a_claimed_host_is_not_believed(self, production: ProductionWeb, alice: User) -> None:
        for name in ("X-Forwarded-Host", "X-Host", "X-Original-Host", "Forwarded"):
            value = f"host={EVIL}" if name == "Forwarded" else EVIL
            page = production.ask("/accounts/login/?next=/teams/new/", headers={name: value})
            assert page.status_code == 200
            assert EVIL not in page.text + str(page.headers)
            led = production.ask("/teams/new/", headers={name: value})
            assert led.headers["Location"] == "/accounts/login/?next=/teams/new/"


class TestMails:
    """A mail's links lead home whatever host the request named."""

    @pytest.fixture(autouse=True)
    def _any_host(self, settings: Any) -> None:
        # As loose as it can be set: a wildcard lets every Host in.
        settings.ALLOWED_HOSTS = ["*"]
        settings.SITE_URL = "https://rollcall.example"

    @pytest.mark.parametrize("sent", [{"Host": EVIL}, {"X-Forwarded-Host": EVIL}])
    def test_a_new_password_s(self, client: Client, alice: User, sent: dict[str, str]) -> None:
        client.post(reverse("account_reset_password"), {"email": alice.email}, headers=sent)
        [message] = mail.outbox
        assert EVIL not in str(message.message())
        assert "https://rollcall.example/accounts/password/reset/key/" in message.body
        assert message.subject.startswith("[rollcall.example] ")

    def test_a_new_account_s(self, client: Client, settings: Any) -> None:
        settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
        fields = {"email": "new@example.com", "password1": PASSWORD, "team_name": "New"}
        client.post(reverse("account_signup"), fields, headers={"Host": EVIL})
        [message] = mail.outbox
        assert EVIL not in str(message.message())
        assert "https://rollcall.example/accounts/confirm-email/" in message.body

    def test_one_about_an_account_that_nobody_has(self, client: Client) -> None:
        fields = {"email": "nobody@example.com"}
        client.post(reverse("account_reset_password"), fields, headers={"Host": EVIL})
        [message] = mail.outbox
        assert EVIL not in str(message.message())
        assert "https://rollcall.example/accounts/signup/" in message.body


# What browsers take for another site, in the spellings that have got past others' checks.
ELSEWHERE: Final = (
    f"https://{EVIL}/", f"//{EVIL}/", f"///{EVIL}", f"/\\{EVIL}", f"\\\\{EVIL}", f"/\t/{EVIL}",
    f"http:{EVIL}", f"https:/{EVIL}", f"https:///{EVIL}", f" https://{EVIL}", f"\x08//{EVIL}",
    "javascript:alert(1)", "data:text/html,x", f"https://testserver@{EVIL}",
    f"https://testserver.{EVIL}/", f"//testserver\\@{EVIL}", f"ftp://{EVIL}",
)  # fmt: skip


def leads_home(location: str) -> bool:
    # As browsers read it: backslashes are slashes, control signs and spaces are dropped.
    read = re.sub(r"[\x00-\x20]", "", location).replace("\\", "/")
    parts = urlsplit(read)
    is_local = not parts.scheme and not parts.netloc
    return is_local and read.startswith("/") and not read.startswith("//")


class TestNext:
    """https://cheatsheetseries.owasp.org/cheatsheets/Unvalidated_Redirects_and_Forwards_Cheat_Sheet.html"""

    @pytest.fixture(params=["login", "signed in", "logout", "language", "admin", "callback"])
    def ask(self, request: pytest.FixtureRequest, alice: User) -> Callable[[str], str]:
        """Ask one of those who lead on; return where to."""
        client = Client()
        kind = request.param
        if kind not in {"login"}:
            client.force_login(alice)
        if kind == "admin":
            User.objects.filter(pk=alice.pk).update(is_staff=True)

        def answer(target: str) -> str:
            if kind == "language":
                fields = {"language": "de", "next": target}
                sent = {"Referer": f"https://{EVIL}/"}
                response = client.post(reverse("set_language"), fields, headers=sent)
            elif kind == "login":
                fields = {"login": alice.email, "password": PASSWORD, "next": target}
                response = client.post(reverse("account_login"), fields)
                client.logout()
            elif kind == "logout":
                client.force_login(alice)
                response = client.post(reverse("account_logout"), {"next": target})
            elif kind == "callback":
                query = {"next": target, "state": "x", "code": "y"}
                response = client.get(reverse("github_callback"), query)
            else:
                path = reverse("admin:login" if kind == "admin" else "account_login")
                response = client.get(path, {"next": target})
            assert response.status_code == 302, (kind, target)
            return str(response.headers["Location"])

        return answer

    def test_it_leads_nowhere_else(self, ask: Callable[[str], str]) -> None:
        for target in ELSEWHERE:
            assert leads_home(ask(target)), target

    def test_it_leads_to_pages_of_ours(self, client: Client, alice: User) -> None:
        fields = {"login": alice.email, "password": PASSWORD, "next": "/teams/new/"}
        response = client.post(reverse("account_login"), fields)
        assert response.headers["Location"] == "/teams/new/"

    def test_the_check_knows_other_sites(self) -> None:
        assert not any(leads_home(target) for target in ELSEWHERE)
        assert leads_home("/t/acme/")


@pytest.mark.processes
def test_a_session_of_another_site_s_name_is_none(
    production: ProductionWeb, acme: Team, alice: User
) -> None:
    """Over https only the cookie with the prefix counts, which no neighbour can plant."""
    path, key = reverse("github_members", args=[acme.slug]), session_of(alice)
    plain = production.ask(path, headers={"Cookie": f"sessionid={key}"})
    assert plain.status_code == 302
    assert production.ask(path, headers={"Cookie": f"{SESSION_COOKIE}={key}"}).status_code == 200
