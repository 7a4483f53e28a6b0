"""GitHub and the product, driven together in any order: whatever happens, the roster comes right.

Hypothesis picks the steps; MACHINE_SEED picks another sequence of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from integrations.constants import SYNC_STATUS_COMPLETE
from integrations.models import Team
from integrations.sandbox.faults.catalogue import KNOWN_FAULTS
from tests.properties import checks
from tests.properties.github_side import LivingOrganization
from tests.properties.history import check_history
from tests.properties.interruptions import dies_at_statement, stalls_at_statement
from tests.properties.product_side import ConnectedTeam

if TYPE_CHECKING:
    from tests.sandbox_control import SandboxControl

SEED = int(os.environ.get("MACHINE_SEED", "1"))
# Two halves, so that two cores share them.
HALVES = 2
EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "30"))
STEPS = 40
STEPS_AT_LEAST = 1_000
SMALL_PAGE = 5

# What makes them quick, small or late enough for a list of a few dozen.
FAULT_PARAMS: dict[str, dict[str, Any]] = {
    "slow": {"seconds": 0.01},
    "too_big_502": {"above": 8},
    "resource_limits_exceeded": {"above": 8},
}
CHANGES: dict[str, Callable[[LivingOrganization, int, int], None]] = {
    "promoted": lambda github, one, other: github.change(one, role="admin"),
    "demoted": lambda github, one, other: github.change(one, role="member"),
    "renamed": lambda github, one, other: github.rename(one, number=one),
    "renamed to what another was called": lambda github, one, other: github.rename(
        one, number=other
    ),
    "two swap names": lambda github, one, other: github.swap_names(one, other),
    "another name": lambda github, one, other: github.change(one, name="Grace\0Hopper"),
    "no name": lambda github, one, other: github.change(one, name=None),
    "a long name": lambda github, one, other: github.change(one, name="عائشة" * 60),
    "another address": lambda github, one, other: github.change(one, email=f"{other}@x.org"),
    "no second factor": lambda github, one, other: github.change(one, two_factor=False),
}

anybody = st.integers(min_value=0, max_value=1_000)
Step = TypeVar("Step", bound="Callable[..., None]")
steps_taken: Counter[str] = Counter()


def counted(step: Step) -> Step:
    @wraps(step)
    def counting(*args: Any, **kwargs: Any) -> None:
        steps_taken[step.__name__] += 1
        step(*args, **kwargs)

    return counting  # type: ignore[return-value]


class RosterMachine(RuleBasedStateMachine):
    """One organisation and one team, from their first day to rest."""

    sandbox: SandboxControl

    github: LivingOrganization
    product: ConnectedTeam

    @initialize(size=st.integers(min_value=3, max_value=45), number=st.integers(0, 99))
    def found(self, size: int, number: int) -> None:
        self.github = LivingOrganization.found(self.sandbox, size=size, seed=number)
        self.product = ConnectedTeam(self.github)
        self.switched_off: set[int] = set()
        self.heard: list[int] = []
        # A worker died or stalled, maybe between its commit and its event.
        self.disturbed = False

    # GitHub

    @rule(role=st.sampled_from(["member", "member", "admin"]))
    @counted
    def joins(self, role: str) -> None:
        self.github.join(role=role)

    @precondition(lambda self: self.github.outside)
    @rule(index=anybody)
    @counted
    def comes_back(self, index: int) -> None:
        self.github.come_back(_one_of(self.github.outside, index))

    @precondition(lambda self: self.github.others)
    @rule(index=anybody)
    @counted
    def leaves(self, index: int) -> None:
        self.github.leave([_one_of(self.github.others, index)])

    @precondition(lambda self: len(self.github.others) > 8)
    @rule(count=st.integers(min_value=5, max_value=12))
    @counted
    def many_leave(self, count: int) -> None:
        self.github.leave(self.github.others[-count:])

    @precondition(lambda self: self.github.owner_id in self.github.inside)
    @rule()
    @counted
    def the_token_s_owner_leaves(self) -> None:
        self.github.leave([self.github.owner_id])

    @precondition(lambda self: len(self.github.others) > 1)
    @rule(what=st.sampled_from(sorted(CHANGES)), index=anybody)
    @counted
    def somebody_changes(self, what: str, index: int) -> None:
        others = self.github.others
        CHANGES[what](self.github, _one_of(others, index), _one_of(others, index + 1))

    @precondition(lambda self: self.github.token_works)
    @rule()
    @counted
    def the_token_is_revoked(self) -> None:
        self.github.revoke_token()

    @rule(
        name=st.sampled_from(sorted(KNOWN_FAULTS)),
        after=st.integers(min_value=0, max_value=6),
        times=st.sampled_from([1, 1, 2, 3, None]),
    )
    @counted
    def github_misbehaves(self, name: str, after: int, times: int | None) -> None:
        self.github.organization.fault(name, after=after, times=times, **FAULT_PARAMS.get(name, {}))

    @rule(with_token=st.booleans())
    @counted
    def github_is_mended(self, with_token: bool) -> None:
        self.github.mend()
        if with_token:
            self.product.reconnect(self.github.new_token())

    # The product

    @rule(twice=st.booleans(), page_size=st.sampled_from([5, 10, 10, 20]))
    @counted
    def somebody_clicks(self, twice: bool, page_size: int) -> None:
        run = self.product.click()
        if twice and run.is_active:
            assert self.product.click() == run
        self.product.read_small_pages(page_size)

    @rule(index=st.sampled_from([-1, -1, -1, -2, 0]))
    @counted
    def a_message_arrives(self, index: int) -> None:
        """The run under way goes on, or somebody's fifth message comes long after the end."""
        runs = self.product.runs or [self.product.click()]
        self.product.deliver(runs[max(index, -len(runs))])

    @rule(statement=st.integers(min_value=1, max_value=90), noticed=st.booleans())
    @counted
    def a_worker_is_killed(self, statement: int, noticed: bool) -> None:
        run = self.product.active_run or self.product.click()
        self.product.read_small_pages(SMALL_PAGE)
        self.disturbed = True
        with dies_at_statement(statement):
            self.product.deliver(run)
        if noticed:
            self.product.let_leases_end()

    @rule(statement=st.integers(min_value=3, max_value=25))
    @counted
    def a_worker_stalls_and_another_takes_over(self, statement: int) -> None:
        run = self.product.active_run or self.product.click()
        self.product.read_small_pages(SMALL_PAGE)
        self.disturbed = True

        def take_over() -> None:
            self.product.let_leases_end()
            self.product.deliver(run)

        with stalls_at_statement(statement, take_over):
            self.product.deliver(run)

    @rule()
    @counted
    def time_passes(self) -> None:
        self.product.let_leases_end()
        self.product.let_waits_end()

    @precondition(lambda self: self.product.team.members.exists())
    @rule(index=anybody, active=st.booleans())
    @counted
    def somebody_is_switched_by_hand(self, index: int, active: bool) -> None:
        members = self.product.members(active=not active)
        if members:
            member = _one_of(members, index)
            self.product.switch(member, active=active)
            (self.switched_off.discard if active else self.switched_off.add)(member.github_id)

    # After every step

    @invariant()
    def everything_is_in_order(self) -> None:
        if not hasattr(self, "heard"):
            return
        checks.check_runs(self.product)
        checks.check_people(self.product, self.github)
        checks.check_revisions(self.product)
        self.heard += self.product.heard()
        checks.check_events(self.heard, undisturbed=not self.disturbed)

    # In the end

    def teardown(self) -> None:
        if not hasattr(self, "heard"):
            return
        try:
            self._come_to_rest()
            self._check_what_is_left()
        finally:
            self.product.close()

    def _come_to_rest(self) -> None:
        self.github.mend()
        self.product.reconnect(self.github.new_token())
        self.product.settle()
        last = self.product.click()
        self.product.settle()
        last.refresh_from_db()
        assert (last.status, last.sweep_blocked_by) == (SYNC_STATUS_COMPLETE, "")

    def _check_what_is_left(self) -> None:
        truth = checks.truth_of(self.github, without=self.switched_off)
        assert checks.roster_of(self.product) == truth
        checks.check_runs(self.product)
        checks.check_people(self.product, self.github)
        checks.check_revisions(self.product)
        checks.check_moves(self.product)
        check_history(self.product.team)
        last = Team.objects.get(pk=self.product.team.pk).revision
        if last not in self.heard:
            self.heard += self.product.heard(until=last)
        checks.check_events(self.heard, undisturbed=not self.disturbed)
        assert all(run.status in checks.FINAL for run in self.product.runs)


def _one_of(things: list[Any], index: int) -> Any:
    return things[index % len(things)]


@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("half", range(HALVES))
def test_the_roster_comes_right_whatever_happens(sandbox: SandboxControl, half: int) -> None:
    steps_taken.clear()
    machine = type("RosterMachine", (RosterMachine,), {"sandbox": sandbox})
    run_state_machine_as_test(
        seed(SEED * HALVES + half)(machine),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            # Each step is real HTTP and a real database: a failure as found says enough.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
    print(f"{steps_taken.total()} steps:", dict(steps_taken.most_common()))
    assert steps_taken.total() >= STEPS_AT_LEAST
