"""Who belongs to a team and as what: roles, leaving, removing, and the end of a whole team.

Whoever changes that takes the team's turn first and looks at the rows again: two admins who act on
each other at once can't leave the team without one.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import structlog
from django.db import DatabaseError, transaction
from django.utils import timezone

from integrations.constants import InvitationOutcome, TeamRole
from integrations.live import publish
from integrations.models import GitHubIntegration, Membership, Team, TeamMember, User
from integrations.services import connection
from integrations.services.people import remove_person

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

logger = structlog.get_logger(__name__)


class NotAnAdmin(Exception):
    """Whoever asks is no admin of the team, or has stopped being one meanwhile."""


class LastAdmin(Exception):
    """The team would be left without an admin."""


class NotInTeam(Exception):
    """The person is not in the team, or not any more."""


@contextmanager
def acting_as_admin(team: Team, person: User) -> Iterator[None]:
    """Change who belongs to a team: one transaction in which nobody else does.

    Raises NotAnAdmin.
    """
    with transaction.atomic():
        Team.objects.take_turn(team.pk)
        if not team.is_administered_by(person):
            raise NotAnAdmin
        yield


def rename(team: Team, name: str, *, by: User) -> None:
    """Give the team another name; its address stays, and with it every link. Raises NotAnAdmin."""
    with acting_as_admin(team, by):
        team.name = name
        team.save(update_fields=["name"])


def change_role(team: Team, membership_id: int, role: TeamRole, *, by: User) -> Membership:
    """Make a person of the team an admin or a member. Raises NotAnAdmin, NotInTeam, LastAdmin."""
    with acting_as_admin(team, by):
        membership = _membership(team, membership_id)
        if role != TeamRole.ADMIN:
            _keep_an_admin(membership)
        membership.role = role
        membership.save(update_fields=["role"])
    logger.info("role changed", team_id=team.pk, user_id=membership.user_id, role=role, by=by.pk)
    return membership


def remove(team: Team, membership_id: int, *, by: User) -> User:
    """Take a person out, and end their streams. Raises NotAnAdmin, NotInTeam, LastAdmin."""
    with acting_as_admin(team, by):
        membership = _membership(team, membership_id)
        _take_out(team, membership)
    logger.info("person removed", team_id=team.pk, user_id=membership.user_id, by=by.pk)
    return membership.user


def leave(team: Team, person: User) -> None:
    """Take a person out, on their own word or an operator's; harmless for one who is out already.

    Raises LastAdmin.
    """
    with transaction.atomic():
        Team.objects.take_turn(team.pk)
        membership = team.memberships.select_related("user").filter(user=person).first()
        if membership is not None:
            _take_out(team, membership)
    logger.info("person left", team_id=team.pk, user_id=person.pk)


def administered_alone(people: Iterable[User]) -> list[Team]:
    """Return the teams that nobody who can sign in would administer without these people.

    Takes the turns of their teams, so that within a transaction the answer stays true.
    """
    memberships = Membership.objects.filter(
        user__in=people, role=TeamRole.ADMIN, user__is_active=True
    )
    leaving: dict[Team, list[Membership]] = {}
    with transaction.atomic():
        for team_id in sorted(set(memberships.values_list("team", flat=True))):
            Team.objects.take_turn(team_id)
        for membership in memberships.select_related("team"):
            leaving.setdefault(membership.team, []).append(membership)
        return [team for team, out in leaving.items() if not team.keeps_an_admin(without=out)]


def delete(team: Team, *, by: User) -> None:
    """Disconnect the team from GitHub, and forget it with everything in it. Raises NotAnAdmin.

    What runs is ended before the rows go, and the token is revoked as well as it goes: a GitHub
    that is away keeps nobody's team.
    """
    with acting_as_admin(team, by):
        pass
    integration = GitHubIntegration.objects.select_related("credential").filter(team=team).first()
    if integration is not None:
        _disconnect(integration)
    team_id = team.pk
    with transaction.atomic():
        # In the order in which everybody else takes them: people, repositories, the team, its runs.
        TeamMember.objects.filter(team=team).delete()
        if integration is not None:
            integration.repositories.all().delete()
        Team.objects.take_turn(team_id)
        team.delete()
        transaction.on_commit(partial(publish.publish_recheck, team_id), robust=True)
    logger.info("team deleted", team_id=team_id, by=by.pk)


def _disconnect(integration: GitHubIntegration) -> None:
    try:
        connection.disconnect(integration)
    except DatabaseError:
        # A second click, or another admin, was faster: then there is nothing left to end.
        if GitHubIntegration.objects.filter(pk=integration.pk).exists():
            raise


def _membership(team: Team, membership_id: int) -> Membership:
    found = team.memberships.select_related("user").filter(pk=membership_id).first()
    if found is None:
        raise NotInTeam
    return found


def _take_out(team: Team, membership: Membership) -> None:
    _keep_an_admin(membership)
    remove_person(team, membership.user)
    # Who is out stays out: a link that still lies in their mailbox would let them in again.
    team.team_invitations.open().filter(email=membership.user.email.lower()).update(
        outcome=InvitationOutcome.WITHDRAWN, closed_at=timezone.now()
    )


def _keep_an_admin(leaving: Membership) -> None:
    """Raise LastAdmin if the team has no other admin who can sign in."""
    if leaving.is_admin and not leaving.team.keeps_an_admin(without=[leaving]):
        raise LastAdmin
