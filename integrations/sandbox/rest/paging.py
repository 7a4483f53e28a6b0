"""Lists in pages, with GitHub's Link header.

https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.responses import Response

from integrations.sandbox.api.answers import GitHubJSON
from integrations.sandbox.api.calls import Call

_PER_PAGE_DEFAULT = 30
_PER_PAGE_MAX = 100

Item = TypeVar("Item")


def page_of(
    call: Call, items: Sequence[Item], shape: Callable[[Item], Any], *, path: str | None = None
) -> Response:
    """Answer the page that was asked for; `path` is the address the links go to."""
    per_page = min(_number(call.query.get("per_page"), _PER_PAGE_DEFAULT), _PER_PAGE_MAX)
    page = _number(call.query.get("page"), 1)
    last_page = max(1, -(-len(items) // per_page))
    start = (page - 1) * per_page
    response = GitHubJSON([shape(item) for item in items[start : start + per_page]])
    links = _links(call, page, last_page, path=path or call.request.url.path)
    if links:
        response.headers["Link"] = links
    return response


def _links(call: Call, page: int, last_page: int, *, path: str) -> str:
    targets: dict[str, int] = {}
    if page > 1:
        targets["prev"] = min(page - 1, last_page)
    if page < last_page:
        targets |= {"next": page + 1, "last": last_page}
    if page > 1:
        targets["first"] = 1
    return ", ".join(
        f'<{call.origin}{path}?{urlencode(call.query | {"page": target})}>; rel="{rel}"'
        for rel, target in targets.items()
    )


def _number(text: str | None, default: int) -> int:
    """Return the number, or the default for whatever is none: GitHub ignores such a parameter."""
    return int(text) if text is not None and text.isdecimal() and int(text) > 0 else default
