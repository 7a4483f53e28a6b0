"""The client: one token, one GitHub. Sends, follows redirects at home, and reads what came.

It never waits and never asks twice: it raises errors that tell the caller what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin

from requests.utils import parse_header_links

from integrations.github.addresses import is_same_origin
from integrations.github.budgets import GRAPHQL, REST, budgets
from integrations.github.errors import BadCredentials, PageTooLarge, UnexpectedAnswer
from integrations.github.limits import RateBudget
from integrations.github.problems import GraphQLProblem, read_problem, refusal_in
from integrations.github.reading import (
    JSON,
    JSONObject,
    as_list,
    as_object,
    parse_json,
)
from integrations.github.refusals import facts_of, message_of, refusal_of, scopes_in
from integrations.github.transport import DEFAULT_TIME_LIMITS, RawAnswer, TimeLimits, send
from integrations.numbers import whole_number

API_HEADERS: Final = {
    "Accept": "application/vnd.github+json",
    # https://docs.github.com/rest/about-the-rest-api/api-versions
    "X-GitHub-Api-Version": "2022-11-28",
}
# The most that GitHub gives: fewer requests.
PAGE_SIZE: Final = 100
# An organisation that was renamed takes one.
REDIRECTS_MAX: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Answer:
    """A REST answer that holds what was asked for."""

    status: int
    # None when there is no body (204, some 202).
    body: JSON = field(repr=False)
    # None: GitHub tells no scopes of this kind of token.
    scopes: frozenset[str] | None = None
    next_url: str | None = None
    budget: RateBudget | None = None
    # Organisations left out until the person signs in to their identity provider.
    sso_hidden_organization_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class GraphQLAnswer:
    """A GraphQL answer: all of what was asked for, or what of it is usable, with the errors."""

    data: JSONObject = field(repr=False)
    errors: tuple[GraphQLProblem, ...] = ()
    budget: RateBudget | None = None
    scopes: frozenset[str] | None = None


def derive_graphql_url(api_url: str) -> str:
    """Return where GraphQL is, given where REST is.

    On a GitHub Enterprise Server it is beside /api/v3; everywhere else it is below.
    https://docs.github.com/enterprise-server@latest/graphql/guides/forming-calls-with-graphql
    """
    root = api_url.rstrip("/")
    if root.endswith("/api/v3"):
        root = root.removesuffix("/v3")
    return f"{root}/graphql"


class GitHubClient:
    """Asks one GitHub with one token. Cheap to make: connections are the thread's, not its."""

    def __init__(
        self,
        *,
        token: str,
        api_url: str,
        graphql_url: str | None = None,
        time_limits: TimeLimits = DEFAULT_TIME_LIMITS,
        asker: str = "",
        budget_of: str = "",
    ) -> None:
        """`asker` is who counts it; `budget_of` whose budget it is, empty for one not kept."""
        self._token = token
        self._asker = asker
        self._budget_of = budget_of
        self._time_limits = time_limits
        self.api_url = api_url.rstrip("/")
        self.graphql_url = graphql_url or derive_graphql_url(api_url)

    def __repr__(self) -> str:
        return f"<GitHubClient of {self.api_url}>"

    def get(self, path: str, **params: str | int) -> Answer:
        """Ask REST; `path` begins with a slash, below the API's address. Raises GitHubError."""
        return self._get(f"{self.api_url}{path}", params=params)

    def get_url(self, url: str) -> Answer:
        """Ask an address that GitHub gave us, such as `next_url`. Raises GitHubError."""
        return self._get(url, params={})

    def post(self, path: str, payload: JSONObject | None = None) -> Answer:
        """Ask REST to do something; as `get`."""
        return self._ask("POST", path, payload)

    def patch(self, path: str, payload: JSONObject) -> Answer:
        """Ask REST to change something; as `get`."""
        return self._ask("PATCH", path, payload)

    def delete(self, path: str) -> Answer:
        """Ask REST to remove something; as `get`."""
        return self._ask("DELETE", path, None)

    def _ask(self, method: str, path: str, payload: JSONObject | None) -> Answer:
        return self._noted(_read_rest(self._send(method, f"{self.api_url}{path}", payload=payload)))

    def pages(self, path: str, **params: str | int) -> Iterator[Answer]:
        """Ask for a list, and follow its links page by page. Raises GitHubError."""
        answer = self.get(path, per_page=PAGE_SIZE, **params)
        yield answer
        followed: set[str] = set()
        while answer.next_url:
            if answer.next_url in followed:
                raise UnexpectedAnswer("the list leads back to a page that was read")
            followed.add(answer.next_url)
            answer = self.get_url(answer.next_url)
            yield answer

    def graphql(self, query: str, variables: JSONObject) -> GraphQLAnswer:
        """Ask GraphQL. Errors about parts of the answer come back with it; others are raised."""
        raw = self._send("POST", self.graphql_url, payload={"query": query, "variables": variables})
        if raw.status in (502, 504):
            # How GraphQL's 10 s limit shows:
            # https://docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
            raise PageTooLarge(message_of(raw), **facts_of(raw))
        if raw.status != 200:
            raise refusal_of(raw)
        answer = _read_graphql(raw)
        budgets.note(self._budget_of, GRAPHQL, answer.budget)
        return answer

    def _get(self, url: str, *, params: dict[str, str | int]) -> Answer:
        for _ in range(1 + REDIRECTS_MAX):
            if not is_same_origin(url, self.api_url):
                raise UnexpectedAnswer("an address elsewhere; the token was not sent there")
            raw = self._send("GET", url, params=params)
            location = raw.headers.get("Location", "")
            if raw.status not in _REDIRECTS or not location:
                return self._noted(_read_rest(raw))
            # What was asked for is part of the new address already.
            url, params = _joined(raw, location), {}
        raise UnexpectedAnswer("more redirects than make sense")

    def _send(
        self,
        method: str,
        url: str,
        *,
        params: dict[str, str | int] | None = None,
        payload: JSONObject | None = None,
    ) -> RawAnswer:
        budgets.refuse_if_spent(self._budget_of, GRAPHQL if url == self.graphql_url else REST)
        return send(
            method,
            url,
            headers=self._headers(),
            params=params,
            payload=payload,
            time_limits=self._time_limits,
            asker=self._asker,
        )

    def _noted(self, answer: Answer) -> Answer:
        budgets.note(self._budget_of, REST, answer.budget)
        return answer

    def _headers(self) -> dict[str, str]:
        # A token pasted wrong must not break, or add to, the headers; nor show in an exception.
        if not (self._token.isascii() and self._token.isprintable() and self._token.strip()):
            raise BadCredentials("the token holds signs that no token has")
        return {**API_HEADERS, "Authorization": f"Bearer {self._token}"}


def _read_rest(raw: RawAnswer) -> Answer:
    if not 200 <= raw.status < 300:
        raise refusal_of(raw)
    return Answer(
        status=raw.status,
        body=None if _has_no_body(raw) else _body(raw),
        scopes=scopes_in(raw.headers, "X-OAuth-Scopes"),
        next_url=_next_url(raw),
        budget=RateBudget.from_headers(raw.headers),
        sso_hidden_organization_ids=_hidden_organization_ids(raw),
    )


def _has_no_body(raw: RawAnswer) -> bool:
    return raw.status == 204 or (raw.status == 202 and not raw.content)


def _read_graphql(raw: RawAnswer) -> GraphQLAnswer:
    body = as_object(_body(raw))
    errors = body.get("errors")
    problems = tuple(read_problem(error) for error in as_list(errors)) if errors else ()
    data = body.get("data")
    refusal = refusal_in(problems, data=data if isinstance(data, dict) else None, raw=raw)
    if refusal is not None:
        raise refusal
    return GraphQLAnswer(
        data=as_object(data),
        errors=problems,
        budget=RateBudget.from_headers(raw.headers),
        scopes=scopes_in(raw.headers, "X-OAuth-Scopes"),
    )


def _body(raw: RawAnswer) -> JSON:
    try:
        return parse_json(raw.content)
    except UnexpectedAnswer as exc:
        raise UnexpectedAnswer("no JSON", **facts_of(raw)) from exc


def _next_url(raw: RawAnswer) -> str | None:
    """Return the next page's address from the Link header (RFC 8288).

    https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
    """
    for link in parse_header_links(raw.headers.get("Link", "")):
        if link.get("rel") == "next" and link.get("url"):
            return _joined(raw, link["url"])
    return None


def _joined(raw: RawAnswer, address: str) -> str:
    try:
        return urljoin(raw.url, address)
    except ValueError as exc:
        raise UnexpectedAnswer("an address that makes no sense", **facts_of(raw)) from exc


def _hidden_organization_ids(raw: RawAnswer) -> tuple[int, ...]:
    """Read "partial-results; organizations=1,2".

    https://docs.github.com/rest/authentication/authenticating-to-the-rest-api#personal-access-tokens-and-saml-sso
    """
    kind, _, listed = raw.headers.get("X-GitHub-SSO", "").partition("organizations=")
    if not kind.startswith("partial-results"):
        return ()
    ids = (whole_number(text.strip()) for text in listed.split(","))
    return tuple(one for one in ids if one is not None)
