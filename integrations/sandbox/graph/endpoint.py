"""POST /api/graphql: reads the query, checks the scopes it needs and carries it out."""

from __future__ import annotations

from typing import Any

from graphql import execute_sync
from starlette.responses import Response

from integrations.sandbox.api.answers import GitHubJSON
from integrations.sandbox.api.calls import Call
from integrations.sandbox.graph.documents import SCHEMA, Prepared, ScopeNeed
from integrations.sandbox.graph.errors import executed_error, refused_query
from integrations.sandbox.graph.resolvers import Query
from integrations.sandbox.world.world import World


def answer_query(
    world: World,
    call: Call,
    *,
    prepared: Prepared,
    variables: dict[str, Any],
    operation: str | None,
) -> Response:
    if prepared.document is None:
        return GitHubJSON(refused_query(prepared.errors))
    missing = [need for need in prepared.scope_needs if not call.viewer.scopes & {*need.any_of}]
    if missing:
        return GitHubJSON(_insufficient_scopes(call, missing))
    result = execute_sync(
        SCHEMA,
        prepared.document,
        Query(world, call),
        variable_values=variables,
        operation_name=operation,
    )
    if result.data is None and result.errors:
        return GitHubJSON(refused_query(result.errors))
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [executed_error(error) for error in result.errors]
    return GitHubJSON(body)


def _insufficient_scopes(call: Call, missing: list[ScopeNeed]) -> dict[str, Any]:
    granted = sorted(call.token.scopes) if call.token is not None else []
    errors = [
        {
            "type": "INSUFFICIENT_SCOPES",
            "locations": [{"line": need.line, "column": need.column}],
            "message": (
                "Your token has not been granted the required scopes to execute this query. The "
                f"'{need.field_name}' field requires one of the following scopes: "
                f"{list(need.any_of)}, but your token has only been granted the: {granted} "
                f"scopes. Please modify your token's scopes at: {call.origin}/settings/tokens."
            ),
        }
        for need in missing
    ]
    return {"data": None, "errors": errors}
