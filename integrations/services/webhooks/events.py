"""Which event means what: from a delivery to the service that takes it in, and a word for the end.

https://docs.github.com/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from django.db import transaction
from django.db.models import Q

from integrations.constants import (
    SYNC_STATUS_ERROR,
    ConnectionKind,
    CredentialStatus,
    DeliveryStatus,
    RunTrigger,
)
from integrations.github import webhooks
from integrations.github.errors import UnexpectedAnswer
from integrations.github.reading import read_id
from integrations.models import GitHubIntegration
from integrations.services import organization_people
from integrations.services.runs import start_run
from integrations.services.webhooks import installations, people, repositories

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from integrations.github.webhooks import Payload
    from integrations.models import SyncRun, WebhookDelivery
    from integrations.services.webhooks.drain import Drained

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a delivery; the word says why, where that isn't plain."""

    status: str
    word: str = ""


APPLIED: Final = Outcome(DeliveryStatus.APPLIED)
# The row knew as much, or better.
NOT_NEWS: Final = Outcome(DeliveryStatus.UNCHANGED, "not_news")
NOBODY_HERE: Final = Outcome(DeliveryStatus.UNCHANGED, "nobody_here")
NOBODY_WAITED: Final = Outcome(DeliveryStatus.UNCHANGED, "nobody_waited")
UNUSED: Final = Outcome(DeliveryStatus.IGNORED, "unused")
UNREADABLE: Final = Outcome(DeliveryStatus.FAILED, "unreadable")

MEMBERSHIP_EVENTS: Final = frozenset({"organization.member_added", "organization.member_removed"})


def is_about_people(delivery: WebhookDelivery) -> bool:
    """Say whether this one is about somebody's membership of the organisation."""
    return delivery.name in MEMBERSHIP_EVENTS


def apply_to_people(deliveries: Sequence[WebhookDelivery], drained: Drained) -> dict[int, Outcome]:
    """Take in deliveries about people of one account, as they happened. In a transaction."""
    outcomes: dict[int, Outcome] = {}
    heard: list[people.Heard] = []
    for delivery in deliveries:
        try:
            payload = webhooks.read_payload(delivery.event, delivery.body.encode())
            heard.append(people.Heard(delivery, webhooks.read_membership(payload)))
        except UnexpectedAnswer as exc:
            logger.warning("webhook unreadable", delivery_id=delivery.pk, error=str(exc))
            outcomes[delivery.pk] = UNREADABLE
    return outcomes | _apply_people(heard, drained)


def apply_one(delivery: WebhookDelivery, drained: Drained) -> Outcome:
    """Take in an event that is about no member.

    Raises UnexpectedAnswer for a payload that is not what GitHub documents; GitHubError and
    SyncRefused where GitHub had to be asked.
    """
    payload = webhooks.read_payload(delivery.event, delivery.body.encode())
    if delivery.name == "installation.created":
        # Asks GitHub: never inside a transaction.
        runs = installations.install(payload)
        return NOBODY_WAITED if runs is None else _started(runs, drained)
    handler = HANDLERS.get(delivery.name) or HANDLERS.get(delivery.event)
    if handler is None:
        return UNUSED
    with transaction.atomic():
        return handler(delivery, payload, drained)


def watching(delivery: WebhookDelivery, account_id: int) -> list[GitHubIntegration]:
    """Return the teams that this delivery is for: those that watch the organisation.

    A person's connection whose last read failed hears nothing: its person may have left, and what
    goes on in the organisation is then none of that team's business.
    """
    of_installation = Q(credential__kind=ConnectionKind.APP)
    if delivery.installation_id is not None:
        of_installation &= Q(credential__installation_id=delivery.installation_id)
    of_person = ~Q(credential__kind=ConnectionKind.APP) & ~Q(member_sync_status=SYNC_STATUS_ERROR)
    return list(
        GitHubIntegration.objects.select_related("credential", "team")
        .filter(of_installation | of_person)
        .filter(organization_id=account_id, credential__status=CredentialStatus.ACTIVE)
        .order_by("pk")
    )


def _apply_people(heard: Sequence[people.Heard], drained: Drained) -> dict[int, Outcome]:
    """Tell each team that watches the account what is for it."""
    # An App that was installed anew has another installation, and the old one's team hears no more.
    by_installation: dict[int | None, list[people.Heard]] = {}
    for one in heard:
        by_installation.setdefault(one.delivery.installation_id, []).append(one)
    outcomes: dict[int, Outcome] = {}
    for together in by_installation.values():
        first = together[0].delivery
        integrations = watching(first, first.inbox.account_id)
        applied: set[int] = set()
        for integration in integrations:
            applied |= _tell(integration, together, drained)
        otherwise = NOT_NEWS if integrations else NOBODY_HERE
        for one in together:
            outcomes[one.delivery.pk] = APPLIED if one.delivery.pk in applied else otherwise
    return outcomes


def _tell(
    integration: GitHubIntegration, heard: Sequence[people.Heard], drained: Drained
) -> set[int]:
    """Write events to one team's roster; return the deliveries that changed something."""
    plan = people.apply(integration, heard)
    if plan.joined:
        drained.joined.setdefault(integration.pk, set()).update(plan.joined)
    if _lost_its_person(integration, heard):
        # GitHub shows an outsider public members only: the read finds out and says so.
        drained.to_read.append(integration)
    return plan.applied


def _lost_its_person(integration: GitHubIntegration, heard: Sequence[people.Heard]) -> bool:
    credential = integration.credential
    if credential is None or credential.is_app:
        return False
    leavers = {one.news.person.github_id for one in heard if not one.news.is_member}
    return credential.github_user_id in leavers


def _repository(delivery: WebhookDelivery, payload: Payload, drained: Drained) -> Outcome:
    if payload.action not in repositories.USED_ACTIONS:
        return UNUSED
    # A repository moved away is its new owner's news; the account it left hears of it by its id.
    watched = watching(delivery, delivery.inbox.account_id)
    ours = [one for one in watched if _may_see(one, delivery)]
    if not ours:
        return NOBODY_HERE
    changed = [repositories.apply(one, delivery, payload) for one in ours]
    return APPLIED if any(changed) else NOT_NEWS


def _may_see(integration: GitHubIntegration, delivery: WebhookDelivery) -> bool:
    """A private repository is told to who installed the App, not to everybody in the team's org."""
    credential = integration.credential
    return credential is not None and (credential.is_app or delivery.installation_id is None)


def _collaborator(delivery: WebhookDelivery, payload: Payload, drained: Drained) -> Outcome:
    """Somebody's way to a repository changed: read the repository again, if anybody tracks it."""
    repository_id = read_id(webhooks.require(payload, "repository"), "id")
    runs = [
        start_run(one, trigger=RunTrigger.WEBHOOK, repository=repository).run
        for one in watching(delivery, delivery.inbox.account_id)
        for repository in one.repositories.tracked().filter(github_id=repository_id)
    ]
    return _started(runs or None, drained)


def _other_people(delivery: WebhookDelivery, payload: Payload, drained: Drained) -> Outcome:
    """The invited or a team changed: have them read, however many say so at once."""
    ours = [one.pk for one in watching(delivery, delivery.inbox.account_id)]
    organization_people.ask_for(GitHubIntegration.objects.filter(pk__in=ours))
    return APPLIED if ours else NOBODY_HERE


def _organization_deleted(delivery: WebhookDelivery, payload: Payload, drained: Drained) -> Outcome:
    ours = watching(delivery, delivery.inbox.account_id)
    for integration in ours:
        installations.stop(integration, "organisation_deleted")
    return APPLIED if ours else NOBODY_HERE


def _installation(delivery: WebhookDelivery, payload: Payload, drained: Drained) -> Outcome:
    return _started(installations.change_installation(delivery, payload), drained)


def _organization_renamed(delivery: WebhookDelivery, payload: Payload, drained: Drained) -> Outcome:
    return APPLIED if installations.rename_account(payload, "organization") else NOBODY_HERE


def _account_renamed(delivery: WebhookDelivery, payload: Payload, drained: Drained) -> Outcome:
    return APPLIED if installations.rename_account(payload, "account") else NOBODY_HERE


def _repositories_granted(delivery: WebhookDelivery, payload: Payload, drained: Drained) -> Outcome:
    changed = installations.list_repositories_again(delivery.inbox.account_id)
    return APPLIED if changed else NOBODY_HERE


def _authorization_revoked(
    delivery: WebhookDelivery, payload: Payload, drained: Drained
) -> Outcome:
    return APPLIED if installations.end_authorization(payload) else NOBODY_HERE


def _started(runs: list[SyncRun] | None, drained: Drained) -> Outcome:
    if runs is None:
        return NOBODY_HERE
    drained.runs.extend(runs)
    return APPLIED


HANDLERS: Final[dict[str, Callable[[WebhookDelivery, Payload, Drained], Outcome]]] = {
    "github_app_authorization.revoked": _authorization_revoked,
    "installation.deleted": _installation,
    "installation.new_permissions_accepted": _installation,
    "installation.suspend": _installation,
    "installation.unsuspend": _installation,
    "installation_repositories": _repositories_granted,
    "installation_target.renamed": _account_renamed,
    "member": _collaborator,
    "membership": _other_people,
    "organization.member_invited": _other_people,
    "team": _other_people,
    "organization.deleted": _organization_deleted,
    "organization.renamed": _organization_renamed,
    "repository": _repository,
}
