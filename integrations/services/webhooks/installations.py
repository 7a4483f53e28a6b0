"""What webhooks say of the App's installation and of the organisation itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from django.db import transaction

from integrations.constants import ConnectionKind, CredentialStatus, RunTrigger
from integrations.github import webhooks
from integrations.github.app import read_installation
from integrations.models import GitHubIntegration, IntegrationCredential
from integrations.services import app_connection, credentials, transitions
from integrations.services.connections import follow_login, note_installation
from integrations.services.runs import start_run

if TYPE_CHECKING:
    from integrations.github.webhooks import Payload
    from integrations.models import SyncRun, WebhookDelivery

logger = structlog.get_logger(__name__)


def install(payload: Payload) -> list[SyncRun] | None:
    """Connect the team that was waiting for this installation; None when none was.

    Asks GitHub, so that it must not be called in a transaction. Raises GitHubError, SyncRefused.
    """
    installation = read_installation(payload.record.get("installation"))
    requester_id = webhooks.read_requester_id(payload)
    if requester_id is None or not installation.is_of_organization:
        return None
    integration = app_connection.complete_request(requester_id, installation.id)
    if integration is None:
        return None
    logger.info("requested installation approved", team_id=integration.team_id)
    return [start_run(integration, trigger=RunTrigger.WEBHOOK).run]


def change_installation(delivery: WebhookDelivery, payload: Payload) -> list[SyncRun] | None:
    """Take in that an installation was suspended, lifted, deleted or granted more.

    Returns the runs to send, None when nobody here is connected by it.
    """
    installation = read_installation(payload.record.get("installation"))
    connected = IntegrationCredential.objects.filter(
        kind=ConnectionKind.APP, installation_id=installation.id, status=CredentialStatus.ACTIVE
    ).select_related("team")
    runs, is_ours = [], False
    for credential in connected:
        if credential.heard_at and credential.heard_at >= delivery.happened_at:
            continue
        is_ours = True
        IntegrationCredential.objects.filter(pk=credential.pk).update(heard_at=delivery.happened_at)
        integration = GitHubIntegration.objects.filter(credential=credential).first()
        if payload.action == "deleted":
            credentials.revoke(credential)
            stop(integration, "app_uninstalled")
            continue
        note_installation(credential, installation)
        if installation.suspended_at is not None:
            stop(integration, "app_suspended")
        elif integration is not None and integration.has_organization:
            runs.append(start_run(integration, trigger=RunTrigger.WEBHOOK).run)
    return runs if is_ours else None


def stop(integration: GitHubIntegration | None, reason: str) -> None:
    """End what runs, or say in a run of its own why none can: the page and the history show it."""
    if integration is None or not integration.has_organization:
        return
    with transaction.atomic():
        started = start_run(integration, trigger=RunTrigger.WEBHOOK)
        transitions.fail(started.run, reason)
    for run in integration.runs.active().select_related("integration"):
        transitions.fail(run, reason)


def rename_account(payload: Payload, key: str) -> bool:
    """Follow an organisation to its new login; say whether anybody here watches it."""
    account_id, login = webhooks.read_new_login(payload, key)
    IntegrationCredential.objects.filter(kind=ConnectionKind.APP, github_user_id=account_id).update(
        github_username=login
    )
    watching = list(GitHubIntegration.objects.filter(organization_id=account_id))
    for integration in watching:
        transitions.roster_changed(integration)
        follow_login(integration, login)
    return bool(watching)


def list_repositories_again(account_id: int) -> bool:
    """Have the list of repositories read again when somebody next looks at it.

    With all repositories selected the payload's own list is cut short.
    """
    rows = GitHubIntegration.objects.filter(organization_id=account_id)
    return bool(rows.update(repositories_listed_at=None))


def end_authorization(payload: Payload) -> bool:
    """Stop using the tokens of a person who revoked our App's authorisation.

    Only pairs that expire are the App's; another OAuth app's token is none of its business.
    """
    person_id = webhooks.read_sender_id(payload)
    theirs = IntegrationCredential.objects.filter(
        kind=ConnectionKind.OAUTH, github_user_id=person_id, status=CredentialStatus.ACTIVE
    ).exclude(encrypted_refresh_token="")
    revoked = [credentials.revoke(credential) for credential in theirs]
    return any(revoked)
