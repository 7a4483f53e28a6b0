"""What else holds streams, beside ours: django-eventstream's own view, and nginx with nchan."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import requests

from tests.bench.crowd_control import CrowdControl
from tests.bench.table import Row, percentile
from tests.deploy.nginx import NGINX
from tests.processes import free_port, is_listening, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.stream_figures import Web
    from tests.bench.stream_teams import Seat

# So many more each time, until it falls over.
STEP: Final = 20
NAIVE_MAX: Final = 200
NAIVE_TIMEOUT_S: Final = 15
NCHAN: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
ROUNDS: Final = 6
CONFIGURATION: Final = """
load_module {module};
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 30000;
pid {directory}/nginx.pid;
events {{ worker_connections 20000; }}
http {{
  access_log off;
  client_body_temp_path {directory}/client_body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location = /live {{
      nchan_subscriber eventsource;
      nchan_channel_id team;
      nchan_subscriber_first_message newest;
    }}
    location = /publish {{
      nchan_publisher;
      nchan_channel_id team;
      nchan_message_buffer_length 1;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Naive:
    """How far django-eventstream's own view goes."""

    opened: int
    resident_kib: float
    threads: int
    why: str

    def __str__(self) -> str:
        return (
            f"django-eventstream's own view: {self.opened} open ({self.resident_kib:.0f} KiB each, "
            f"{self.threads} threads), then {self.why}"
        )


def naive_streams(web: Web, seats: list[Seat]) -> Naive:
    """Open more and more, until one isn't answered."""
    with web.running(), CrowdControl() as crowd:
        requests_of = [[seat.plain_request(), "stream-open"] for seat in seats]
        first, *_ = requests_of
        crowd.ask("open", port=web.port, requests=[first], at_once=1, timeout_s=NAIVE_TIMEOUT_S)
        before, held, opened = web.load(), web.load(), 1
        why = f"no more were tried ({NAIVE_MAX})"
        for start in range(1, NAIVE_MAX, STEP):
            wanted = requests_of[start : start + STEP]
            told = crowd.ask(
                "open", port=web.port, requests=wanted, at_once=STEP, timeout_s=NAIVE_TIMEOUT_S
            )
            opened += told["opened"]
            held = web.load()
            if told["opened"] < len(wanted):
                silent = len(wanted) - told["opened"] - told["lost"]
                refused = ", ".join(sorted({each.split("\r")[0] for each in told["why"]}))
                why = f"of {STEP} more {told['lost']} refused ({refused}), {silent} not answered"
                break
    each_kib = (held.resident_kib - before.resident_kib) / max(1, opened - 1)
    return Naive(opened, each_kib, held.threads, why)


def nchan_streams(directory: Path, *, count: int, fragment: str) -> list[Row]:
    """Hold as many streams of one channel in nginx, and publish the same fragment to them."""
    name = f"nginx with nchan: {count:,} streams of one channel, and an event to the last of them"
    if NGINX is None or not NCHAN.exists():
        return [Row(name, "not measured: Debian's libnginx-mod-nchan is not here", "-", "-", True)]
    with _nchan(directory) as (port, load), CrowdControl() as crowd:
        request = "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        wanted = [[request, ": hi"]] * (count + 1)
        crowd.ask("open", port=port, requests=wanted[:1], at_once=1, timeout_s=10)
        (before_kib, _) = load()
        opened = crowd.ask("open", port=port, requests=wanted[1:], at_once=200, timeout_s=60)
        held_kib, before_s = load()
        lags = [_lag(crowd, port, count, f"{fragment}<!-- {n} -->", n) for n in range(ROUNDS)]
        _, after_s = load()
    return [
        Row(
            name,
            f"{(held_kib - before_kib) / count:.1f} KiB each, {max(lags) * 1000:.0f} ms (median "
            f"{percentile(lags, 50) * 1000:.0f} ms, {(after_s - before_s) / ROUNDS:.2f} s of CPU); "
            f"opened {opened['opened'] / opened['took_s']:,.0f} a second, {opened['lost']} lost",
            "- (checks nobody, replays nothing)",
            "-",
            opened["opened"] == count,
        )
    ]


def _lag(crowd: CrowdControl, port: int, count: int, data: str, number: int) -> float:
    """Publish, and return when the last viewer had it, in seconds."""
    crowd.ask("listen", words=f"<!-- {number} -->")
    crowd.tell("hear", count=count, timeout_s=10)
    begun_s = time.monotonic()
    answer = requests.post(f"http://127.0.0.1:{port}/publish", data=data.encode(), timeout=10)
    assert answer.ok, answer.text
    heard = crowd.answer()["heard_at_s"]
    assert len(heard) >= count, f"{len(heard)} of {count} heard"
    return float(heard[-1]) - begun_s


@contextmanager
def _nchan(directory: Path) -> Iterator[tuple[int, Callable[[], tuple[float, float]]]]:
    """Run nginx; give its port, and what tells its workers' memory (KiB) and CPU (s)."""
    assert NGINX is not None
    port, configuration = free_port(), directory / "nchan.conf"
    configuration.write_text(
        CONFIGURATION.format(
            module=NCHAN,
            directory=directory,
            port=port,
            # Nobody else may look into this folder.
            user="user root;" if os.geteuid() == 0 else "",
        )
    )
    log = directory / "nchan.log"
    nginx = subprocess.Popen(
        [NGINX, "-e", str(log), "-c", str(configuration)], stderr=subprocess.DEVNULL
    )

    def load() -> tuple[float, float]:
        workers = psutil.Process(nginx.pid).children()
        used = [worker.cpu_times() for worker in workers]
        return (
            sum(worker.memory_info().rss for worker in workers) / 1024,
            sum(one.user + one.system for one in used),
        )

    try:
        wait_until(lambda: nginx.poll() is not None or is_listening(port), what="nginx's port")
        assert nginx.poll() is None, log.read_text()
        yield port, load
    finally:
        nginx.terminate()
        nginx.wait(timeout=10)
