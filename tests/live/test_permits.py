"""Who is let in by the door: what Django's own sign-in says, for many at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrations.live.channels import channel_of
from integrations.live.permits import Permits, _read
from tests.factories import MembershipFactory, UserFactory

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase

    from integrations.live.permits import Permit
    from integrations.models import Team, User

pytestmark = pytest.mark.django_db(transaction=True)


def session_of(user: User) -> SessionBase:
    client = Client()
    client.force_login(user)
    return client.session


def ask(session: SessionBase, slug: str = "acme") -> Permit | None:
    return asyncio.run(Permits().permit(session.session_key or "", slug))


class TestPermits:
    def test_a_member_who_is_signed_in_gets_one(self, acme: Team, bob: User) -> None:
        session = session_of(bob)
        permit = ask(session)
        assert permit is not None
        assert (permit.user_id, permit.channel) == (bob.pk, channel_of(acme.pk))
        assert (permit.session_key, permit.password) == (session.session_key, bob.password)

    def test_a_stranger_gets_none_nor_anybody_for_a_team_that_is_not_there(
        self, acme: Team, bob: User, charlie: User
    ) -> None:
        assert ask(session_of(charlie)) is None
        assert ask(session_of(bob), "nobodys") is None

    def test_another_password_ends_the_sessions_of_the_old_one(self, acme: Team, bob: User) -> None:
        session = session_of(bob)
        bob.set_password("another horse, another battery")
        bob.save(update_fields=["password"])
        assert ask(session) is None

    def test_who_is_switched_off_gets_none(self, acme: Team, bob: User) -> None:
        session = session_of(bob)
        bob.is_active = False
        bob.save(update_fields=["is_active"])
        assert ask(session) is None

    def test_a_session_that_ran_out_gets_none(self, acme: Team, bob: User) -> None:
        session = session_of(bob)
        past = timezone.now() - timedelta(seconds=1)
        Session.objects.filter(pk=session.session_key).update(expire_date=past)
        assert ask(session) is None

    def test_a_way_to_sign_in_that_is_not_in_the_settings_is_no_way(
        self, acme: Team, bob: User
    ) -> None:
        session = session_of(bob)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.RemoteUserBackend"
        session.save()
        assert ask(session) is None

    def test_a_session_of_nobody_or_none_at_all_gets_none(self, acme: Team) -> None:
        session = Client().session
        session["language"] = "de"
        session.save()
        assert ask(session) is None
        assert asyncio.run(Permits().permit("no-such-key", "acme")) is None

    def test_an_old_secret_and_other_kinds_of_sessions_are_left_to_django(
        self, acme: Team, bob: User, settings: Any
    ) -> None:
        session = session_of(bob)
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "a-new-one"
        assert ask(session) is None
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = settings.SECRET_KEY_FALLBACKS[0], []
        assert ask(session) is not None
        settings.SESSION_SAVE_EVERY_REQUEST = True
        assert ask(session) is None

    def test_forty_cost_as_many_queries_as_one(self, acme: Team) -> None:
        keys = []
        for _ in range(40):
            user = UserFactory()
            MembershipFactory(team=acme, user=user)
            keys.append(session_of(user).session_key or "")
        with CaptureQueriesContext(connection) as queries:
            permits = _read({(key, "acme"): set() for key in keys})
        assert len(queries) == 3
        assert len({permit.user_id for permit in permits.values() if permit is not None}) == 40
