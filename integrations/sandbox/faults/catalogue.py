"""Every way in which this GitHub can be told to misbehave, each with its line of explanation.

Only words and defaults; what a fault does is in `answers.py` and `shapes.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class KnownFault:
    description: str
    # The only kind of call it can happen to; None: any.
    kind: Literal["rest", "graphql"] | None = None
    # Parameters it takes, with their defaults.
    params: dict[str, Any] = field(default_factory=dict)
    # It changes a page of members, so it waits for a call that asks for one.
    needs_member_page: bool = False


def _page(description: str, **params: Any) -> KnownFault:
    return KnownFault(description, kind="graphql", params=params, needs_member_page=True)


KNOWN_FAULTS: dict[str, KnownFault] = {
    # Who you are
    "bad_credentials": KnownFault("401 'Bad credentials': the token is revoked or expired."),
    "unauthorized_sporadic": KnownFault(
        "401 without 'Bad credentials', as GitHub sometimes answers a good token."
    ),
    "sso_required": KnownFault(
        "403 with X-GitHub-SSO: required; GraphQL: FORBIDDEN with saml_failure. `url` to mend it.",
        params={"url": ""},
    ),
    "sso_partial_results": KnownFault(
        "200 with X-GitHub-SSO: partial-results; `organizations` are the ids left out.",
        kind="rest",
        params={"organizations": "21955855,20582480"},
    ),
    "integration_forbidden": KnownFault("403 'Resource not accessible by integration'."),
    "oauth_app_restricted": KnownFault("403: the organisation restricts OAuth apps."),
    "not_found": KnownFault("404, or GraphQL's NOT_FOUND: missing, or no access."),
    "public_only": KnownFault("The token's owner is taken for no member: public members only."),
    # Limits
    "primary_rate_limit": KnownFault(
        "403, x-ratelimit-remaining 0, reset in `seconds`.", params={"seconds": 60}
    ),
    "primary_rate_limit_429": KnownFault(
        "429, x-ratelimit-remaining 0, reset in `seconds`.", params={"seconds": 60}
    ),
    "secondary_rate_limit": KnownFault(
        "`status` and 'secondary rate limit'; `retry_after` seconds, or no such header.",
        params={"retry_after": None, "status": 403},
    ),
    "graphql_rate_limited": KnownFault(
        "200, errors RATE_LIMITED, data null, reset in `seconds`; `error_type` as it has been seen "
        "both ways: RATE_LIMITED and RATE_LIMIT.",
        kind="graphql",
        params={"seconds": 60, "error_type": "RATE_LIMITED"},
    ),
    "graphql_secondary": KnownFault(
        "`status` with GraphQL's words for a secondary limit; `retry_after` seconds or absent.",
        kind="graphql",
        params={"retry_after": None, "status": 200},
    ),
    "no_ratelimit_headers": KnownFault(
        "No x-ratelimit-* headers and rateLimit null, as on GHES with limits off."
    ),
    # Broken answers
    "server_error": KnownFault(
        "`status` 500, 502, 503 or 504, `body` html or json, with a misleading "
        "x-ratelimit-reset an hour ahead.",
        params={"status": 502, "body": "html"},
    ),
    "garbage": KnownFault("200 with an HTML page where JSON belongs."),
    "truncated_json": KnownFault("The right answer, cut off half-way through its JSON."),
    "drop_connection": KnownFault("The connection is reset without an answer."),
    "slow": KnownFault("The right answer, `seconds` late.", params={"seconds": 1.0}),
    "something_went_wrong": KnownFault(
        "200 with 'Something went wrong while executing your query'.", kind="graphql"
    ),
    "too_big_502": _page("502 with an HTML body when first > `above`.", above=25),
    "repeated_entry": KnownFault(
        "A REST list has its first entry twice: the list moved while it was read.", kind="rest"
    ),
    # Odd pages of members
    "resource_limits_exceeded": _page(
        "Half a page and RESOURCE_LIMITS_EXCEEDED when first > `above`.", above=25
    ),
    "null_edge": _page("The edge at `index` is null.", index=0),
    "null_node": _page("The node at `index` is null.", index=0),
    "null_database_id": _page("The databaseId at `index` is null.", index=0),
    "forbidden_node": _page("The node at `index` is null, with a FORBIDDEN error.", index=0),
    "cursor_stuck": _page("hasNextPage true for ever; from page 2 the same cursor comes back."),
    "cursor_null": _page("hasNextPage true, endCursor null."),
    "empty_page": _page(
        "No edges though hasNextPage; the cursor moves on unless `advance` is false.", advance=True
    ),
    "duplicate_member": _page("Somebody of the page before comes once more (page 1: twice)."),
    "missing_member": _page(
        "The edge at `index` is left out; totalCount counts them all the same if `counted`.",
        index=0,
        counted=False,
    ),
    "organization_null": KnownFault("data.organization is null, without an error.", kind="graphql"),
    "organization_id_changed": KnownFault(
        "The login belongs to an organisation with another id, `by` more: GET /orgs/{org} and "
        "GraphQL say so, the memberships don't yet.",
        params={"by": 1_000_000},
    ),
}
