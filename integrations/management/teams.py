"""How a command is told which team it is about."""

from __future__ import annotations

from django.core.management.base import CommandError, CommandParser

from integrations.models import Team

SHOWN_SLUG_COUNT = 10


def add_team_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--team", required=True, metavar="SLUG", help="the team, as in its address /t/SLUG/"
    )


def team_named(slug: str) -> Team:
    """Return the team. Raises CommandError that names the teams there are."""
    team = Team.objects.filter(slug=slug).first()
    if team is None:
        slugs = list(Team.objects.values_list("slug", flat=True)[: SHOWN_SLUG_COUNT + 1])
        known = ", ".join(slugs[:SHOWN_SLUG_COUNT]) or "none yet"
        more = ", ..." if len(slugs) > SHOWN_SLUG_COUNT else ""
        raise CommandError(f'There is no team "{slug}". Teams: {known}{more}.')
    return team
