"""Read who else belongs to the organisation: beside the roster, after it, and never in its way.

Each kind is read by itself. One that the connection may not see is dropped and says why; one that
GitHub could not deliver just now stays as it was, and all of it is read again later.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from integrations.github import organization_people as github
from integrations.github.errors import (
    Forbidden,
    GitHubError,
    InstallationSuspended,
    MissingScopes,
    NotFound,
)
from integrations.models import (
    CredentialUnreadable,
    GitHubIntegration,
    OrganizationInvitation,
    OrganizationTeam,
    OrganizationTeamMember,
    OutsideCollaborator,
    VerifiedEmail,
)
from integrations.services import transitions
from integrations.services.connections import SyncRefused
from integrations.services.github_access import NoLongerWatched, client_of, while_watched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from integrations.github.http import GitHubClient

logger = structlog.get_logger(__name__)

INVITATIONS: Final = "invitations"
OUTSIDE_COLLABORATORS: Final = "outside_collaborators"
TEAMS: Final = "teams"
VERIFIED_EMAILS: Final = "verified_emails"

# What is read is this old at the least before it is read again, whatever asks for it.
READ_AGAIN_AFTER: Final = timedelta(seconds=30)
# A worker that died over it is noticed after so long; one that failed tries again then.
CLAIM_LENGTH: Final = timedelta(minutes=10)
# What one look of the ticker takes.
TAKEN_AT_ONCE: Final = 200
# Each team is a request of its own, and each hundred people's verified addresses another.
TEAMS_MAX: Final = 300
VERIFIED_PEOPLE_MAX: Final = 5_000


class TooMany(Exception):
    """More than is read; what there is would be a part without saying so."""

    reason = "too_many"


def ask_for(integrations: QuerySet[GitHubIntegration]) -> None:
    """Have the ticker have these read soon, also when they are being read right now."""
    now = timezone.now()
    integrations.filter(Q(people_due_at=None) | Q(people_due_at__gt=now)).update(people_due_at=now)


def take_due(now: datetime) -> list[int]:
    """Return the integrations to read now, each to one ticker only."""
    # Asked for by rows whose people were read just now: those wait for a later look.
    is_old = Q(people_read_at=None) | Q(people_read_at__lte=now - READ_AGAIN_AFTER)
    due = GitHubIntegration.objects.filter(is_old, people_due_at__lte=now, credential__isnull=False)
    if not due.exists():
        return []
    with transaction.atomic():
        # What another ticker has in hand is left to it; on SQLite it writes alone.
        rows = due.order_by("people_due_at").select_for_update(skip_locked=True, no_key=True)
        taken = list(rows.values_list("pk", flat=True)[:TAKEN_AT_ONCE])
        GitHubIntegration.objects.filter(pk__in=taken).update(
            people_due_at=now + CLAIM_LENGTH, people_read_at=now
        )
    return taken


def read_all(integration_id: int) -> None:
    """Read every kind, and write down what came of each.

    Nothing is raised for what GitHub refuses; the claim runs out, and it is read again then.
    """
    integration = (
        GitHubIntegration.objects.select_related("credential", "team")
        .filter(pk=integration_id, organization_id__isnull=False)
        .first()
    )
    if integration is None:
        return
    claimed_until = integration.people_due_at
    try:
        client = client_of(integration)
        access = {kind: read(integration, client) for kind, read in READERS.items()}
        with while_watched(integration):
            _write_access(integration, access, claimed_until=claimed_until)
    except (GitHubError, SyncRefused, CredentialUnreadable, NoLongerWatched) as exc:
        logger.info("organisation's people not read", reason=exc.reason)


def _write_access(
    integration: GitHubIntegration, access: dict[str, Any], *, claimed_until: datetime | None
) -> None:
    rows = GitHubIntegration.objects.filter(pk=integration.pk)
    transitions.roster_changed(integration)
    rows.update(people_access=access)
    # Whoever asked for it meanwhile is not forgotten.
    rows.filter(people_due_at=claimed_until).update(people_due_at=None)


def may_see(integration: GitHubIntegration, kind: str) -> bool:
    """Say whether a kind was read, so that its column may be shown."""
    return bool(integration.people_access.get(kind, {}).get("code", "unread") == "")


def _reader(
    kind: str, read: Callable[[GitHubIntegration, GitHubClient], int]
) -> Callable[[GitHubIntegration, GitHubClient], dict[str, Any]]:
    """Make a reader that says how it went; raises what passes by itself."""

    def read_and_say(integration: GitHubIntegration, client: GitHubClient) -> dict[str, Any]:
        try:
            return {"code": "", "count": read(integration, client)}
        except InstallationSuspended:
            raise
        except (Forbidden, MissingScopes, NotFound, TooMany) as exc:
            with while_watched(integration):
                FORGET[kind](integration.team_id)
            return {"code": exc.reason, "count": 0}

    return read_and_say


def _read_invitations(integration: GitHubIntegration, client: GitHubClient) -> int:
    listed = github.invitations(client, integration.organization_login)
    return _replace(
        integration,
        OrganizationInvitation,
        [
            OrganizationInvitation(
                team_id=integration.team_id,
                github_id=one.id,
                github_username=one.login,
                email=one.email,
                role=one.role,
                invited_at=one.invited_at,
                inviter=one.inviter,
            )
            for one in listed
        ],
        update_fields=["github_username", "email", "role", "invited_at", "inviter"],
    )


def _read_outside(integration: GitHubIntegration, client: GitHubClient) -> int:
    listed = github.outside_collaborators(client, integration.organization_login)
    return _replace(
        integration,
        OutsideCollaborator,
        [
            OutsideCollaborator(
                team_id=integration.team_id,
                github_id=one.id,
                github_username=one.login,
                avatar_url=one.avatar_url,
            )
            for one in listed
        ],
        update_fields=["github_username", "avatar_url"],
    )


def _read_teams(integration: GitHubIntegration, client: GitHubClient) -> int:
    organization = integration.organization_login
    listed = github.teams(client, organization)
    if len(listed) > TEAMS_MAX:
        raise TooMany
    people = {one.id: github.team_member_ids(client, organization, one.slug) for one in listed}
    with transaction.atomic():
        count = _replace(
            integration,
            OrganizationTeam,
            [
                OrganizationTeam(
                    team_id=integration.team_id, github_id=one.id, name=one.name, slug=one.slug
                )
                for one in listed
            ],
            update_fields=["name", "slug"],
        )
        for row in OrganizationTeam.objects.filter(team=integration.team_id):
            _replace_members(row, set(people[row.github_id]))
    return count


def _replace_members(row: OrganizationTeam, ids: set[int]) -> None:
    known = set(row.people.values_list("github_id", flat=True))
    row.people.filter(github_id__in=known - ids).delete()
    OrganizationTeamMember.objects.bulk_create(
        (OrganizationTeamMember(organization_team=row, github_id=one) for one in ids - known),
        ignore_conflicts=True,
    )


def _read_verified(integration: GitHubIntegration, client: GitHubClient) -> int:
    if integration.team.members.active().count() > VERIFIED_PEOPLE_MAX:
        raise TooMany
    listed = [
        VerifiedEmail(team_id=integration.team_id, github_id=github_id, email=email)
        for github_id, emails in github.verified_emails(client, integration.organization_login)
        for email in emails
    ]
    known = VerifiedEmail.objects.filter(team=integration.team_id)
    with while_watched(integration):
        wanted = {(one.github_id, one.email) for one in listed}
        gone = [one.pk for one in known if (one.github_id, one.email) not in wanted]
        known.filter(pk__in=gone).delete()
        VerifiedEmail.objects.bulk_create(listed, ignore_conflicts=True)
    return len(wanted)


def _replace(
    integration: GitHubIntegration,
    model: type[OrganizationInvitation | OrganizationTeam | OutsideCollaborator],
    rows: Sequence[Any],
    *,
    update_fields: list[str],
) -> int:
    """Make the team's rows these ones, by GitHub id; return how many they are.

    GitHub's pages move while they are read, so one id may come twice: the later one counts, and
    PostgreSQL refuses a statement that holds both. Raises NoLongerWatched.
    """
    by_id = {row.github_id: row for row in rows}
    with while_watched(integration):
        known: QuerySet[Any] = model._default_manager.filter(team=integration.team_id)
        known.exclude(github_id__in=by_id).delete()
        model._default_manager.bulk_create(
            by_id.values(),
            update_conflicts=True,
            unique_fields=["team", "github_id"],
            update_fields=update_fields,
        )
    return len(by_id)


FORGET: Final[dict[str, Callable[[int], object]]] = {
    INVITATIONS: lambda team_id: OrganizationInvitation.objects.filter(team=team_id).delete(),
    OUTSIDE_COLLABORATORS: lambda team_id: OutsideCollaborator.objects.filter(
        team=team_id
    ).delete(),
    TEAMS: lambda team_id: OrganizationTeam.objects.filter(team=team_id).delete(),
    VERIFIED_EMAILS: lambda team_id: VerifiedEmail.objects.filter(team=team_id).delete(),
}
READERS: Final[dict[str, Callable[[GitHubIntegration, GitHubClient], dict[str, Any]]]] = {
    INVITATIONS: _reader(INVITATIONS, _read_invitations),
    OUTSIDE_COLLABORATORS: _reader(OUTSIDE_COLLABORATORS, _read_outside),
    TEAMS: _reader(TEAMS, _read_teams),
    VERIFIED_EMAILS: _reader(VERIFIED_EMAILS, _read_verified),
}


def forget_all(integration: GitHubIntegration) -> None:
    """Forget everybody else of an organisation that is not watched any more."""
    for forget in FORGET.values():
        forget(integration.team_id)
    GitHubIntegration.objects.filter(pk=integration.pk).update(
        people_access={}, people_read_at=None, people_due_at=None
    )
