"""The vocabulary of the product: statuses, the moves allowed between them, and its figures.

The lowest storey: it imports nothing of ours and knows no model.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import TextChoices

# Where a subject (the members of an integration, one repository) stands, and a run as well.
SYNC_STATUS_PENDING: Final = "pending"  # nothing has been read yet; for a run: no worker has it yet
SYNC_STATUS_SYNCING: Final = "syncing"  # asked for and not over: waiting, running or resuming
SYNC_STATUS_COMPLETE: Final = "complete"  # the whole list was read and written down
SYNC_STATUS_ERROR: Final = "error"  # over without the whole list; the reason is beside it

SYNC_STATUS_CHOICES: Final = [
    (SYNC_STATUS_PENDING, "Pending"),
    (SYNC_STATUS_SYNCING, "Syncing"),
    (SYNC_STATUS_COMPLETE, "Complete"),
    (SYNC_STATUS_ERROR, "Error"),
]

# The moves as data. `services/transitions.py` is their only reader and the only writer of a status.
SUBJECT_MOVES: Final[dict[str, frozenset[str]]] = {
    SYNC_STATUS_PENDING: frozenset({SYNC_STATUS_SYNCING}),
    SYNC_STATUS_SYNCING: frozenset({SYNC_STATUS_COMPLETE, SYNC_STATUS_ERROR}),
    SYNC_STATUS_COMPLETE: frozenset({SYNC_STATUS_SYNCING}),
    SYNC_STATUS_ERROR: frozenset({SYNC_STATUS_SYNCING}),
}
RUN_MOVES: Final[dict[str, frozenset[str]]] = {
    SYNC_STATUS_PENDING: frozenset({SYNC_STATUS_SYNCING, SYNC_STATUS_ERROR}),
    # A run that goes on with another worker moves from syncing to syncing: a new lease.
    SYNC_STATUS_SYNCING: frozenset({SYNC_STATUS_SYNCING, SYNC_STATUS_COMPLETE, SYNC_STATUS_ERROR}),
    SYNC_STATUS_COMPLETE: frozenset(),
    SYNC_STATUS_ERROR: frozenset(),
}
ACTIVE_RUN_STATUSES: Final = (SYNC_STATUS_PENDING, SYNC_STATUS_SYNCING)


class RunKind(TextChoices):
    MEMBERS = "members", "Members"
    REPOSITORY = "repository", "Repository"


class RunTrigger(TextChoices):
    MANUAL = "manual", "By hand"
    ONBOARDING = "onboarding", "After connecting"
    COMMAND = "command", "From the command line"
    SCHEDULE = "schedule", "On schedule"


class TeamRole(TextChoices):
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"


class MemberRole(TextChoices):
    """A person's role in the GitHub organisation, in GitHub's words."""

    ADMIN = "admin", "Owner"
    MEMBER = "member", "Member"


class MemberChangeKind(TextChoices):
    JOINED = "joined", "Joined"
    LEFT = "left", "Left"
    RETURNED = "returned", "Returned"
    RENAMED = "renamed", "Renamed"
    UPDATED = "updated", "Updated"
    PROMOTED = "promoted", "Promoted"
    DEMOTED = "demoted", "Demoted"
    SWITCHED_ON = "switched_on", "Switched on by hand"
    SWITCHED_OFF = "switched_off", "Switched off by hand"


class DeactivatedBy(TextChoices):
    """Who switched a member off. A person's switch survives every sync."""

    NOBODY = "", "Nobody"
    SYNC = "sync", "The sync"
    PERSON = "person", "A person"


class ConnectionKind(TextChoices):
    OAUTH = "oauth", "GitHub sign-in"
    TOKEN = "token", "Personal access token"


class CredentialStatus(TextChoices):
    ACTIVE = "active", "Active"
    REVOKED = "revoked", "Refused by GitHub"


# Queues: a flood of the second never delays the first.
QUEUE_INTERACTIVE: Final = "interactive"
QUEUE_SCHEDULED: Final = "scheduled"
QUEUE_OF_TRIGGER: Final[dict[str, str]] = {
    RunTrigger.MANUAL: QUEUE_INTERACTIVE,
    RunTrigger.ONBOARDING: QUEUE_INTERACTIVE,
    RunTrigger.COMMAND: QUEUE_INTERACTIVE,
    RunTrigger.SCHEDULE: QUEUE_SCHEDULED,
}

# What we ask of a person who connects with OAuth: members and private memberships (`read:org`),
# public e-mail addresses in GraphQL (`user:email`), private repositories and who can reach them
# (`repo`; GitHub has no read-only scope for them).
# https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
OAUTH_SCOPES: Final = ("read:org", "user:email", "repo")
# Without one of these GitHub lists no organisation.
SCOPES_THAT_READ_MEMBERS: Final = frozenset({"read:org", "write:org", "admin:org"})
# GraphQL refuses a whole document with `User.email` unless one of these was granted.
SCOPES_THAT_READ_EMAIL: Final = frozenset({"user:email", "read:user", "user"})

# One page of `membersWithRole`; GraphQL allows no more.
MEMBER_PAGE_SIZE: Final = 100
MEMBER_PAGE_SIZE_MIN: Final = 10

# A lease is renewed at every page and every few seconds while GitHub answers; a worker that died
# is noticed when it runs out, so that its run goes on within 20 s.
LEASE_LENGTH: Final = timedelta(seconds=12)
LEASE_RENEWAL: Final = timedelta(seconds=4)
# Progress is told to viewers this often at the most.
PROGRESS_INTERVAL: Final = timedelta(milliseconds=95)
# After this much work a run makes room for others and goes on with a new message.
SLICE_LENGTH: Final = timedelta(seconds=20)
# Claims without a page of progress in between, after which a run ends in error.
MAX_FRUITLESS_CLAIMS: Final = 5
# Waits that GitHub asked for, after which a run ends in error.
MAX_WAITS: Final = 20
# A wait that GitHub put no figure to: 60 s, then doubled.
# https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
WAIT_WITHOUT_FIGURE: Final = timedelta(seconds=60)
WAIT_MAX: Final = timedelta(hours=2)

# How often the ticker looks, and how long it leaves a message before it sends another.
TICK_INTERVAL: Final = timedelta(seconds=2)
RESEND_AFTER: Final = timedelta(seconds=15)
RESEND_AFTER_MAX: Final = timedelta(minutes=10)
