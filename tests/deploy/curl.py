"""curl as a client: it speaks HTTP/2 and says which protocol was spoken.

One of its own calls, one answer; a stream's lines are read as they come.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.deploy.nginx import Nginx

CURL: Final = shutil.which("curl")
_MARK: Final = "\n--curl-- "


@dataclass(frozen=True)
class Answer:
    status: int
    # "2" for HTTP/2, "1.1"
    version: str
    # By lower-case name; one that comes several times has its values joined by line ends.
    headers: dict[str, str]
    body: str


def curl_to(nginx: Nginx, url: str, *options: str) -> list[str]:
    """Return a command that finds the site's name at this nginx and trusts its certificate."""
    assert CURL is not None
    hosts = [
        option
        for port, ours in (("443", nginx.https_port), ("80", nginx.http_port))
        for option in ("--connect-to", f":{port}:127.0.0.1:{ours}")
    ]
    return [
        CURL, "--silent", "--noproxy", "*", "--cacert", str(nginx.certificate), *hosts,
        *options, url,
    ]  # fmt: skip


def ask(nginx: Nginx, url: str, *options: str, data: str | None = None) -> Answer:
    """Ask once. Status 0: nobody answered."""
    extra = [
        "--include",
        "--max-time",
        "20",
        "--write-out",
        f"{_MARK}%{{http_code}} %{{http_version}}",
    ]
    if data is not None:
        extra += ["--data-binary", "@-"]
    done = subprocess.run(
        curl_to(nginx, url, *extra, *options), input=data, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    text, _, written = done.stdout.rpartition(_MARK)
    status, version = written.split()
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    while head.startswith("HTTP/") and " 100" in head.splitlines()[0]:
        head, _, body = body.partition("\n\n")
    headers: dict[str, str] = {}
    for line in head.splitlines()[1:]:
        name, _, value = line.partition(": ")
        name = name.lower()
        headers[name] = f"{headers[name]}\n{value}" if name in headers else value
    return Answer(int(status), version, headers, body)


class Stream:
    """An open stream: its lines, each with the moment at which it came."""

    def __init__(self, nginx: Nginx, url: str, *options: str) -> None:
        self.lines: list[tuple[float, str]] = []
        self.begun_at = time.monotonic()
        self._process = subprocess.Popen(
            curl_to(nginx, url, "--no-buffer", "--include", *options),
            stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_open(self) -> bool:
        return self._process.poll() is None

    @property
    def text(self) -> str:
        return "".join(line for _, line in self.lines)

    @property
    def open_for_s(self) -> float:
        return time.monotonic() - self.begun_at

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(timeout=5)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append((time.monotonic(), line))
