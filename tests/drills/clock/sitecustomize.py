"""A clock for a process of a drill: the real one, as far ahead as a file says, in seconds.

Python imports this at its start when the folder is on PYTHONPATH. It moves what people call the
time (`time.time`, Django's `timezone.now`), as a clock that is set does, and leaves the monotonic
clock alone, so that timeouts, sleeps and backoffs go on as they are. libfaketime, which moves the
clock of any program, was tried first: 0.9.10, Debian's, fails every `time.sleep` of Python 3.11
with EINVAL once it leaves the monotonic clock alone.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from django.utils import timezone

_PATH = os.environ["DRILL_CLOCK"]
_real_time = time.time


def _ahead_s() -> float:
    with open(_PATH) as file:
        return float(file.read() or 0)


def _time() -> float:
    return _real_time() + _ahead_s()


def _now() -> datetime:
    return datetime.fromtimestamp(_time(), tz=UTC)


time.time = _time
timezone.now = _now
