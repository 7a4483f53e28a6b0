"""Which faults are switched on, for whom, and how often they have still to happen.

A fault always belongs to an organisation or a token, so that tests beside each other don't meet.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from integrations.sandbox.faults.catalogue import KNOWN_FAULTS, KnownFault

_SCOPE_FIELDS = frozenset({"fault", "organization", "token", "times", "after", "path", "kind"})


class FaultError(ValueError):
    """The fault that was asked for makes no sense; the text says why."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What of a call decides whether a fault happens to it."""

    kind: str
    path: str
    organization: str | None
    token: str | None
    page_size: int | None


@dataclass
class Fault:
    id: int
    name: str
    organization: str | None = None
    token: str | None = None
    # How many more times it happens; None: until it is removed.
    times: int | None = None
    # How many matching calls it lets pass first.
    after: int = 0
    path: str | None = None
    kind: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    happened_count: int = 0

    def as_json(self) -> dict[str, Any]:
        facts = asdict(self)
        return {"fault": facts.pop("name"), **facts}

    def matches(self, situation: Situation) -> bool:
        known = KNOWN_FAULTS[self.name]
        if known.needs_member_page and situation.page_size is None:
            return False
        above = self.params.get("above")
        return (
            self.organization in (None, situation.organization)
            and self.token in (None, situation.token)
            and self.kind in (None, situation.kind)
            and (self.path is None or situation.path.startswith(self.path))
            and (above is None or (situation.page_size or 0) > above)
        )

    def take_turn(self) -> bool:
        """Count this call; tell whether the fault happens to it."""
        if self.after > 0:
            self.after -= 1
            return False
        if self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        self.happened_count += 1
        return True


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, facts: dict[str, Any]) -> Fault:
        name = facts.get("fault")
        known = KNOWN_FAULTS.get(name) if isinstance(name, str) else None
        if known is None or not isinstance(name, str):
            raise FaultError(f"Unknown fault {name!r}; known: {', '.join(KNOWN_FAULTS)}")
        organization, token = facts.get("organization"), facts.get("token")
        if not organization and not token:
            raise FaultError("Name an organization or a token: a fault for everybody is refused")
        _refuse_nonsense(name, known, facts)
        fault = Fault(
            id=next(self._ids),
            name=name,
            organization=organization.lower() if organization else None,
            token=token or None,
            times=facts.get("times"),
            after=facts.get("after") or 0,
            path=facts.get("path"),
            kind=facts.get("kind") or known.kind,
            params={key: facts.get(key, default) for key, default in known.params.items()},
        )
        self._faults.append(fault)
        return fault

    def happening(self, situation: Situation) -> list[Fault]:
        """Return the faults that happen to this call, each of which is one turn less from now."""
        matching = [fault for fault in self._faults if fault.matches(situation)]
        return [fault for fault in matching if fault.take_turn()]

    def matching(
        self, *, organization: str | None = None, token: str | None = None
    ) -> Iterable[Fault]:
        wanted = organization.lower() if organization else None
        for fault in self._faults:
            if wanted in (None, fault.organization) and token in (None, fault.token):
                yield fault

    def remove(self, faults: Iterable[Fault]) -> int:
        gone = {fault.id for fault in faults}
        self._faults = [fault for fault in self._faults if fault.id not in gone]
        return len(gone)


def _refuse_nonsense(name: str, known: KnownFault, facts: dict[str, Any]) -> None:
    """Refuse now what would make every later call of the organisation fail on our side."""
    unknown = facts.keys() - _SCOPE_FIELDS - known.params.keys()
    if unknown:
        raise FaultError(f"{name} takes no {', '.join(sorted(unknown))}")
    for field_name, least in (("times", 1), ("after", 0)):
        value = facts.get(field_name)
        if value is not None and not (isinstance(value, int) and value >= least):
            raise FaultError(f"{field_name} is a whole number of at least {least}")
    kind = facts.get("kind")
    if kind is not None and kind not in (known.kind or "rest", known.kind or "graphql"):
        raise FaultError(f"{name} doesn't happen to calls of kind {kind!r}")
    for param, default in known.params.items():
        if not _is_alike(facts.get(param, default), default):
            raise FaultError(f"{param} of {name} is like {default!r}")


def _is_alike(value: Any, default: Any) -> bool:
    if default is None:
        return True
    if isinstance(default, int | float) and not isinstance(default, bool):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, type(default))
