"""Who has left: confirmed, held or in doubt, and what an admin makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import transaction
from django.utils import timezone

from integrations.constants import (
    CONFIRMED_DEPARTURES_MAX,
    SYNC_STATUS_COMPLETE,
    DeactivatedBy,
    MemberChangeKind,
)
from integrations.live.cards import MemberSyncCard
from integrations.models import GitHubIntegration, HeldDeparture, MemberChange
from integrations.services import departures
from integrations.services.switching import switch_member
from tests.syncing import connect, remove, roster, start, sync, truth

if TYPE_CHECKING:
    from integrations.models import User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=20)


@pytest.fixture
def integration(organization: SandboxOrganization) -> GitHubIntegration:
    integration = connect(organization)
    sync(integration)
    return integration


def held_logins(integration: GitHubIntegration) -> set[str]:
    held = HeldDeparture.objects.filter(member__team=integration.team)
    return set(held.values_list("member__github_username", flat=True))


def about_others(organization: SandboxOrganization) -> str:
    """Return where GitHub is asked about somebody else's membership."""
    return f"/api/v3/orgs/{organization.login}/memberships/"


def confirmations(organization: SandboxOrganization) -> int:
    return sum(
        call["path"].startswith(about_others(organization)) for call in organization.requests()
    )


class TestAFew:
    def test_they_are_asked_about_one_by_one_and_leave(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        asked_before = confirmations(organization)
        remove(organization, 2)
        run = sync(integration)
        assert run.departed_count == 2
        assert run.held_count == 0
        assert roster(integration) == truth(organization)
        assert confirmations(organization) == asked_before + 2

    def test_whom_the_list_left_out_but_github_knows_stays(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        organization.fault("missing_member", index=3)
        run = sync(integration)
        assert run.status == SYNC_STATUS_COMPLETE
        assert run.departed_count == 0
        assert roster(integration) == truth(organization)

    def test_nobody_leaves_when_github_does_not_say_who_is_a_member(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        remove(organization, 2)
        organization.fault("integration_forbidden", path=about_others(organization))
        run = sync(integration)
        assert run.status == SYNC_STATUS_COMPLETE
        assert run.sweep_blocked_by == "membership_unknown"
        assert run.departed_count == 0


class TestTheGuard:
    def test_more_than_it_allows_are_held_by_name_while_the_rest_lands(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        gone = remove(organization, 5)
        newcomer = organization.add()
        run = sync(integration)
        assert run.status == SYNC_STATUS_COMPLETE
        assert (run.created_count, run.departed_count, run.held_count) == (1, 0, 5)
        assert held_logins(integration) == set(gone)
        assert newcomer["id"] in roster(integration)
        assert integration.team.members.active().count() == 21
        told = MemberChange.objects.filter(run=run, kind=MemberChangeKind.HELD)
        assert told.count() == 5

    def test_later_runs_look_again(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        gone = remove(organization, 5)
        first = sync(integration)
        organization.add(login=gone[0])
        assert sync(integration).departed_count == 4, "four are less than the guard's five"
        assert held_logins(integration) == set()
        assert roster(integration).keys() == truth(organization).keys()
        assert first.held_count == 5

    def test_who_is_held_again_is_not_told_again(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        remove(organization, 6)
        sync(integration)
        dates = set(HeldDeparture.objects.values_list("held_at", flat=True))
        assert sync(integration).held_count == 6
        assert set(HeldDeparture.objects.values_list("held_at", flat=True)) == dates
        changes = MemberChange.objects.filter(team=integration.team, kind=MemberChangeKind.HELD)
        assert changes.count() == 6

    def test_each_team_sets_its_own(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        integration.guard_percent, integration.guard_minimum = 50, 2
        integration.save()
        remove(organization, 8)
        assert sync(integration).departed_count == 8

    @pytest.mark.parametrize(
        ("active", "absent", "is_held"),
        [(3, 2, False), (3, 3, False), (20, 4, False), (20, 5, True), (100, 10, False),
         (100, 11, True), (10_000, 1000, False), (10_000, 1001, True)],
    )  # fmt: skip
    def test_it_takes_both_the_percentage_and_the_number(
        self, active: int, absent: int, is_held: bool
    ) -> None:
        guarded = GitHubIntegration(guard_percent=10, guard_minimum=5)
        assert departures.is_too_many(guarded, absent_count=absent, active_count=active) == is_held


class TestADecisionMeanwhile:
    @pytest.mark.parametrize("count", [2, 6])
    def test_who_is_kept_while_github_is_asked_neither_leaves_nor_is_held(
        self,
        count: int,
        integration: GitHubIntegration,
        organization: SandboxOrganization,
        alice: User,
    ) -> None:
        gone = remove(organization, count)
        run = start(integration)
        rows = integration.team.members.filter(github_username__in=gone)
        keys = list(rows.values_list("pk", flat=True))
        kept = integration.team.members.filter(pk=keys[0])
        verdict = departures.Verdict(departed=keys) if count < 5 else departures.Verdict(held=keys)
        kept.update(kept_at=timezone.now())
        with transaction.atomic():
            departures.conclude(run, verdict)
        assert run.departed_count + run.held_count == count - 1
        assert kept.get().is_active
        assert not HeldDeparture.objects.filter(member=keys[0]).exists()


class TestASample:
    @pytest.fixture
    def large(self, sandbox: SandboxControl) -> SandboxOrganization:
        return sandbox.organization(size=300)

    def test_of_more_than_twenty_a_sample_is_asked_about(self, large: SandboxOrganization) -> None:
        integration = connect(large)
        sync(integration)
        asked_before = confirmations(large)
        remove(large, 25)
        assert sync(integration).departed_count == 25
        assert confirmations(large) == asked_before + CONFIRMED_DEPARTURES_MAX
        assert roster(integration).keys() == truth(large).keys()


class TestDecisions:
    @pytest.fixture
    def held(self, integration: GitHubIntegration, organization: SandboxOrganization) -> list[str]:
        logins = remove(organization, 6)
        sync(integration)
        return logins

    def test_removed_people_leave_and_come_back_if_github_lists_them_again(
        self,
        integration: GitHubIntegration,
        organization: SandboxOrganization,
        held: list[str],
        alice: User,
    ) -> None:
        assert departures.decide(integration, None, remove=True, person=alice) == 6
        assert held_logins(integration) == set()
        assert roster(integration).keys() == truth(organization).keys()
        change = MemberChange.objects.filter(kind=MemberChangeKind.LEFT).first()
        assert change is not None
        assert change.person == alice
        organization.add(login=held[0])
        assert sync(integration).returned_count + sync(integration).created_count == 1

    def test_kept_people_stay_through_later_runs(
        self, integration: GitHubIntegration, held: list[str], alice: User
    ) -> None:
        members = integration.team.members.filter(github_username__in=held[:2])
        ids = [member.pk for member in members]
        assert departures.decide(integration, ids, remove=False, person=alice) == 2
        assert held_logins(integration) == set(held[2:])
        departures.decide(integration, None, remove=True, person=alice)
        for _ in range(2):
            run = sync(integration)
            assert (run.departed_count, run.held_count) == (0, 0)
        assert integration.team.members.active().count() == 16

    def test_who_is_kept_and_seen_again_is_like_everybody(
        self,
        integration: GitHubIntegration,
        organization: SandboxOrganization,
        held: list[str],
        alice: User,
    ) -> None:
        departures.decide(integration, None, remove=False, person=alice)
        organization.control.ask(
            "POST", f"organizations/{organization.login}/members", {"login": held[0]}
        )
        sync(integration)
        row = integration.team.members.get(github_username=held[0])
        assert row.kept_at is None

    def test_a_second_decision_finds_nothing(
        self, integration: GitHubIntegration, held: list[str], alice: User
    ) -> None:
        departures.decide(integration, None, remove=True, person=alice)
        assert departures.decide(integration, None, remove=False, person=alice) == 0

    def test_nobody_of_another_team_is_decided_about(
        self, integration: GitHubIntegration, held: list[str], alice: User, sandbox: SandboxControl
    ) -> None:
        other = connect(sandbox.organization(size=3))
        ids = list(HeldDeparture.objects.values_list("member_id", flat=True))
        assert departures.decide(other, ids, remove=True, person=alice) == 0

    def test_somebody_switched_off_by_hand_is_held_no_more(
        self, integration: GitHubIntegration, held: list[str], alice: User
    ) -> None:
        row = integration.team.members.get(github_username=held[0])
        switch_member(row, active=False, person=alice)
        assert held_logins(integration) == set(held[1:])
        assert row.deactivated_by == DeactivatedBy.PERSON

    def test_who_left_and_is_switched_on_by_hand_stays(
        self, integration: GitHubIntegration, organization: SandboxOrganization, alice: User
    ) -> None:
        [login] = remove(organization, 1)
        sync(integration)
        row = integration.team.members.get(github_username=login)
        switch_member(row, active=True, person=alice)
        assert sync(integration).departed_count == 0
        for active in (False, True):
            switch_member(row, active=active, person=alice)
        assert sync(integration).departed_count == 0
        row.refresh_from_db()
        assert row.is_active


class TestTheCard:
    def test_it_says_how_many_wait_until_they_are_decided(
        self, integration: GitHubIntegration, organization: SandboxOrganization, alice: User
    ) -> None:
        remove(organization, 6)
        run = sync(integration)
        assert MemberSyncCard.of(integration).state == "held"
        ids = list(HeldDeparture.objects.values_list("member_id", flat=True)[:2])
        departures.decide(integration, ids, remove=True, person=alice)
        card = MemberSyncCard.of(integration)
        assert (card.state, card.held_count) == ("held", 4)
        assert card.revision > run.revision
        departures.decide(integration, None, remove=False, person=alice)
        assert MemberSyncCard.of(integration).state == "complete"
