"""`manage.py connect_github`: connect a team by personal access token, without a browser."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.constants import TeamRole
from integrations.management.teams import add_team_argument, team_named
from integrations.models import User
from integrations.reasons import reason_for
from integrations.services import connection
from integrations.services.connection import REFUSALS, NotYourOrganization, ScopesMissing

if TYPE_CHECKING:
    from integrations.github.rest import OrganizationMembership
    from integrations.models import GitHubIntegration, Team


class Command(BaseCommand):
    help = "Connects a team to a GitHub organisation with a personal access token."

    def add_arguments(self, parser: CommandParser) -> None:
        add_team_argument(parser)
        parser.add_argument("--org", required=True, metavar="LOGIN", help="the organisation")
        # Not as an argument: those are in everybody's list of processes and in the shell's history.
        parser.add_argument(
            "--token-stdin", action="store_true", required=True, help="read the token from stdin"
        )

    def handle(self, *, team: str, org: str, **options: Any) -> None:
        row = team_named(team)
        person = _first_admin(row)
        token = sys.stdin.readline().strip()
        if not token:
            raise CommandError("There was no token on stdin. Example: ... --token-stdin < token")
        try:
            integration = connection.connect_with_token(row, person=person, token=token)
            chosen = _membership_of(integration, org)
            connection.choose_organization(integration, chosen.organization_id)
        except (*REFUSALS, ScopesMissing) as exc:
            raise CommandError(reason_for(exc.reason).sentence) from exc
        except NotYourOrganization as exc:
            raise CommandError(reason_for("not_a_member").sentence) from exc
        self.stdout.write(f"{row.name} is connected to {chosen.login}.")
        self.stdout.write(f"Read its members: manage.py sync_github_members --team {row.slug}")


def _first_admin(team: Team) -> User:
    """Return who the connection counts as made by."""
    admin = (
        User.objects.filter(memberships__team=team, memberships__role=TeamRole.ADMIN)
        .order_by("memberships__pk")
        .first()
    )
    if admin is None:
        raise CommandError(f"{team.name} has no admin who could connect it.")
    return admin


def _membership_of(integration: GitHubIntegration, login: str) -> OrganizationMembership:
    memberships = connection.list_organizations(integration).memberships
    for membership in memberships:
        if membership.login.lower() == login.lower():
            return membership
    known = ", ".join(sorted(membership.login for membership in memberships)) or "none"
    raise CommandError(
        f'The token\'s owner is no active member of "{login}". '
        f"Organisations to choose from: {known}."
    )
