"""Nothing that is, or looks like, a secret is kept, and ordinary words stay as they are."""

from __future__ import annotations

import json

import jwt
import pytest
from cryptography.fernet import Fernet
from django.conf import settings

from integrations.masking import MASK, masked, masked_within

SECRETS = {
    "a personal token": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "a fine-grained token": "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    "an installation token": "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
    "an installation token that holds a JSON web token": (
        f"ghs_12345_{jwt.encode({'iss': '1'}, 'k' * 32)}"
    ),
    "a token of the old format": "e72e16c7e42f292c6912e7710c838347ae178b4a",
    "a JSON web token": jwt.encode({"iss": "1"}, "k" * 32),
    "an encrypted token": Fernet(Fernet.generate_key()).encrypt(b"gho_1").decode(),
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS.keys())
@pytest.mark.parametrize("text", ["{}", "x{} ", 'a="{}"', "https://h/?q={}&b=1", "('{}',)"])
def test_a_secret_is_found_by_its_shape(secret: str, text: str) -> None:
    if text.startswith("x"):
        text = text.replace("x", "is: ")
    found = masked(text.format(secret))
    assert not any(part in found for part in secret.split("."))
    assert MASK in found


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef123456",
        "authorization: basic YWxpY2U6cGFzc3dvcmQ=",
        json.dumps({"access_token": "abcdef123456"}),
        json.dumps({"client_secret": "abcdef123456", "other": 1}),
        json.dumps(json.dumps({"password": "abcdef123456"})),
        "{'api_key': 'abcdef123456'}",
        "secret=abcdef123456&grant=1",
        "postgres://rollcall:abcdef123456@db/rollcall",
        "redis://:abcdef123456@redis:6379/0",
    ],
)
def test_a_secret_is_found_by_its_name(text: str) -> None:
    assert "abcdef123456" not in masked(text)
    assert "YWxpY2U6cGFzc3dvcmQ=" not in masked(text)
    assert MASK in masked(text)


def test_a_private_key_is_masked_to_its_end() -> None:
    text = f"before\n{settings.GITHUB_APP_PRIVATE_KEY}\nafter"
    assert masked(text) == f"before\n{MASK}\nafter"


def test_what_the_settings_hold_is_masked_wherever_it_stands() -> None:
    for secret in (settings.SECRET_KEY, *settings.GITHUB_WEBHOOK_SECRETS):
        assert secret not in masked(f"({secret})")


@pytest.mark.parametrize(
    "text",
    [
        '{"args": [17], "kwargs": {}}',
        "ValueError: the token holds signs that no token has",
        "bad_credentials: status 401, request ABCD:1234",
        "sync_github_members_task in interactive, run 17 of acme",
        "http://127.0.0.1:8000/t/acme/live/?lastEventId=team-7:3",
        "0b5f1c1e-5d0c-4b9a-8a6e-1f3a5c7d9e0b",
        "François «admin» <b>x</b>",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("{'Authorization': 'token abcdef123456'}", "abcdef123456"),
        ("Authorization: token abcdef123456", "abcdef123456"),
        ("Authorization: Bearer secretword", "secretword"),
        ("X-Hub-Signature-256: sha256=" + "0a" * 32, "0a" * 32),
        ("{'sessionid': 'abcdefgh1234'}", "abcdefgh1234"),
        ("GET /github/callback/?code=abcdef1234567890&state=xyzxyzxyzxyz", "abcdef1234567890"),
        ("GET /invitations/Ab-cdefghijkl1234/", "Ab-cdefghijkl1234"),
        ("password: Hunter", "Hunter"),
    ],
)
def test_a_secret_is_found_in_headers_and_addresses(text: str, secret: str) -> None:
    assert secret not in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "token: expired",
        "the password: required",
        "basic members of acme",
        "authorization: refused by the organisation",
        '{"token": null, "credential_id": 17, "secret_index": 0}',
    ],
)
def test_words_about_secrets_stay(text: str) -> None:
    assert masked(text) == text


def test_secrets_are_found_within_mappings_and_lists() -> None:
    found = masked_within(
        {"args": (1, "ghp_16C7e42F292c6912"), "headers": {"Cookie": "a=b"}, "count": 3, "x": None}
    )
    assert found == {"args": [1, MASK], "headers": {"Cookie": MASK}, "count": 3, "x": None}
