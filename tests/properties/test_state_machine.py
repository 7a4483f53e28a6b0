"""GitHub and the product, driven together in any order: whatever happens, the roster comes right.

Hypothesis picks the steps; MACHINE_SEED picks others, MACHINE_EXAMPLES more, MACHINE_HALVES=1 does
half of them, and MACHINE_SHRINKS finds the fewest steps to a failure.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    run_state_machine_as_test,
)

from integrations.constants import SYNC_STATUS_COMPLETE
from integrations.models import Team
from tests.properties import checks
from tests.properties.github_rules import GitHubRules
from tests.properties.github_side import LivingOrganization
from tests.properties.history import check_history
from tests.properties.product_rules import ProductRules
from tests.properties.product_side import ConnectedTeam
from tests.properties.steps import steps_taken

if TYPE_CHECKING:
    from tests.sandbox_control import SandboxControl

SEED = int(os.environ.get("MACHINE_SEED", "1"))
# Two halves, so that two cores share them.
HALVES = int(os.environ.get("MACHINE_HALVES", "2"))
EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "40"))
STEPS = 40
# To find the fewest steps to a failure, which takes some minutes of real HTTP and database.
SHRINKS = bool(os.environ.get("MACHINE_SHRINKS"))
STEPS_AT_LEAST = 1_000


class RosterMachine(GitHubRules, ProductRules):
    """One organisation and one team, from their first day to rest."""

    sandbox: SandboxControl
    is_founded = False

    @initialize(
        size=st.integers(min_value=3, max_value=45),
        number=st.integers(0, 99),
        is_synced=st.booleans(),
    )
    def found(self, size: int, number: int, is_synced: bool) -> None:
        self.github = LivingOrganization.found(self.sandbox, size=size, seed=number)
        self.product = ConnectedTeam(self.github)
        self.switched_off, self.kept = set(), set()
        self.were_kept = set()
        self.heard: list[int] = []
        self.disturbed = False
        self.is_founded = True
        if is_synced:
            self.product.click()
            self.product.settle()

    @invariant()
    def everything_is_in_order(self) -> None:
        if not self.is_founded:
            return
        self.kept -= self.github.inside
        checks.check_runs(self.product)
        checks.check_people(self.product, self.github)
        checks.check_revisions(self.product)
        self.heard += self.product.heard()
        checks.check_events(self.heard, undisturbed=not self.disturbed)

    def teardown(self) -> None:
        if not self.is_founded:
            return
        try:
            self._come_to_rest()
            self._check_roster()
            self._check_records()
        finally:
            self.product.close()

    def _come_to_rest(self) -> None:
        """Mend everything, let what is under way end, and sync once more from the beginning."""
        self._mend()
        self.product.settle()
        last = self.product.click()
        self.product.settle()
        if last.continues_id:
            # The rest of an older walk: who moved since is the next one's business.
            last = self.product.click()
            self.product.settle()
        last.refresh_from_db()
        assert (last.status, last.sweep_blocked_by) == (SYNC_STATUS_COMPLETE, "")
        assert last.held_count == len(self.product.held())
        self.product.decide(self.product.held(), remove=True)

    def _check_roster(self) -> None:
        truth = checks.truth_of(self.github, without=self.switched_off)
        roster = checks.roster_of(self.product)
        kept = checks.kept_of(self.product)
        assert {github_id: roster[github_id] for github_id in roster.keys() - kept} == truth
        # Nobody is kept but by an admin, and whoever is, is there.
        assert self.kept <= kept
        assert kept <= self.were_kept

    def _check_records(self) -> None:
        assert all(run.status in checks.FINAL for run in self.product.all_runs)
        checks.check_runs(self.product)
        checks.check_people(self.product, self.github)
        checks.check_revisions(self.product)
        checks.check_moves(self.product)
        checks.check_counts(self.product)
        check_history(self.product.team)
        last = Team.objects.get(pk=self.product.team.pk).revision
        if last not in self.heard:
            self.heard += self.product.heard(until=last)
        checks.check_events(self.heard, undisturbed=not self.disturbed)


@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("half", range(HALVES))
def test_the_roster_comes_right_whatever_happens(sandbox: SandboxControl, half: int) -> None:
    steps_taken.clear()
    checks.outcomes.clear()
    machine = type("RosterMachine", (RosterMachine,), {"sandbox": sandbox})
    run_state_machine_as_test(
        seed(SEED * 2 + half)(machine),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink] if SHRINKS else [Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
    print(f"{steps_taken.total()} steps:", dict(steps_taken.most_common()))
    print("came to:", dict(checks.outcomes.most_common()))
    assert steps_taken.total() >= STEPS_AT_LEAST
