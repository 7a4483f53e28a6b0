"""Signing in at GitHub with PKCE, and giving a token back."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from integrations.github import oauth
from integrations.github.errors import (
    GitHubError,
    OAuthError,
    RateLimited,
    Unavailable,
    UnexpectedAnswer,
)
from tests.github.scripted import ScriptedGitHub

GRANT = {"access_token": "gho_alices", "scope": "read:org,user:email", "token_type": "bearer"}
CALLBACK = "https://rollcall.example/github/callback/"


def exchange(github: ScriptedGitHub) -> oauth.TokenGrant:
    return oauth.exchange_code(
        github_url=github.url,
        client_id="client",
        client_secret="secret",
        code="abc",
        redirect_uri=CALLBACK,
        code_verifier="verifier",
    )


def revoke(github: ScriptedGitHub) -> None:
    oauth.revoke_token(
        api_url=github.api_url, client_id="client", client_secret="secret", access_token="gho_a"
    )


class TestProof:
    def test_the_challenge_is_that_of_the_rfc(self) -> None:
        # RFC 7636, appendix B.
        verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        assert oauth.challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

    def test_a_verifier_is_long_enough_and_new_each_time(self) -> None:
        verifiers = {oauth.new_verifier() for _ in range(10)}
        assert len(verifiers) == 10
        assert all(43 <= len(verifier) <= 128 for verifier in verifiers)


class TestAuthorizeUrl:
    def url(self, **changes: str) -> str:
        return oauth.authorize_url(
            github_url="https://github.com/",
            client_id="client",
            redirect_uri=CALLBACK,
            state="a&b",
            code_challenge="challenge",
            scopes=("read:org", "user:email"),
            **changes,
        )

    def test_it_asks_for_everything_once(self) -> None:
        parts = urlsplit(self.url())
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == (
            "https://github.com/login/oauth/authorize"
        )
        assert parse_qs(parts.query) == {
            "client_id": ["client"],
            "redirect_uri": [CALLBACK],
            "scope": ["read:org user:email"],
            "state": ["a&b"],
            "code_challenge": ["challenge"],
            "code_challenge_method": ["S256"],
        }

    def test_it_can_suggest_an_account(self) -> None:
        assert parse_qs(urlsplit(self.url(login="alice")).query)["login"] == ["alice"]


class TestExchangeCode:
    def test_it_sends_code_and_proof(self, github: ScriptedGitHub) -> None:
        github.answers(GRANT)
        grant = exchange(github)
        assert grant.access_token == "gho_alices"
        assert grant.scopes == {"read:org", "user:email"}
        assert (grant.token_type, grant.refresh_token, grant.expires_in) == ("bearer", "", None)
        asked = github.asked[0]
        assert (asked.method, asked.path) == ("POST", "/login/oauth/access_token")
        assert asked.headers["accept"] == "application/json"
        assert "authorization" not in asked.headers
        assert asked.body == {
            "client_id": "client",
            "client_secret": "secret",
            "code": "abc",
            "redirect_uri": CALLBACK,
            "code_verifier": "verifier",
        }

    def test_nothing_granted_is_an_empty_set(self, github: ScriptedGitHub) -> None:
        github.answers(GRANT | {"scope": ""})
        assert exchange(github).scopes == frozenset()

    def test_its_repr_holds_no_token(self, github: ScriptedGitHub) -> None:
        github.answers(GRANT | {"refresh_token": "ghr_alices"})
        assert "alices" not in repr(exchange(github))

    @pytest.mark.parametrize("status", [200, 400])
    def test_githubs_refusal_keeps_its_code(self, github: ScriptedGitHub, status: int) -> None:
        error = {"error": "bad_verification_code", "error_description": "Incorrect or expired."}
        github.answers(error, status=status)
        with pytest.raises(OAuthError) as caught:
            exchange(github)
        assert caught.value.code == "bad_verification_code"
        assert caught.value.reason == "oauth_bad_verification_code"
        assert "Incorrect or expired." in str(caught.value)

    def test_an_unknown_app_is_one_with_wrong_credentials(self, github: ScriptedGitHub) -> None:
        github.answers({"error": "Not Found"}, status=404)
        with pytest.raises(OAuthError) as caught:
            exchange(github)
        assert caught.value.code == "incorrect_client_credentials"

    @pytest.mark.parametrize(
        ("status", "expected"), [(429, RateLimited), (500, Unavailable), (302, UnexpectedAnswer)]
    )
    def test_other_statuses_mean_what_they_always_do(
        self, github: ScriptedGitHub, status: int, expected: type[GitHubError]
    ) -> None:
        github.answers({}, status=status)
        with pytest.raises(expected):
            exchange(github)

    @pytest.mark.parametrize(
        "body",
        [
            b"access_token=gho_a&scope=",
            [],
            {},
            {"access_token": None},
            {"access_token": "gho_a\r\nX: y"},
            {"access_token": "gho_ä"},
            {"access_token": 1},
            {"error": 1},
            GRANT | {"expires_in": "soon"},
            GRANT | {"expires_in": 10**15},
        ],
    )
    def test_another_shape_is_unexpected(self, github: ScriptedGitHub, body: Any) -> None:
        github.answers(body)
        with pytest.raises(UnexpectedAnswer):
            exchange(github)


class TestRefresh:
    def test_it_gives_a_new_pair(self, github: ScriptedGitHub) -> None:
        github.answers(
            GRANT | {"access_token": "ghu_new", "refresh_token": "ghr_new", "expires_in": 28800}
        )
        grant = oauth.refresh(
            github_url=github.url,
            client_id="client",
            client_secret="secret",
            refresh_token="ghr_old",
        )
        assert (grant.access_token, grant.refresh_token) == ("ghu_new", "ghr_new")
        assert grant.expires_in == timedelta(hours=8)
        assert github.asked[0].body["grant_type"] == "refresh_token"
        assert github.asked[0].body["refresh_token"] == "ghr_old"


class TestRevokeToken:
    def test_it_proves_which_app_asks(self, github: ScriptedGitHub) -> None:
        github.answers(status=204)
        revoke(github)
        asked = github.asked[0]
        assert (asked.method, asked.path) == ("DELETE", "/api/v3/applications/client/token")
        proof = base64.b64encode(b"client:secret").decode()
        assert asked.headers["authorization"] == f"Basic {proof}"
        assert asked.body == {"access_token": "gho_a"}

    def test_a_token_already_gone_is_fine(self, github: ScriptedGitHub) -> None:
        github.answers({"message": "Not Found"}, status=404)
        revoke(github)

    def test_wrong_credentials_are_the_apps(self, github: ScriptedGitHub) -> None:
        github.answers({"message": "Bad credentials"}, status=401)
        with pytest.raises(OAuthError) as caught:
            revoke(github)
        assert caught.value.code == "incorrect_client_credentials"

    def test_a_fault_is_told(self, github: ScriptedGitHub) -> None:
        github.answers({}, status=503)
        with pytest.raises(Unavailable):
            revoke(github)
