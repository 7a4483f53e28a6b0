"""The live channel of a team: its name, and who may listen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_eventstream.channelmanager import DefaultChannelManager

from integrations.models import Membership, Team
from integrations.numbers import whole_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest

    from integrations.models import User

PREFIX = "team-"


def channel_of(team_id: int) -> str:
    """Return the name of a team's channel: `team-7`."""
    return f"{PREFIX}{team_id}"


def team_id_of(channel: str) -> int | None:
    """Return the team whose channel this is, or None for a name that is none of ours."""
    return whole_number(channel.removeprefix(PREFIX)) if channel.startswith(PREFIX) else None


def readers_of(channel: str, *, among: Iterable[int]) -> frozenset[int]:
    """Return those of the people (by id) who belong to the channel's team, as of now."""
    memberships = Membership.objects.filter(
        team=team_id_of(channel), user__in=among, user__is_active=True
    )
    return frozenset(memberships.values_list("user", flat=True))


def readers_of_teams(team_ids: Iterable[int], *, among: Iterable[int]) -> dict[int, frozenset[int]]:
    """Return for each of the teams those of the people who belong to it, as of now: one query."""
    memberships = Membership.objects.filter(team__in=team_ids, user__in=among, user__is_active=True)
    found: dict[int, set[int]] = {}
    for team_id, user_id in memberships.values_list("team", "user"):
        found.setdefault(team_id, set()).add(user_id)
    return {team_id: frozenset(user_ids) for team_id, user_ids in found.items()}


class TeamChannels(DefaultChannelManager):  # type: ignore[misc]
    """django-eventstream's questions, answered from the memberships."""

    def get_channels_for_request(
        self, request: HttpRequest, view_kwargs: dict[str, str]
    ) -> set[str]:
        team_id = (
            Team.objects.filter(slug=view_kwargs.get("team_slug"))
            .values_list("pk", flat=True)
            .first()
        )
        return set() if team_id is None else {channel_of(team_id)}

    def can_read_channel(self, user: User | None, channel: str) -> bool:
        """Say whether the person belongs to the channel's team, as of now."""
        return user is not None and user.pk in readers_of(channel, among=[user.pk])

    def is_channel_reliable(self, channel: str) -> bool:
        return True
