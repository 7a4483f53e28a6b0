"""`make bench`: start the real processes, measure every row, and print the table.

With `--record DIRECTORY` it also leaves there the table (README.md), every number behind it
(figures.json) and the plots. Exits with 1 when a figure misses its bar.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import logging
import os
import sys
import tempfile
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from tests.bench.plots import draw
from tests.bench.table import Row, as_markdown, as_text, machine, write_json
from tests.processes import SandboxProcess, Valkey
from tests.sandbox_control import app_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--record", type=Path, help="leave table, figures and plots in here")
    parser.add_argument("names", nargs="*", help="only these measurements")
    options = parser.parse_args()
    about = machine()
    with ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="rollcall-")))
        rows = []
        for found in _measured(directory, options.names, cleanup):
            rows += found
            if options.record:
                # After each: what was measured is not lost with what comes after it.
                _record(rows, options.record, about=about)
    print(f"\n{about}\n\n{as_text(rows)}\n")
    if options.json:
        write_json(rows, options.json, about=about)
    return 0 if all(row.holds for row in rows) else 1


def _record(rows: list[Any], directory: Path, *, about: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    write_json(rows, directory / "figures.json", about=about)
    plots = draw(rows, directory, about=about)
    pictures = "\n\n".join(f"![{path.stem}]({path.name})" for path in plots)
    words = f"# Figures of `make bench`\n\n{about}.\n\n{as_markdown(rows)}\n{pictures}\n"
    (directory / "README.md").write_text(words)


def _measured(directory: Path, names: list[str], cleanup: ExitStack) -> Iterator[list[Any]]:
    """Measure one after the other; yield each one's rows."""
    bench, measurements = _bench(directory, cleanup)
    for measure in measurements:
        # By its own name, or by that of its module or package: "queues" are several.
        known_as = {measure.__name__, *measure.__module__.split(".")}
        if not names or known_as & set(names):
            print(f"measuring {measure.__name__} ...", file=sys.stderr, flush=True)
            yield _rows_of(measure, bench)


def _rows_of(measure: Any, bench: Any) -> list[Any]:
    """Measure; one that breaks is a row that misses its bar, and the others go on."""
    try:
        return list(measure(bench))
    except Exception as exc:
        traceback.print_exc()
        words = f"broke: {type(exc).__name__}"
        return [Row(measure.__name__, words, "an answer", "-", holds=False)]


def _bench(directory: Path, cleanup: ExitStack) -> tuple[Any, Sequence[Any]]:
    """Start the real processes; return them, and all there is to measure."""
    valkey = Valkey(directory / "valkey")
    valkey.start()
    cleanup.callback(valkey.kill)
    sandbox, slow = (SandboxProcess(log_dir=directory, latency_ms=ms) for ms in (0, 20))
    for process in (sandbox, slow):
        process.start()
        cleanup.callback(process.stop)
    os.environ.setdefault("DATABASE_URL", f"sqlite:///{directory / 'bench.sqlite3'}")
    os.environ.update(
        DJANGO_SETTINGS_MODULE="project.settings",
        REDIS_URL=valkey.url,
        BROKER_NAMESPACE="bench",
        GITHUB_URL=sandbox.url,
        GITHUB_API_URL=f"{sandbox.url}/api/v3",
        GITHUB_WEBHOOK_SECRET="sandbox-webhook-secret",
        **app_settings(sandbox.url),
        # As in production, but for HTTPS, which nobody terminates here.
        SECRET_KEY="for this measurement only",
        FIELD_ENCRYPTION_KEYS=base64.urlsafe_b64encode(os.urandom(32)).decode(),
        ALLOWED_HOSTS="127.0.0.1,testserver",
        HTTPS="0",
    )
    django.setup()
    # This process works like a worker at times; its lines would stand between the figures.
    logging.disable(logging.CRITICAL)
    # Only now can anything be imported that reads settings or models.
    call_command = importlib.import_module("django.core.management").call_command
    measurements = importlib.import_module("tests.bench.rows")
    stack = importlib.import_module("tests.stack").Stack(log_dir=directory, valkey=valkey)
    control = importlib.import_module("tests.sandbox_control").SandboxControl
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    cleanup.callback(stack.stop)
    stack.start(["web"])
    bench = measurements.Bench(
        sandbox=control(sandbox.url), slow_sandbox=control(slow.url), stack=stack
    )
    return bench, measurements.ALL


if __name__ == "__main__":
    sys.exit(main())
