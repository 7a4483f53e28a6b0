"""The vocabulary of the product: statuses, the moves allowed between them, and its figures.

The lowest storey: it imports nothing of ours and knows no model.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

# Where a subject (the members of an integration, one repository) stands, and a run as well.
SYNC_STATUS_PENDING: Final = "pending"  # nothing has been read yet; for a run: no worker has it yet
SYNC_STATUS_SYNCING: Final = "syncing"  # asked for and not over: waiting, running or resuming
SYNC_STATUS_COMPLETE: Final = "complete"  # the whole list was read and written down
SYNC_STATUS_ERROR: Final = "error"  # over without the whole list; the reason is beside it

SYNC_STATUS_CHOICES: Final = [
    (SYNC_STATUS_PENDING, _("Pending")),
    (SYNC_STATUS_SYNCING, _("Syncing")),
    (SYNC_STATUS_COMPLETE, _("Complete")),
    (SYNC_STATUS_ERROR, _("Error")),
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
    MEMBERS = "members", _("Members")
    # Reads like a member sync, and writes down what that would change instead of changing it.
    PREVIEW = "preview", _("Preview")
    REPOSITORY = "repository", _("Repository")


class RunTrigger(TextChoices):
    MANUAL = "manual", _("By hand")
    ONBOARDING = "onboarding", _("After connecting")
    COMMAND = "command", _("From the command line")
    SCHEDULE = "schedule", _("On schedule")
    PREVIEW = "preview", _("Applied from a preview")
    WEBHOOK = "webhook", _("By GitHub's webhook")
    TRACKED = "tracked", _("All tracked at once")


class TeamRole(TextChoices):
    ADMIN = "admin", _("Admin")
    MEMBER = "member", _("Member")


class InvitationOutcome(TextChoices):
    """What became of an invitation into a team."""

    OPEN = "", _("Open")
    ACCEPTED = "accepted", _("Accepted")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    # A newer one, with another link, took its place.
    RENEWED = "renewed", _("Renewed")


# An invitation's link works this long; its row is forgotten so long after that.
INVITATION_LIFETIME: Final = timedelta(days=7)
INVITATION_KEPT_FOR: Final = timedelta(days=30)
# What one team may do with our mail server: more is a mistake or an abuse.
INVITATIONS_OPEN_MAX: Final = 50
INVITATION_MAILS_MAX: Final = 20
INVITATION_MAILS_WITHIN: Final = timedelta(hours=1)


class MemberRole(TextChoices):
    """A person's role in the GitHub organisation, in GitHub's words."""

    ADMIN = "admin", _("Owner")
    MEMBER = "member", _("Member")


class MemberChangeKind(TextChoices):
    JOINED = "joined", _("Joined")
    LEFT = "left", _("Left")
    RETURNED = "returned", _("Returned")
    RENAMED = "renamed", _("Renamed")
    UPDATED = "updated", _("Updated")
    PROMOTED = "promoted", _("Promoted")
    DEMOTED = "demoted", _("Demoted")
    SWITCHED_ON = "switched_on", _("Switched on by hand")
    SWITCHED_OFF = "switched_off", _("Switched off by hand")
    # Not on GitHub's list any more, and left for an admin to decide (services/departures.py).
    HELD = "held", _("Held for a decision")
    KEPT = "kept", _("Kept by hand")


class DeactivatedBy(TextChoices):
    """Who switched a member off. A person's switch survives every sync."""

    NOBODY = "", _("Nobody")
    SYNC = "sync", _("The sync")
    PERSON = "person", _("A person")


class ConnectionKind(TextChoices):
    APP = "app", _("GitHub App")
    OAUTH = "oauth", _("GitHub sign-in")
    TOKEN = "token", _("Personal access token")


class CredentialStatus(TextChoices):
    ACTIVE = "active", _("Active")
    REVOKED = "revoked", _("Refused by GitHub")


# Queues: a flood of the second never delays the first.
QUEUE_INTERACTIVE: Final = "interactive"
QUEUE_SCHEDULED: Final = "scheduled"
QUEUE_WEBHOOKS: Final = "webhooks"
QUEUE_OF_TRIGGER: Final[dict[str, str]] = {
    RunTrigger.MANUAL: QUEUE_INTERACTIVE,
    RunTrigger.ONBOARDING: QUEUE_INTERACTIVE,
    RunTrigger.COMMAND: QUEUE_INTERACTIVE,
    RunTrigger.SCHEDULE: QUEUE_SCHEDULED,
    RunTrigger.PREVIEW: QUEUE_INTERACTIVE,
    # Nobody waits for it at a screen.
    RunTrigger.WEBHOOK: QUEUE_SCHEDULED,
    # One click, and perhaps thousands of runs: they must not be in the way of the next click.
    RunTrigger.TRACKED: QUEUE_SCHEDULED,
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

# What our GitHub App asks for when it is installed: the members and teams of the organisation, and
# the repositories' names. Nothing that writes.
# https://docs.github.com/apps/creating-github-apps/registering-a-github-app/choosing-permissions-for-a-github-app
PERMISSION_LEVELS: Final = ("read", "write", "admin")
APP_PERMISSIONS: Final = {"members": "read", "metadata": "read"}
APP_EVENTS: Final = ("member", "membership", "organization", "repository")

# One page of `membersWithRole`; GraphQL allows no more.
MEMBER_PAGE_SIZE: Final = 100
MEMBER_PAGE_SIZE_MIN: Final = 10

# A lease is renewed at every page and every few seconds while GitHub answers; a worker that died
# is noticed when it runs out, so that its run goes on within 20 s.
LEASE_LENGTH: Final = timedelta(seconds=12)
LEASE_RENEWAL: Final = timedelta(seconds=4)
# Clocks of our machines differ by less. An instant further ahead than it can be was written before
# a clock was set back.
CLOCKS_APART_MAX: Final = timedelta(minutes=1)
# Progress is told to viewers this often at the most.
PROGRESS_INTERVAL: Final = timedelta(milliseconds=95)
# After this much work a run makes room for others and goes on with a new message.
SLICE_LENGTH: Final = timedelta(seconds=20)
# After this much already while others of its queue have waited for a worker for so long.
SLICE_BESIDE_OTHERS: Final = timedelta(seconds=5)
OTHERS_WAIT: Final = timedelta(seconds=1)
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
# Where a queue holds no message at all: what was sent so long ago is lost.
LOST_AFTER: Final = timedelta(seconds=3)
# Who starts a run sends its message once that is committed, if it lives; a queue that doesn't
# answer is given up in less.
SENT_BY_STARTER_WITHIN: Final = timedelta(seconds=5)
RESEND_AFTER_MAX: Final = timedelta(minutes=10)

# A retry takes over the place of the run that failed if it ended this short a time ago: GitHub's
# cursors are opaque and promise nothing, and a roster read in two halves must not span a day.
RETRY_FROM_PLACE_WITHIN: Final = timedelta(minutes=15)
# What a preview found may be applied this long, if nothing moved since.
PREVIEW_VALID_FOR: Final = timedelta(hours=1)

# Absent people whom a run asks GitHub about one by one; of more than these, a sample as large.
CONFIRMED_DEPARTURES_MAX: Final = 20
# The guard's defaults, settable per team: absent people are held for an admin when they are at
# least so many and more than so many percent of the active roster.
GUARD_PERCENT: Final = 10
GUARD_MINIMUM: Final = 5

# The nightly read: a window of hours in the team's time zone, a place in it by the integration's
# hash, and a jitter by the date, so that no two nights hit GitHub at the same second.
SCHEDULE_FROM_HOUR: Final = 1
SCHEDULE_HOURS: Final = 4
SCHEDULE_JITTER: Final = timedelta(minutes=5)

# How long runs and changes are kept by default, and how many rows a prune deletes at once.
HISTORY_DAYS: Final = 365
PRUNE_BATCH_SIZE: Final = 1000
PRUNE_INTERVAL: Final = timedelta(hours=6)
PREVIEW_KEPT_FOR: Final = timedelta(days=1)

# An access token that expires within this time is refreshed before it is used.
REFRESH_AHEAD: Final = timedelta(minutes=5)
# How long one worker may take to refresh before another believes it dead; the refreshing itself is
# one request, whose own time limits are shorter.
REFRESH_CLAIM_LENGTH: Final = timedelta(seconds=60)
# How soon a worker that found another one refreshing looks again.
REFRESH_WAIT: Final = timedelta(seconds=2)

# -- Webhooks (webhooks.py, services/webhooks/).
# GitHub sends nothing larger: https://docs.github.com/webhooks/webhook-events-and-payloads
WEBHOOK_SIZE_MAX: Final = 25 * 1024 * 1024
# How long a delivery's row is kept; GitHub itself forgets them after three days.
WEBHOOK_KEPT_FOR: Final = timedelta(days=30)
# A worker applies this many deliveries of one account in a transaction, and makes room for others
# after so long.
WEBHOOK_BATCH_SIZE: Final = 500
WEBHOOK_SLICE: Final = timedelta(seconds=5)
WEBHOOK_LEASE: Final = timedelta(seconds=30)
# Attempts at a delivery that fails on our side, and the pause before each further one, doubled.
WEBHOOK_ATTEMPTS_MAX: Final = 6
WEBHOOK_RETRY_AFTER: Final = timedelta(seconds=10)
WEBHOOK_RETRY_AFTER_MAX: Final = WEBHOOK_RETRY_AFTER * 2 ** (WEBHOOK_ATTEMPTS_MAX - 2)
# People whom a webhook named are read in full one by one, up to this many at once; the nightly read
# fills in the others.
WEBHOOK_DETAILS_MAX: Final = 10
# How often GitHub is asked which deliveries failed, and how far back it remembers them.
# https://docs.github.com/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks
DELIVERY_SEARCH_INTERVAL: Final = timedelta(minutes=15)
DELIVERY_SEARCH_BACK: Final = timedelta(days=3)


class DeliveryStatus(TextChoices):
    """What became of a webhook delivery."""

    PENDING = "pending", _("Waiting")
    APPLIED = "applied", _("Applied")
    # The row knew better already, or nobody here watches what it is about.
    UNCHANGED = "unchanged", _("No change")
    # An event or action that we have no use for.
    IGNORED = "ignored", _("Not used")
    FAILED = "failed", _("Failed")


# -- Operations (telemetry/, ops/).
QUEUES: Final = (QUEUE_INTERACTIVE, QUEUE_SCHEDULED, QUEUE_WEBHOOKS)


class MessageOutcome(TextChoices):
    """How an attempt at a message ended. Operators' words, like all of /ops/, are English."""

    DONE = "done", "Done"
    # It failed, and another attempt is queued.
    RETRIED = "retried", "Will be retried"
    # It failed for good, and lies with the dead letters.
    DEAD = "dead", "Dead"
    # Deleted while a worker held it: it never ran.
    SKIPPED = "skipped", "Skipped"
    # Its worker went without a word.
    LOST = "lost", "Worker lost"


class OperatorActKind(TextChoices):
    PAUSE = "pause", "Pause queue"
    RESUME = "resume", "Resume queue"
    REQUEUE = "requeue", "Requeue"
    DELETE = "delete", "Delete"
    RUN_NOW = "run_now", "Run now"
    RETRY_RUN = "retry_run", "Retry run"
    CANCEL_RUN = "cancel_run", "Cancel run"
    FORGET = "forget", "Forget process"
    DRAIN = "drain", "Drain"


# Every process tells how it is this often, and counts as gone after so long without a word.
BEAT_INTERVAL: Final = timedelta(seconds=1)
PROCESS_GONE_AFTER: Final = timedelta(seconds=8)
# A process that went without a word is shown until an operator, or this time, forgets it.
PROCESS_KEPT_FOR: Final = timedelta(days=1)
MESSAGES_KEPT_FOR: Final = timedelta(days=7)
OPERATOR_ACTS_KEPT_FOR: Final = timedelta(days=365)
