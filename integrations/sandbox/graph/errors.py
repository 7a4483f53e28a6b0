"""GraphQL errors as GitHub writes them, which is not as the specification's tools do.

GitHub adds `type` beside `message`, and words a bad query as graphql-ruby does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from graphql import GraphQLError


class GitHubGraphQLError(GraphQLError):
    """An error with GitHub's `type`, such as NOT_FOUND or FORBIDDEN."""

    def __init__(self, kind: str, message: str, **more: Any) -> None:
        super().__init__(message, **more)
        self.kind = kind


# graphql-core's words for a mistake, and graphql-ruby's with its code and details.
_WORDINGS: tuple[tuple[re.Pattern[str], str, str, tuple[str, ...]], ...] = (
    (
        re.compile(r"Cannot query field '(?P<fieldName>\w+)' on type '(?P<typeName>\w+)'"),
        "undefinedField",
        "Field '{fieldName}' doesn't exist on type '{typeName}'",
        ("typeName", "fieldName"),
    ),
    (
        re.compile(r"Unknown argument '(?P<argumentName>\w+)' on field '\w+\.(?P<name>\w+)'"),
        "argumentNotAccepted",
        "Field '{name}' doesn't accept argument '{argumentName}'",
        ("name", "argumentName"),
    ),
    (
        re.compile(r"Argument '\w+\.(?P<name>\w+)\((?P<arguments>\w+):\)' of type .* is required"),
        "missingRequiredArguments",
        "Field '{name}' is missing required arguments: {arguments}",
        ("name", "arguments"),
    ),
)


def refused_query(errors: Sequence[GraphQLError]) -> dict[str, Any]:
    """Return the answer to a query that doesn't fit the schema: errors, and no `data` at all."""
    return {"errors": [_worded(error) for error in errors]}


def executed_error(error: GraphQLError) -> dict[str, Any]:
    """Return one error of a query that was carried out."""
    original = error.original_error or error
    formatted = dict(error.formatted)
    if not isinstance(original, GitHubGraphQLError):
        return formatted
    ordered: dict[str, Any] = {"type": original.kind}
    for key in ("path", "extensions", "locations", "message"):
        if key in formatted:
            ordered[key] = formatted[key]
    if original.extensions:
        ordered["extensions"] = original.extensions
    return ordered


def _worded(error: GraphQLError) -> dict[str, Any]:
    locations = [{"line": one.line, "column": one.column} for one in error.locations or ()]
    for pattern, code, wording, details in _WORDINGS:
        found = pattern.search(error.message)
        if found:
            extensions = {"code": code} | {key: found[key] for key in details}
            message = wording.format(**found.groupdict())
            return {"extensions": extensions, "locations": locations, "message": message}
    return {"locations": locations, "message": error.message}
