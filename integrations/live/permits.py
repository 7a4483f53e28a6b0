"""Who may listen to what: the sessions, people and memberships of many who ask, in three queries.

Django's middleware asks one by one, in a thread and with a connection each. This asks what
`django.contrib.auth.get_user` asks, for all who wait, and says yes only to what it is sure of.
Whoever gets no permit is left to Django itself, which finds the words, or the special case: an old
SECRET_KEY, another kind of session, another way to sign in.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, load_backend
from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from integrations.live.channels import channel_of
from integrations.live.reading import Batches
from integrations.models import Membership, User

if TYPE_CHECKING:
    from integrations.live.reading import Askers

# A session's key, and the slug of the team that is asked for.
Asking: TypeAlias = tuple[str, str]
STORED_IN_ROWS: Final = "django.contrib.sessions.backends.db"


@dataclass(frozen=True, slots=True)
class Permit:
    """Who may listen to which channel, and what that stands on.

    The stream ends when the session does, or the password is another one.
    """

    user_id: int
    channel: str
    session_key: str
    password: str


class Permits:
    """Gives permits to those who ask, many at a time."""

    def __init__(self) -> None:
        self._batches: Batches[Asking, Permit | None] = Batches(_read, at_once=1)

    async def permit(self, session_key: str, team_slug: str) -> Permit | None:
        """Return the permit, or None where Django has to say. Raises django.db.Error."""
        if settings.SESSION_ENGINE != STORED_IN_ROWS or settings.SESSION_SAVE_EVERY_REQUEST:
            return None
        return await self._batches.ask((session_key, team_slug))


def _read(asked: Askers[Asking]) -> dict[Asking, Permit | None]:
    people = _signed_in({session_key for session_key, _ in asked})
    memberships = Membership.objects.filter(
        team__slug__in={slug for _, slug in asked}, user__in={user.pk for user in people.values()}
    )
    team_ids = {
        (user_id, slug): team_id
        for user_id, slug, team_id in memberships.values_list("user", "team__slug", "team")
    }
    return {
        (session_key, slug): _permit(session_key, people.get(session_key), slug, team_ids)
        for session_key, slug in asked
    }


def _permit(
    session_key: str, user: User | None, slug: str, team_ids: dict[tuple[int, str], int]
) -> Permit | None:
    team_id = None if user is None else team_ids.get((user.pk, slug))
    if user is None or team_id is None:
        return None
    return Permit(user.pk, channel_of(team_id), session_key, user.password)


def _signed_in(session_keys: set[str]) -> dict[str, User]:
    """Return who is signed in by each of these sessions, as `auth.get_user` would."""
    rows = Session.objects.filter(session_key__in=session_keys, expire_date__gt=timezone.now())
    decode = import_module(settings.SESSION_ENGINE).SessionStore().decode
    claims = {
        key: claim
        for key, encoded in rows.values_list("session_key", "session_data")
        if (claim := _Claim.of(decode(encoded))) is not None
    }
    wanted = User.objects.filter(pk__in={claim.user_id for claim in claims.values()})
    users = {user.pk: user for user in wanted.only("pk", "password", "is_active")}
    return {
        key: users[claim.user_id]
        for key, claim in claims.items()
        if claim.user_id in users and claim.holds_for(users[claim.user_id])
    }


@dataclass(frozen=True)
class _Claim:
    """What a session says of its person."""

    user_id: int
    backend: str
    password_hash: str

    @classmethod
    def of(cls, session: dict[str, Any]) -> _Claim | None:
        """Read a session's claim; None where nobody signed in by it."""
        try:
            user_id = User._meta.pk.to_python(session[SESSION_KEY])
            return cls(user_id, session[BACKEND_SESSION_KEY], session[HASH_SESSION_KEY])
        except (KeyError, ValueError):
            return None

    def holds_for(self, user: User) -> bool:
        is_known = (
            self.backend in settings.AUTHENTICATION_BACKENDS
            # Another backend might have its own idea of who is who.
            and type(load_backend(self.backend)).get_user is ModelBackend.get_user
        )
        return (
            is_known
            and user.is_active
            and constant_time_compare(self.password_hash, user.get_session_auth_hash())
        )
