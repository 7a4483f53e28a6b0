"""One request, one answer: pooled connections, time limits and a cap on size.

Knows no token and no GitHub; what an answer means is read elsewhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Final

import requests
import urllib3
from requests.adapters import HTTPAdapter

from integrations.github.errors import Unavailable, UnexpectedAnswer
from integrations.github.reading import JSONObject

USER_AGENT: Final = "Rollcall/1.0"
BODY_SIZE_MAX: Final = 32 * 1024 * 1024
_CHUNK_SIZE: Final = 64 * 1024
# One thread asks one thing at a time, of the API and of the web address.
_CONNECTIONS_A_HOST: Final = 2


@dataclass(frozen=True)
class TimeLimits:
    """How long to wait: for a connection, for the next bytes, for the whole answer.

    GitHub itself gives up after 10 s:
    https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#timeouts
    """

    connect_s: float = 5
    read_s: float = 30
    total_s: float = 60


DEFAULT_TIME_LIMITS: Final = TimeLimits()


@dataclass(frozen=True)
class RawAnswer:
    """An answer as it came; `headers` are found whatever their case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    url: str

    @property
    def request_id(self) -> str:
        return self.headers.get("X-GitHub-Request-Id", "")


@dataclass(frozen=True)
class Exchange:
    """One request and how it ended, for whoever counts; `status` is None when no answer came."""

    url: str
    asker: str
    status: int | None
    took_s: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


_observers: list[Callable[[Exchange], None]] = []


def observe(observer: Callable[[Exchange], None]) -> None:
    """Tell this function of every exchange from now on; it must neither wait nor raise."""
    if observer not in _observers:
        _observers.append(observer)


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    params: Mapping[str, str | int] | None = None,
    payload: JSONObject | None = None,
    basic_auth: tuple[str, str] | None = None,
    time_limits: TimeLimits = DEFAULT_TIME_LIMITS,
    asker: str = "",
) -> RawAnswer:
    """Send one request and read its answer. Follows nothing, repeats nothing.

    `asker` says whose budget it is, to those who observe. Raises Unavailable when no whole answer
    came, UnexpectedAnswer when it is beyond all measure.
    """
    begun_s = time.monotonic()
    ends_at = begun_s + time_limits.total_s
    answer: RawAnswer | None = None
    try:
        with _session().request(
            method,
            url,
            headers={"User-Agent": USER_AGENT, **headers},
            params=params,
            json=payload,
            auth=basic_auth,
            timeout=(time_limits.connect_s, time_limits.read_s),
            allow_redirects=False,
            stream=True,
        ) as response:
            answer = RawAnswer(
                status=response.status_code,
                headers=response.headers,
                content=_read(response, ends_at=ends_at),
                url=response.url,
            )
            return answer
    except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
        raise Unavailable(f"no answer: {type(exc).__name__}") from exc
    finally:
        took_s = time.monotonic() - begun_s
        status, seen = (answer.status, answer.headers) if answer is not None else (None, {})
        for tell in _observers:
            tell(Exchange(url=url, asker=asker, status=status, took_s=took_s, headers=seen))


def _read(response: requests.Response, *, ends_at: float) -> bytes:
    """Read and decompress as the bytes come: neither a flood nor a trickle holds us up."""
    content = bytearray()
    while True:
        # Not `iter_content`, which waits for a full chunk: a trickle would outlast every limit.
        chunk: bytes = response.raw.read1(_CHUNK_SIZE, decode_content=True)
        if not chunk:
            return bytes(content)
        content += chunk
        if len(content) > BODY_SIZE_MAX:
            raise UnexpectedAnswer("an answer beyond all measure", status=response.status_code)
        if time.monotonic() > ends_at:
            raise Unavailable("the answer took too long", status=response.status_code)


@dataclass
class _Own:
    """A session, and the process that opened its connections."""

    session: requests.Session
    process_id: int


_local = threading.local()


def _session() -> requests.Session:
    """Return this thread's session; after a fork a new one, since sockets can't be shared."""
    own: _Own | None = getattr(_local, "own", None)
    if own is None or own.process_id != os.getpid():
        own = _local.own = _Own(_new_session(), os.getpid())
    return own.session


class _Session(requests.Session):
    """Leaves a redirect to whoever asked.

    `allow_redirects=False` still has requests prepare the next request: it reads the whole body,
    without our limits, and fails with a bare ValueError on a Location that makes no sense.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


def _new_session() -> requests.Session:
    """Make a session that carries nothing from one caller to the next but open connections."""
    session = _Session()
    # Neither a .netrc nor a proxy of the environment may replace or see a token.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_maxsize=_CONNECTIONS_A_HOST, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
