"""Steps on the product's side: clicks, decisions, workers that live, stall or die, and time."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from integrations.constants import DeactivatedBy
from integrations.models import SyncRun
from tests.properties.interruptions import dies_at_statement, stalls_at_statement
from tests.properties.steps import SMALL_PAGE, BothSides, anybody, counted, one_of


class ProductRules(BothSides):
    """Every step can always be taken: how far a worker came is a matter of microseconds, too.

    Hypothesis repeats steps by number, so that nothing of it may decide which of them there are.
    """

    @rule(twice=st.booleans(), page_size=st.sampled_from([5, 10, 10, 20]))
    @counted
    def somebody_clicks(self, twice: bool, page_size: int) -> None:
        run = self.product.click()
        if twice and run.is_active:
            assert self.product.click() == run
        self.product.read_small_pages(page_size)

    @rule(page_size=st.sampled_from([5, 10, 20]))
    @counted
    def a_sync_runs_to_its_end(self, page_size: int) -> None:
        """To whatever end it comes, as GitHub is just now."""
        self.product.click()
        self.product.read_small_pages(page_size)
        self.product.settle()

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

    @rule(
        statement=st.integers(min_value=3, max_value=30),
        how_far=st.integers(min_value=10, max_value=90),
        noticed=st.booleans(),
    )
    @counted
    def a_worker_stalls_and_is_replaced(self, statement: int, how_far: int, noticed: bool) -> None:
        """It wakes up when another worker has the run, which got some way itself, or to its end."""
        run = self.product.active_run or self.product.click()
        self.product.read_small_pages(SMALL_PAGE)
        self.disturbed = True
        replaced: list[SyncRun] = []

        def take_over() -> None:
            self.product.let_leases_end()
            with dies_at_statement(how_far):
                self.product.deliver(run)
            run.refresh_from_db()
            replaced.append(run)

        with stalls_at_statement(statement, take_over):
            self.product.deliver(run)
        for left in replaced:
            found = SyncRun.objects.get(pk=left.pk)
            assert _standing(found) == _standing(left), "a worker wrote without the lease"
        if noticed:
            self.product.let_leases_end()

    @rule(
        statement=st.integers(min_value=3, max_value=30),
        what=st.sampled_from(["cancelled", "switched off", "decided"]),
        index=anybody,
    )
    @counted
    def a_worker_is_overtaken_by_a_person(self, statement: int, what: str, index: int) -> None:
        run = self.product.active_run or self.product.click()
        self.product.read_small_pages(SMALL_PAGE)
        self.disturbed = True

        def meanwhile() -> None:
            if what == "cancelled":
                self.product.cancel()
            elif what == "switched off":
                self._switch(index, active=False)
            else:
                self._decide(index, everybody=True, remove=False)

        with stalls_at_statement(statement, meanwhile):
            self.product.deliver(run)

    @rule(statement=st.integers(min_value=1, max_value=60))
    @counted
    def somebody_cancels(self, statement: int) -> None:
        """Cancel a run: one that a worker left somewhere on its way, or has not begun."""
        run = self.product.active_run or self.product.click()
        self.product.read_small_pages(SMALL_PAGE)
        self.disturbed = True
        with dies_at_statement(statement):
            self.product.deliver(run)
        self.product.cancel()

    @rule(page_size=st.sampled_from([5, 10]), slices=st.integers(0, 3))
    @counted
    def somebody_previews(self, page_size: int, slices: int) -> None:
        run = self.product.preview()
        self.product.read_small_pages(page_size)
        for _ in range(slices):
            self.product.deliver(run)

    @rule(twice=st.booleans())
    @counted
    def the_preview_is_applied(self, twice: bool) -> None:
        if self.product.latest_preview is None:
            self.product.deliver(self.product.preview())
        if self.product.apply_preview() and twice:
            assert self.product.apply_preview() is None, "applied twice"

    @rule(index=anybody, everybody=st.booleans(), remove=st.booleans())
    @counted
    def held_people_are_decided(self, index: int, everybody: bool, remove: bool) -> None:
        self._decide(index, everybody=everybody, remove=remove)

    def _decide(self, index: int, *, everybody: bool, remove: bool) -> None:
        held = self.product.held()
        chosen = held if everybody or not held else [one_of(held, index)]
        decided = self.product.decide(chosen, remove=remove)
        assert decided == len(chosen)
        if not remove:
            self.kept |= {member.github_id for member in chosen}
            self.were_kept |= self.kept

    @rule(what=st.sampled_from(["a lease ends", "a wait ends", "both end", "night falls"]))
    @counted
    def time_passes(self, what: str) -> None:
        if what in ("a lease ends", "both end"):
            self.product.let_leases_end()
        if what in ("a wait ends", "both end"):
            self.product.let_waits_end()
        if what == "night falls":
            self.product.let_night_fall()

    @rule(index=anybody, active=st.booleans())
    @counted
    def somebody_is_switched_by_hand(self, index: int, active: bool) -> None:
        self._switch(index, active=active)

    def _switch(self, index: int, *, active: bool) -> None:
        members = self.product.members(active=not active)
        if not members:
            return
        member = one_of(members, index)
        # Whom the sync had taken for departed is kept from now on: an admin wants them here.
        wants_to_keep = active and member.deactivated_by == DeactivatedBy.SYNC
        self.product.switch(member, active=active)
        (self.switched_off.discard if active else self.switched_off.add)(member.github_id)
        (self.kept.add if wants_to_keep else self.kept.discard)(member.github_id)
        self.were_kept |= self.kept


def _standing(run: SyncRun) -> tuple[object, ...]:
    return run.status, run.lease_token, run.cursor, run.page_count, run.created_count
