"""Measures the streams of one web process, in a process whose settings name the database.

`python -m tests.bench.streams_child MODULE` prints the rows of the module's `measure` as JSON;
`streams.py` starts it.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import django


def main() -> None:
    django.setup()
    logging.disable(logging.CRITICAL)
    # Only now can anything be imported that reads settings or models.
    importlib.import_module("django.core.management").call_command("migrate", verbosity=0)
    measuring = importlib.import_module(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="rollcall-streams-") as directory:
        rows = measuring.measure(Path(directory))
    json.dump([asdict(row) for row in rows], sys.stdout)


if __name__ == "__main__":
    main()
