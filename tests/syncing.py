"""What tests of syncing do again and again: connect, start, work, change GitHub, compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from integrations import tasks
from integrations.constants import (
    RunTrigger,
)
from integrations.models import GitHubIntegration, SyncRun
from integrations.services import recovery
from integrations.services.runs import start_run
from tests.factories import (
    GitHubIntegrationFactory,
    IntegrationCredentialFactory,
)

if TYPE_CHECKING:
    from tests.sandbox_control import SandboxOrganization


def connect(organization: SandboxOrganization, *, token: str = "") -> GitHubIntegration:
    """Tie a team of its own to an organisation of the sandbox."""
    credential = IntegrationCredentialFactory(
        access_token=token or organization.token, github_username=organization.owner
    )
    return GitHubIntegrationFactory(
        team=credential.team,
        credential=credential,
        organization_id=organization.id,
        organization_login=organization.login,
    )


def start(integration: GitHubIntegration) -> SyncRun:
    return start_run(integration, trigger=RunTrigger.MANUAL).run


def sync(integration: GitHubIntegration) -> SyncRun:
    """Run one sync to its end in this thread, as the actor does it."""
    run = work_on(start(integration))
    integration.refresh_from_db()
    return run


def roster(integration: GitHubIntegration) -> dict[int, dict[str, Any]]:
    """Return the active roster in the shape of the sandbox's truth."""
    return {
        member.github_id: {
            "id": member.github_id,
            "login": member.github_username,
            "name": member.name or None,
            "email": member.email,
            "role": member.role,
            "two_factor": member.two_factor_enabled,
        }
        for member in integration.team.members.active()
    }


def truth(organization: SandboxOrganization) -> dict[int, dict[str, Any]]:
    names = ("id", "login", "name", "email", "role", "two_factor")
    return {
        github_id: {name: member[name] for name in names}
        | {"name": (member["name"] or "").replace("\0", "")[:255] or None}
        | {"email": member["email"] or ""}
        for github_id, member in organization.members().items()
    }


def resume(run: SyncRun) -> None:
    """Let a waiting run's time come, and do what ticker and worker do then."""
    SyncRun.objects.filter(pk=run.pk).update(resume_at=timezone.now())
    [due] = recovery.take_runs_to_send(timezone.now())
    assert due.pk == run.pk
    work_on(run)


def remove(organization: SandboxOrganization, count: int) -> list[str]:
    """Take so many people out of the organisation; return their logins."""
    logins = [
        member["login"]
        for member in organization.members().values()
        if member["login"] != organization.owner
    ][:count]
    for login in logins:
        organization.remove(login)
    return logins


def work_on(run: SyncRun) -> SyncRun:
    tasks.sync_github_members_task.fn(run.pk)
    run.refresh_from_db()
    return run
