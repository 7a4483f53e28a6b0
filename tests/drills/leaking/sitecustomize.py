"""A process that leaks, for the drill that proves that a leak is found.

Python imports this at its start when the folder is on PYTHONPATH. After each request the process
keeps what DRILL_LEAK names, separated by commas: a file, a thread, 256 KiB, a connection of Redis.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from django.core.signals import request_finished

KINDS = frozenset(os.environ["DRILL_LEAK"].split(","))
_kept: list[object] = []


def _leak(**_: Any) -> None:
    if "files" in KINDS:
        _kept.append(open(os.devnull))  # noqa: SIM115
    if "memory" in KINDS:
        _kept.append(os.urandom(256 * 1024))
    if "threads" in KINDS:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    if "clients" in KINDS:
        port = int(os.environ["REDIS_URL"].rpartition(":")[2].partition("/")[0])
        _kept.append(socket.create_connection(("127.0.0.1", port)))


request_finished.connect(_leak)
