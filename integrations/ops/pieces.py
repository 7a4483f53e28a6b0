"""The dashboard's pieces of HTML, the same for every operator: rendered once for all who watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation

if TYPE_CHECKING:
    from integrations.ops.figures import Snapshot

# In the order of the page; each is the id of its element and the name of its template.
PIECES: Final = (
    "verdict", "queues", "runs", "causes", "workers", "github", "streams", "schedulers", "webhooks",
)  # fmt: skip


def context_of(snapshot: Snapshot) -> dict[str, Any]:
    """Return what the pieces need; nobody can act while the database can't write it down."""
    lines = () if snapshot.runs is None else snapshot.runs.lines
    return {
        "snapshot": snapshot,
        "tiles": _tiles(snapshot),
        "verdict_tone": _verdict_tone(snapshot),
        "can_act": "database" not in snapshot.unreadable,
        "team_of": {line.team_id: line for line in lines},
    }


def _verdict_tone(snapshot: Snapshot) -> str:
    if not snapshot.problems:
        return "good"
    return "bad" if any(problem.tone == "bad" for problem in snapshot.problems) else "warn"


def _tiles(snapshot: Snapshot) -> list[tuple[str, str, str, str]]:
    """Return the figures of the first line: label, value, note and link. "–" is unknown."""
    queues = snapshot.queues
    depths = None if queues is None else [queue.depth for queue in queues]
    alive = [worker for worker in snapshot.workers if not worker.is_gone]
    busy_count = sum(len(worker.running) for worker in alive)
    thread_count = sum(worker.worker_thread_count for worker in alive)
    runs, listing = snapshot.runs, reverse("ops_messages")

    def depth(name: str) -> str:
        return _number(None if depths is None else sum(getattr(one, name) for one in depths))

    def run_count(name: str) -> str:
        return _number(None if runs is None else getattr(runs, name))

    has_processes = snapshot.processes is not None
    return [
        ("Ready", depth("ready_count"), "", f"{listing}?state=ready"),
        ("Delayed", depth("delayed_count"), "", f"{listing}?state=delayed"),
        ("Dead", depth("dead_count"), "", f"{listing}?state=dead"),
        ("Threads busy", _number(busy_count if has_processes else None),
         f"of {thread_count}" if has_processes else "", "#workers"),
        ("Runs under way", _number(None if runs is None else (
            runs.pending_count + runs.running_count + runs.waiting_count + runs.stalled_count
        )), "", "#runs"),
        ("Failed in a day", run_count("failed_count"), "", "#causes"),
        ("Requests a minute", _number(
            None if snapshot.github is None else round(snapshot.github.requests_a_minute)
        ), "", "#github"),
    ]  # fmt: skip


def _number(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def pieces_of(snapshot: Snapshot) -> dict[str, str]:
    """Render every piece, in English, with no request: no token, no person."""
    context = context_of(snapshot)
    with translation.override("en"):
        return {name: render_to_string(f"ops/partials/{name}.html", context) for name in PIECES}
