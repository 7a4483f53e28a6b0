"""What every answer of the production web process tells browsers, caches and strangers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.urls import reverse

from integrations.models import Membership, User
from tests.browser.everything import fill
from tests.factories import PASSWORD
from tests.security.production import HOST, cookies_of

if TYPE_CHECKING:
    import requests

    from integrations.models import Team
    from tests.security.production import ProductionWeb

pytestmark = pytest.mark.processes

# Of every answer to https, whoever asks and whatever comes of it.
ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
}
# Of every page, error and piece of JSON; a static file is no document.
OF_PAGES: Final = {"X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin"}
PRIVATE: Final = {"private", "no-store"}


def directives(response: requests.Response) -> dict[str, str]:
    parts = response.headers["Content-Security-Policy"].split(";")
    return {name: rest for name, _, rest in (one.strip().partition(" ") for one in parts)}


def tells_nothing_of_the_server(response: requests.Response) -> bool:
    return not {"Server", "X-Powered-By", "Via"} & set(response.headers)


def is_kept_by_nobody(response: requests.Response) -> bool:
    given = {word.strip() for word in response.headers.get("Cache-Control", "").split(",")}
    return given >= PRIVATE


def holds_to_the_policy(response: requests.Response) -> bool:
    """Say whether scripts, styles and requests come from and go to ourselves alone."""
    found = directives(response)
    return (
        found["default-src"] == "'none'"
        and {found[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
        and {found[name] for name in ("frame-ancestors", "base-uri")} == {"'none'"}
        and "unsafe" not in response.headers["Content-Security-Policy"]
    )


class TestEveryKindOfAnswer:
    def test_pages_and_errors(
        self, production: ProductionWeb, acme: Team, alice: User, bob: User
    ) -> None:
        """Public, of a team, of operators, of the admin, JSON, a file to keep, and every error."""
        inside = fill(acme, alice).inside
        User.objects.filter(pk=alice.pk).update(is_superuser=True)
        kinds: list[tuple[str, str, User | None, int]] = [
            ("GET", "/", None, 200),
            ("GET", reverse("account_login"), None, 200),
            ("GET", "/accounts/password/reset/", None, 200),
            ("GET", "/nowhere/", None, 404),
            ("GET", reverse("github_members", args=["acme"]), None, 302),
            ("GET", "/healthz", None, 200),
            ("POST", reverse("github_webhooks_receive"), None, 415),
            ("POST", reverse("account_login"), None, 403),
            ("GET", reverse("fail", urlconf="tests.security.production_urls"), None, 500),
            ("GET", reverse("github_members_sync", args=["acme"]), alice, 405),
            ("GET", reverse("github_select_org", args=["acme"]), bob, 403),
            ("GET", reverse("github_members_csv", args=["acme"]), alice, 200),
            ("GET", "/admin/", alice, 200),
            ("GET", "/metrics", alice, 200),
            *(
                ("GET", path, alice, 200)
                for path in inside
                if path not in {"/styleguide/", "/nowhere/"}
            ),
        ]
        for method, path, user, status in kinds:
            response = production.ask(path, method=method, user=user)
            what = f"{method} {path}"
            assert response.status_code == status, (what, response.status_code)
            assert ALWAYS.items() <= response.headers.items(), what
            assert OF_PAGES.items() <= response.headers.items(), what
            assert "camera=()" in response.headers["Permissions-Policy"], what
            assert holds_to_the_policy(response), what
            assert tells_nothing_of_the_server(response), what
            if user is not None and status != 405:
                assert is_kept_by_nobody(response), what

    def test_an_error_shows_no_reason(self, production: ProductionWeb) -> None:
        before = len(production.process.output)
        page = production.ask("/fail/").text
        said = production.process.output[before:]
        assert "Traceback" not in page
        assert "the fault of the view" not in page
        assert "RuntimeError: the fault of the view" in said
        assert "ghp_16C7" not in said

    def test_a_file_may_be_kept_and_is_none_of_the_page(self, production: ProductionWeb) -> None:
        [name] = [
            path.name
            for path in (production.static_root / "css").glob("tokens.*.css")
            if path.name != "tokens.css"
        ]
        response = production.ask(f"/static/css/{name}")
        assert ALWAYS.items() <= response.headers.items()
        assert "immutable" in response.headers["Cache-Control"]
        assert tells_nothing_of_the_server(response)
        assert "Set-Cookie" not in response.headers
        for path in ("/static/../manage.py", "/static/%2e%2e/manage.py", "/static//etc/passwd"):
            assert production.ask(path).status_code == 404

    def test_a_stream(self, production: ProductionWeb, acme: Team, alice: User) -> None:
        with production.ask(reverse("live", args=["acme"]), user=alice) as response:
            assert response.status_code == 200
            assert ALWAYS.items() <= response.headers.items()
            assert tells_nothing_of_the_server(response)
            assert response.headers["Cache-Control"] == "no-cache, no-transform"
            assert "Access-Control-Allow-Origin" not in response.headers
        refused = production.ask(reverse("live", args=["acme"]))
        assert refused.status_code == 401
        assert ALWAYS.items() <= refused.headers.items()


class TestCookies:
    def test_they_are_for_this_host_over_https_and_no_script(
        self, production: ProductionWeb, alice: User
    ) -> None:
        alice.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt", iterations=1)
        alice.save(update_fields=["password"])
        form = production.ask(reverse("account_login"))
        csrf = cookies_of(form)["__Host-csrftoken"]
        response = production.ask(
            reverse("account_login"),
            method="POST",
            headers={
                "Cookie": f"__Host-csrftoken={csrf.value}", "X-CSRFToken": csrf.value,
                "Origin": f"https://{HOST}",
            },
            data={"login": alice.email, "password": PASSWORD},
        )  # fmt: skip
        assert response.status_code == 302
        for cookie in (csrf, cookies_of(response)["__Host-sessionid"]):
            assert cookie["secure"]
            assert cookie["httponly"]
            assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Lax", "/", "")

    def test_the_operators_cookie_too(self, production: ProductionWeb, alice: User) -> None:
        User.objects.filter(pk=alice.pk).update(is_staff=True)
        cookie = cookies_of(production.ask("/ops/", user=alice))["operator"]
        assert cookie["secure"]
        assert cookie["httponly"]
        assert (cookie["samesite"], cookie["path"]) == ("Strict", "/ops/")


class TestPlainHttp:
    def test_it_leads_to_https_and_hands_out_nothing(
        self, production: ProductionWeb, acme: Team, alice: User
    ) -> None:
        assert Membership.objects.filter(user=alice).exists()
        path = reverse("github_members", args=["acme"])
        response = production.ask(path, user=alice, scheme="http")
        assert response.status_code == 301
        assert response.headers["Location"] == f"https://{HOST}{path}"
        assert response.content == b""
