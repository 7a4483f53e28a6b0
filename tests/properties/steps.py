"""What every step of the state machine needs: who it is about, and being counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

if TYPE_CHECKING:
    from tests.properties.github_side import LivingOrganization
    from tests.properties.product_side import ConnectedTeam

# Of a list of a few dozen: several pages, several chances for a worker to die.
SMALL_PAGE = 5
anybody = st.integers(min_value=0, max_value=1_000)
Step = TypeVar("Step", bound="Callable[..., None]")
steps_taken: Counter[str] = Counter()


def counted(step: Step) -> Step:
    @wraps(step)
    def counting(*args: Any, **kwargs: Any) -> None:
        steps_taken[step.__name__] += 1
        step(*args, **kwargs)

    return counting  # type: ignore[return-value]


def one_of(things: list[Any], index: int) -> Any:
    return things[index % len(things)]


class BothSides(RuleBasedStateMachine):
    """One organisation and one team, and what the steps did to the team by hand."""

    github: LivingOrganization
    product: ConnectedTeam
    # Switched off by hand, and not on again.
    switched_off: set[int]
    # Held, and kept by an admin; until GitHub lists them again or somebody decides otherwise.
    kept: set[int]
    # Whom an admin ever wanted to keep.
    were_kept: set[int]
    # A worker died or stalled, maybe between its commit and its event.
    disturbed: bool
