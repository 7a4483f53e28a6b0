"""A process of its own that works on one run to its end, and says how much memory that took.

`python -m tests.bench.memory_child WAY RUN` prints the peak of its resident memory in MiB.
"""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path

import django


def main() -> None:
    django.setup()
    logging.disable(logging.CRITICAL)
    # Only now can anything be imported that reads settings or models.
    ways = importlib.import_module("tests.bench.memory").WAYS
    ways[sys.argv[1]](int(sys.argv[2]))
    print(peak_mib())


def peak_mib() -> float:
    """Read the high-water mark of this program alone.

    Not `getrusage()`: on Linux its figure begins with the peak of whoever started this process.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024


if __name__ == "__main__":
    main()
