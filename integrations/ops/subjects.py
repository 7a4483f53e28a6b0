"""Which run and team a message is about: its actor says what its first argument is the id of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog
from django.db import Error
from django.db.models import Q

from integrations import tasks
from integrations.models import (
    GitHubIntegration,
    IntegrationCredential,
    SyncRun,
    Team,
    WebhookInbox,
)
from integrations.ops.message_shapes import Subject
from integrations.ops.reachability import is_database_away

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = structlog.get_logger(__name__)

RUN: Final = "r"
INTEGRATION: Final = "i"
CREDENTIAL: Final = "c"
INBOX: Final = "w"
KIND_OF_ACTOR: Final = {
    tasks.sync_github_members_task.actor_name: RUN,
    tasks.sync_repository_manual_task.actor_name: RUN,
    tasks.read_people_task.actor_name: INTEGRATION,
    tasks.notify_admins_task.actor_name: CREDENTIAL,
    tasks.apply_webhooks_task.actor_name: INBOX,
}
# Of a team's runs, the latest: older ones have no message any more.
RUNS_OF_TEAM_MAX: Final = 5_000


class DatabaseAway(Exception):
    """What was asked for can't be known without the database."""


class Addressed(NamedTuple):
    """A message by what its subject is found with."""

    message_id: str
    actor: str
    args: list[Any]


def subjects_of(messages: Iterable[Addressed]) -> dict[str, Subject]:
    """Return the subjects by message id, in up to five queries; none while the database is away.

    A message whose subject is not known is not among them.
    """
    ids: dict[str, set[int]] = {kind: set() for kind in KIND_OF_ACTOR.values()}
    addresses = {}
    for message in messages:
        kind, number = KIND_OF_ACTOR.get(message.actor), _first_id(message.args)
        if kind is not None and number is not None:
            ids[kind].add(number)
            addresses[message.message_id] = (kind, number)
    if not addresses or is_database_away():
        return {}
    try:
        known = _subjects(ids)
    except Error as exc:
        logger.warning("subjects of messages not read", error=str(exc))
        return {}
    return {
        message_id: known[address] for message_id, address in addresses.items() if address in known
    }


def tokens_of_team(name: str) -> set[str]:
    """Return what messages about a team may be about, as kind and id: `{"r12", "i3"}`.

    By the team's slug or name, whatever the case. Raises DatabaseAway.
    """
    if is_database_away():
        raise DatabaseAway
    teams = Team.objects.filter(Q(slug__iexact=name) | Q(name__iexact=name)).values("pk")
    integrations = GitHubIntegration.objects.filter(team__in=teams)
    runs = SyncRun.objects.filter(integration__team__in=teams).order_by("-pk")
    accounts = integrations.exclude(organization_id=None).values("organization_id")
    found = {
        RUN: runs.values_list("pk", flat=True)[:RUNS_OF_TEAM_MAX],
        INTEGRATION: integrations.values_list("pk", flat=True),
        CREDENTIAL: IntegrationCredential.objects.filter(team__in=teams).values_list(
            "pk", flat=True
        ),
        INBOX: WebhookInbox.objects.filter(account_id__in=accounts).values_list("pk", flat=True),
    }
    return {f"{kind}{number}" for kind, numbers in found.items() for number in numbers}


def token_of(actor: str, args: list[Any]) -> str:
    """Return what a message is about as one of those tokens; empty when it is not known."""
    kind, number = KIND_OF_ACTOR.get(actor), _first_id(args)
    return "" if kind is None or number is None else f"{kind}{number}"


def subjects_by_team(team_ids: Iterable[int]) -> dict[int, Subject]:
    """Return what the history's rows are about, by team. Raises django.db.Error."""
    return {pk: _subject(team) for pk, team in Team.objects.in_bulk(set(team_ids)).items()}


def _first_id(args: list[Any]) -> int | None:
    number = args[0] if args else None
    is_id = isinstance(number, int) and not isinstance(number, bool) and abs(number) < 2**63
    return number if is_id else None


def _subjects(ids: dict[str, set[int]]) -> dict[tuple[str, int], Subject]:
    found = {}
    if ids[RUN]:
        for run in SyncRun.objects.filter(pk__in=ids[RUN]).select_related("integration__team"):
            found[RUN, run.pk] = _subject(run.integration.team, run_id=run.pk)
    if ids[INTEGRATION]:
        watched = GitHubIntegration.objects.filter(pk__in=ids[INTEGRATION])
        for integration in watched.select_related("team"):
            found[INTEGRATION, integration.pk] = _subject(integration.team)
    if ids[CREDENTIAL]:
        used = IntegrationCredential.objects.filter(pk__in=ids[CREDENTIAL])
        for credential in used.select_related("team"):
            found[CREDENTIAL, credential.pk] = _subject(credential.team)
    if ids[INBOX]:
        found.update(_subjects_of_inboxes(ids[INBOX]))
    return found


def _subjects_of_inboxes(inbox_ids: set[int]) -> dict[tuple[str, int], Subject]:
    """Return the teams that watch the inboxes' accounts; where several do, the first of them."""
    accounts = dict(WebhookInbox.objects.filter(pk__in=inbox_ids).values_list("account_id", "pk"))
    watching = GitHubIntegration.objects.filter(organization_id__in=accounts)
    return {
        (INBOX, accounts[one.organization_id or 0]): _subject(one.team)
        for one in watching.select_related("team").order_by("-pk")
    }


def _subject(team: Team, *, run_id: int | None = None) -> Subject:
    return Subject(run_id=run_id, team_id=team.pk, team_name=team.name, team_slug=team.slug)
