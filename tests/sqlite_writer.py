"""One process of tests/test_sqlite_writers.py: `python -m tests.sqlite_writer NAME COUNT`.

Says "ready", begins at the first line it is given, and says how many transactions it wrote. With
"hold" for COUNT it keeps one transaction open until it is given another line.
"""

from __future__ import annotations

import sys
import time

import django
from django.db import connection, transaction

# What a process of ours does between its reading and its writing.
THINKING_S = 0.001


def main(name: str, count: str) -> None:
    django.setup()
    connection.ensure_connection()
    say("ready")
    sys.stdin.readline()
    if count == "hold":
        with transaction.atomic():
            write(name, 0)
            say("holding")
            sys.stdin.readline()
        say("1")
    else:
        for number in range(int(count)):
            with transaction.atomic():
                write(name, number)
        say(count)


def write(name: str, number: int) -> None:
    """Read, then write what follows from it, as nearly every transaction of ours does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT total FROM counter")
        (total,) = cursor.fetchone()
        time.sleep(THINKING_S)
        cursor.execute("UPDATE counter SET total = %s", [total + 1])
        cursor.execute("INSERT INTO entry (writer, number) VALUES (%s, %s)", [name, number])


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
