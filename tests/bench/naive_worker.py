"""A worker as one writes it at first: Dramatiq's broker and actor with their defaults.

`python -m dramatiq tests.bench.naive_worker`. Its one job reads a list page by page, and keeps
nothing but a journal of when it had which page.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import dramatiq
import requests
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["NAIVE_REDIS_URL"], namespace="naive"))  # type: ignore[no-untyped-call]


@dramatiq.actor
def walk(url: str, token: str, journal: str) -> None:
    """Read the list at an address to its end."""
    page, address = 0, url
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        while address:
            answer = session.get(address, timeout=30)
            answer.raise_for_status()
            page += 1
            with Path(journal).open("a") as lines:
                lines.write(f"{page} {time.time()}\n")
            address = answer.links.get("next", {}).get("url", "")
