"""Steps on GitHub's side: people who come and go, answers that break."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from integrations.sandbox.faults.catalogue import KNOWN_FAULTS
from tests.properties.interruptions import stalls_at_statement
from tests.properties.steps import SMALL_PAGE, BothSides, anybody, counted, one_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.properties.github_side import LivingOrganization

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


class GitHubRules(BothSides):
    @rule(role=st.sampled_from(["member", "member", "admin"]))
    @counted
    def joins(self, role: str) -> None:
        self.github.join(role=role)

    @precondition(lambda self: self.github.outside)
    @rule(index=anybody)
    @counted
    def comes_back(self, index: int) -> None:
        self.github.come_back(one_of(self.github.outside, index))

    @precondition(lambda self: self.github.others)
    @rule(index=anybody)
    @counted
    def leaves(self, index: int) -> None:
        self.github.leave([one_of(self.github.others, index)])

    @precondition(lambda self: len(self.github.others) > 8)
    @rule(count=st.integers(min_value=5, max_value=12))
    @counted
    def many_leave(self, count: int) -> None:
        self.github.leave(self.github.others[-count:])

    @precondition(lambda self: len(self.github.others) > 1)
    @rule(whats=st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=4), index=anybody)
    @counted
    def people_change(self, whats: list[str], index: int) -> None:
        others = self.github.others
        for offset, what in enumerate(whats, start=index):
            CHANGES[what](self.github, one_of(others, offset), one_of(others, offset + 1))

    @rule(
        name=st.sampled_from(sorted(KNOWN_FAULTS)),
        after=st.integers(min_value=0, max_value=6),
        times=st.sampled_from([1, 1, 1, 2, 3, None]),
    )
    @counted
    def github_misbehaves(self, name: str, after: int, times: int | None) -> None:
        self.github.organization.fault(name, after=after, times=times, **FAULT_PARAMS.get(name, {}))

    @rule()
    @counted
    def github_is_mended(self) -> None:
        self._mend()

    @rule(
        how=st.sampled_from(["the token is revoked", "its owner leaves"]),
        statement=st.integers(min_value=2, max_value=30),
        lasts=st.sampled_from([False, False, False, True]),
    )
    @counted
    def the_connection_breaks_under_a_worker(self, how: str, statement: int, lasts: bool) -> None:
        run = self.product.active_run or self.product.click()
        self.product.read_small_pages(SMALL_PAGE)
        self.disturbed = True

        def breaks() -> None:
            if how == "the token is revoked":
                self.github.revoke_token()
            elif self.github.owner_id in self.github.inside:
                self.github.leave([self.github.owner_id])

        with stalls_at_statement(statement, breaks):
            self.product.deliver(run)
        if not lasts:
            self._mend()

    def _mend(self) -> None:
        self.github.mend()
        if not (self.github.token_works and self.product.may_use_its_token()):
            self.product.reconnect(self.github.new_token())
