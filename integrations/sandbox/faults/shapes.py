"""Faults that bend one page of members: nulls, repeated people, cursors that lead nowhere.

Each takes the connection as the resolver made it and returns it changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from integrations.sandbox.faults.registry import Fault
from integrations.sandbox.graph.errors import GitHubGraphQLError

Page = dict[str, Any]
Shape = Callable[[Page, Fault], Page]


def bend(page: Page, faults: list[Fault]) -> Page:
    for fault in faults:
        shape = SHAPES.get(fault.name)
        if shape is not None:
            page = shape(page, fault)
    return page


def _null_edge(page: Page, fault: Fault) -> Page:
    return _with_edge(page, fault, None)


def _null_node(page: Page, fault: Fault) -> Page:
    return _with_node(page, fault, lambda node: None)


def _null_database_id(page: Page, fault: Fault) -> Page:
    return _with_node(page, fault, lambda node: node | {"databaseId": None})


def _forbidden_node(page: Page, fault: Fault) -> Page:
    return _with_node(page, fault, lambda node: _refuse_node)


def _refuse_node(_info: Any) -> NoReturn:
    raise GitHubGraphQLError(
        "FORBIDDEN",
        "Resource not accessible by personal access token",
        extensions={"saml_failure": False},
    )


def _cursor_stuck(page: Page, fault: Fault) -> Page:
    end_cursor = page["after"] or page["pageInfo"]["endCursor"]
    return _with_page_info(page, hasNextPage=True, endCursor=end_cursor)


def _cursor_null(page: Page, fault: Fault) -> Page:
    return _with_page_info(page, hasNextPage=True, endCursor=None)


def _empty_page(page: Page, fault: Fault) -> Page:
    moved_on = page["pageInfo"]["endCursor"] if fault.params["advance"] else page["after"]
    return _with_page_info(page, hasNextPage=True, endCursor=moved_on) | {"edges": []}


def _duplicate_member(page: Page, fault: Fault) -> Page:
    edges = page["edges"]
    before = page["edge_before"]()
    return page | {"edges": [before, *edges] if before else [*edges, *edges[:1]]}


def _missing_member(page: Page, fault: Fault) -> Page:
    edges = list(page["edges"])
    if not edges:
        return page
    del edges[_index(edges, fault)]
    total_count = page["totalCount"] - (0 if fault.params["counted"] else 1)
    return page | {"edges": edges, "totalCount": total_count}


def _resource_limits_exceeded(page: Page, fault: Fault) -> Page:
    """Keep half the page. GitHub puts an error where it stopped and leaves the rest null."""
    edges = page["edges"]
    kept = len(edges) // 2
    error = GitHubGraphQLError(
        "RESOURCE_LIMITS_EXCEEDED", "Resource limits for this query exceeded."
    )
    return page | {"edges": [*edges[:kept], error, *[None] * (len(edges) - kept - 1)]}


def _with_page_info(page: Page, **changes: Any) -> Page:
    return page | {"pageInfo": page["pageInfo"] | changes}


def _with_node(page: Page, fault: Fault, change: Callable[[dict[str, Any]], Any]) -> Page:
    edges = page["edges"]
    if not edges:
        return page
    edge = edges[_index(edges, fault)]
    return _with_edge(page, fault, edge | {"node": change(edge["node"])})


def _with_edge(page: Page, fault: Fault, edge: Any) -> Page:
    edges = list(page["edges"])
    if edges:
        edges[_index(edges, fault)] = edge
    return page | {"edges": edges}


def _index(edges: list[Any], fault: Fault) -> int:
    """Return the place asked for, or the last one on a page that is too short for it."""
    index: int = fault.params["index"]
    return min(index, len(edges) - 1)


SHAPES: dict[str, Shape] = {
    "null_edge": _null_edge,
    "null_node": _null_node,
    "null_database_id": _null_database_id,
    "forbidden_node": _forbidden_node,
    "cursor_stuck": _cursor_stuck,
    "cursor_null": _cursor_null,
    "empty_page": _empty_page,
    "missing_member": _missing_member,
    "duplicate_member": _duplicate_member,
    "resource_limits_exceeded": _resource_limits_exceeded,
}
