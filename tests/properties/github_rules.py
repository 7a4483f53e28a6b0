"""Steps on GitHub's side: people who come and go, answers that break."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from integrations.sandbox.faults.catalogue import KNOWN_FAULTS
from tests.properties.steps import BothSides, anybody, counted, one_of

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
        CHANGES[what](self.github, one_of(others, index), one_of(others, index + 1))

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
