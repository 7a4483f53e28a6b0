"""A session begins with signing in, ends with signing out or another password, and tells nobody
who has an account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client
from django.urls import reverse

from tests.factories import PASSWORD
from tests.live.sse import SseClient
from tests.processes import wait_until
from tests.security.production import HOST, SESSION_COOKIE, session_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.models import Team, User
    from tests.security.production import ProductionWeb

NEW_PASSWORD: Final = "another horse, another battery"


@pytest.fixture
def registered(alice: User) -> User:
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    return alice


def key_in(client: Client) -> str:
    found = client.cookies.get(settings.SESSION_COOKIE_NAME)
    return found.value if found else ""


def sign_in(client: Client, user: User, password: str = PASSWORD) -> Any:
    return client.post(reverse("account_login"), {"login": user.email, "password": password})


def is_in(client: Client) -> bool:
    return client.get(reverse("team_new")).status_code == 200


def with_key(key: str) -> Client:
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = key
    return client


def change_password(client: Client) -> None:
    fields = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert client.post(reverse("account_change_password"), fields).status_code == 302


def reset_password(client: Client, user: User) -> None:
    client.post(reverse("account_reset_password"), {"email": user.email})
    [path] = re.findall(r"(/accounts/password/reset/key/\S+)", str(mail.outbox[-1].body))
    form = client.get(path, follow=True)
    fields = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert client.post(form.request["PATH_INFO"], fields).status_code == 302


@pytest.mark.django_db
class TestFixation:
    """https://owasp.org/www-community/attacks/Session_fixation"""

    @pytest.mark.parametrize("planted", ["of our own making", "made up"])
    def test_signing_in_begins_another(
        self, client: Client, registered: User, planted: str
    ) -> None:
        if planted == "made up":
            key = "x" * 32
            client.cookies[settings.SESSION_COOKIE_NAME] = key
        else:
            session = client.session
            session["seen"] = True
            session.save()
            key = key_in(client)
            assert key
        assert sign_in(client, registered).status_code == 302
        assert is_in(client)
        assert key_in(client) not in {key, ""}
        assert not is_in(with_key(key))
        assert not Session.objects.filter(pk=key).exists()

    def test_somebody_else_s_signing_in_takes_nothing_over(
        self, client: Client, registered: User, bob: User
    ) -> None:
        """On a browser that two people share, neither what was kept nor the key."""
        sign_in(client, registered)
        key, session = key_in(client), client.session
        session["github_oauth_attempt"] = {"of": "alice"}
        session.save()
        client.force_login(bob)
        assert key_in(client) != key
        assert "github_oauth_attempt" not in client.session
        assert not is_in(with_key(key))

    def test_a_key_in_an_address_is_none(self, registered: User) -> None:
        path = f"{reverse('team_new')}?{settings.SESSION_COOKIE_NAME}={session_of(registered)}"
        assert Client().get(path).status_code == 302

    def test_a_row_that_was_tampered_with_is_none(self, client: Client, registered: User) -> None:
        """Whoever can write to the table alone signs nobody in: what it holds is signed."""
        sign_in(client, registered)
        row = Session.objects.get(pk=key_in(client))
        data, _, signature = row.session_data.rpartition(":")
        row.session_data = f"{data}:{signature[::-1]}"
        row.save()
        assert not is_in(client)


@pytest.mark.django_db
class TestTheEnd:
    def test_signing_out_ends_it_everywhere_it_was_copied_to(
        self, client: Client, registered: User
    ) -> None:
        sign_in(client, registered)
        key = key_in(client)
        assert is_in(with_key(key))
        client.post(reverse("account_logout"))
        assert not is_in(with_key(key))
        assert not Session.objects.filter(pk=key).exists()

    @pytest.mark.parametrize("way", ["change", "reset"])
    def test_another_password_ends_every_other(
        self, client: Client, registered: User, way: str
    ) -> None:
        others = [Client(), Client()]
        for one in (client, *others):
            sign_in(one, registered)
        key = key_in(client)
        if way == "change":
            change_password(client)
        else:
            reset_password(Client(), registered)
        assert not any(is_in(one) for one in others)
        assert is_in(client) == (way == "change")
        # Its own goes on under another key.
        assert not is_in(with_key(key))
        assert sign_in(Client(), registered).status_code == 200
        assert sign_in(Client(), registered, NEW_PASSWORD).status_code == 302

    def test_a_link_for_a_new_password_is_good_once(self, client: Client, registered: User) -> None:
        reset_password(client, registered)
        [path] = re.findall(r"(/accounts/password/reset/key/\S+)", str(mail.outbox[-1].body))
        again = Client().get(path, follow=True)
        assert 'name="password1"' not in again.content.decode()

    def test_it_lasts_no_longer_than_django_s_two_weeks(
        self, client: Client, registered: User
    ) -> None:
        sign_in(client, registered)
        assert 0 < client.session.get_expiry_age() <= 14 * 24 * 3600


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["sign out", "change", "reset"])
def test_an_open_stream_ends_with_it(
    production: ProductionWeb, acme: Team, registered: User, way: str
) -> None:
    """Also where the session goes by a way that tells no stream: the watch finds out."""
    client = Client()
    client.force_login(registered)
    key = key_in(client)
    stream = SseClient(
        f"http://127.0.0.1:{production.port}{reverse('live', args=[acme.slug])}",
        cookies={SESSION_COOKIE: key},
        headers={"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"},
    )
    try:
        stream.wait_for("stream-open")
        if way == "sign out":
            client.post(reverse("account_logout"))
        elif way == "change":
            change_password(client)
        else:
            reset_password(Client(), registered)
        wait_until(lambda: stream.is_over, timeout_s=20, what="the end of the stream")
        again = production.ask(
            reverse("live", args=[acme.slug]), headers={"Cookie": f"{SESSION_COOKIE}={key}"}
        )
        assert again.status_code == 401
    finally:
        stream.close()


@pytest.mark.django_db
class TestWhoHasAnAccount:
    """Neither signing in, nor a forgotten password, nor signing up tells who has an account."""

    def same(self, answers: list[str], *words: str) -> bool:
        """Compare answers without what differs anyway: the token, and what was typed."""
        stripped = []
        for answer in answers:
            text = re.sub(r"\b\w{64}\b", "", answer)  # CSRF tokens, anew in each page
            for word in words:
                text = text.replace(word, "")
            stripped.append(text)
        return len(set(stripped)) == 1

    @pytest.mark.parametrize(
        ("name", "fields"),
        [
            ("account_login", {"password": "a wrong one"}),
            ("account_reset_password", {}),
            ("account_signup", {"password1": "Correct-7-horse", "team_name": "Mine"}),
        ],
    )
    def test_the_answer_is_the_same(
        self, registered: User, name: str, fields: dict[str, str], settings: Any
    ) -> None:
        settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
        answers, words = [], [registered.email, "nobody@example.com"]
        for email in words:
            typed = {"login" if name == "account_login" else "email": email, **fields}
            response = Client().post(reverse(name), typed, follow=True)
            steps = [step for step, _ in response.redirect_chain]
            cookies = sorted(response.client.cookies)
            answers.append(f"{response.status_code} {steps} {cookies} {response.content.decode()}")
        assert self.same(answers, *words)

    def test_the_comparison_tells_them_apart(self, registered: User, settings: Any) -> None:
        settings.ACCOUNT_PREVENT_ENUMERATION = False
        fields = {"email": "nobody@example.com"}
        told = Client().post(reverse("account_reset_password"), fields, follow=True)
        fields = {"email": registered.email}
        mailed = Client().post(reverse("account_reset_password"), fields, follow=True)
        answers = [told.content.decode(), mailed.content.decode()]
        assert not self.same(answers, registered.email, "nobody@example.com")

    def test_an_account_that_is_off_looks_like_none(self, registered: User) -> None:
        """With the wrong password; with the right one its owner is told."""
        registered.is_active = False
        registered.save()
        typed = [registered.email, "nobody@example.com"]
        answers = [
            Client()
            .post(reverse("account_login"), {"login": email, "password": "wrong"}, follow=True)
            .content.decode()
            for email in typed
        ]
        assert self.same(answers, *typed)

    def test_the_time_is_spent_for_nobody_as_well(
        self, registered: User, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        """Hashing takes the time; it is done for an address that nobody has as often."""
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
        hashed: list[str] = []
        encode: Callable[..., str] = PBKDF2PasswordHasher.encode

        def counted(self: Any, password: str, salt: str, iterations: int | None = None) -> str:
            hashed.append(password)
            return encode(self, password, salt, iterations)

        monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1)
        monkeypatch.setattr(PBKDF2PasswordHasher, "encode", counted)
        registered.set_password(PASSWORD)
        registered.save()
        counts = []
        for email in (registered.email, "nobody@example.com"):
            hashed.clear()
            Client().post(reverse("account_login"), {"login": email, "password": "a guess"})
            counts.append(hashed.count("a guess"))
        assert counts[0] == counts[1] > 0
