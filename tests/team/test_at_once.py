"""Two who act on a team at the same moment leave it whole."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from django.db import connection as database

from integrations.constants import TeamRole
from integrations.models import Membership, Team, TeamInvitation, User
from integrations.services import invitations, team_people
from tests.factories import GitHubIntegrationFactory
from tests.team.reading import membership_of

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


def at_once(*actions: Callable[[], object]) -> list[object]:
    """Do these in threads of their own at the same moment; return what they returned or raised."""
    gate, outcomes = threading.Barrier(len(actions)), []

    def act(action: Callable[[], object]) -> None:
        gate.wait()
        try:
            outcomes.append(action())
        except Exception as exc:  # whatever it is, the test looks at it
            outcomes.append(exc)
        finally:
            database.close()

    threads = [threading.Thread(target=act, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    @pytest.fixture
    def two_admins(self, acme: Team, alice: User, bob: User) -> tuple[Membership, Membership]:
        Membership.objects.filter(user=bob).update(role=TeamRole.ADMIN)
        return membership_of(alice, acme), membership_of(bob, acme)

    def test_two_admins_who_demote_each_other_leave_one(
        self, acme: Team, alice: User, bob: User, two_admins: tuple[Membership, Membership]
    ) -> None:
        of_alice, of_bob = (membership.pk for membership in two_admins)
        outcomes = at_once(
            lambda: team_people.change_role(acme, of_bob, TeamRole.MEMBER, by=alice),
            lambda: team_people.change_role(acme, of_alice, TeamRole.MEMBER, by=bob),
        )
        assert acme.memberships.filter(role=TeamRole.ADMIN).count() == 1
        assert [type(one) for one in outcomes].count(team_people.NotAnAdmin) == 1

    def test_two_admins_who_leave_leave_one(
        self, acme: Team, alice: User, bob: User, two_admins: tuple[Membership, Membership]
    ) -> None:
        outcomes = at_once(
            lambda: team_people.leave(acme, alice), lambda: team_people.leave(acme, bob)
        )
        assert acme.memberships.get().is_admin
        assert [type(one) for one in outcomes].count(team_people.LastAdmin) == 1

    def test_two_invitations_of_one_address_leave_one_open(self, acme: Team, alice: User) -> None:
        def invite() -> TeamInvitation:
            return invitations.invite(acme, "dora@example.com", TeamRole.MEMBER, by=alice)

        outcomes = at_once(invite, invite)
        assert all(isinstance(one, TeamInvitation) for one in outcomes)
        assert acme.team_invitations.open().count() == 1

    def test_joining_twice_at_once_joins_once(self, acme: Team, dora: User, link: str) -> None:
        token = link.split("/")[2]
        outcomes = at_once(*[lambda: invitations.accept(token, person=dora)] * 2)
        assert outcomes == [acme, acme]
        assert dora.memberships.count() == 1

    def test_two_who_delete_it_both_find_it_gone(
        self, acme: Team, alice: User, bob: User, two_admins: tuple[Membership, Membership]
    ) -> None:
        GitHubIntegrationFactory(team=acme)
        again = Team.objects.get(pk=acme.pk)
        outcomes = at_once(
            lambda: team_people.delete(acme, by=alice), lambda: team_people.delete(again, by=bob)
        )
        assert not Team.objects.filter(slug="acme").exists()
        assert {type(one) for one in outcomes} <= {type(None), team_people.NotAnAdmin}
