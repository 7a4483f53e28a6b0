"""What GraphQL's `errors` mean: the typed error they stand for, or that the rest is usable.

https://docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from integrations.github.errors import (
    GitHubError,
    Invalid,
    MissingScopes,
    NotFound,
    PageTooLarge,
    Unavailable,
    UnexpectedAnswer,
)
from integrations.github.reading import JSON, JSONObject, as_object, read_text
from integrations.github.refusals import (
    facts_of,
    forbidden,
    is_limit_message,
    rate_limited,
    saml_required,
)
from integrations.github.transport import RawAnswer

# RATE_LIMITED in the documentation, RATE_LIMIT on the wire: both have been seen.
_LIMIT_KINDS: Final = frozenset({"RATE_LIMITED", "RATE_LIMIT"})
_FAULT_KINDS: Final = frozenset({"INTERNAL", "SERVICE_UNAVAILABLE"})
# octokit repeats the first as a 500: https://github.com/octokit/plugin-retry.js
_FAULT_WORDS: Final = ("something went wrong", "timedout", "timed out")
_NAMED_SCOPES: Final = re.compile(r"following scopes: \[([^\]]*)\]")


@dataclass(frozen=True)
class GraphQLProblem:
    """One of GraphQL's errors; `kind` is GitHub's type, or its code for a refused document."""

    kind: str
    message: str
    path: tuple[str | int, ...] = ()
    saml_failure: bool = False

    @property
    def is_limit(self) -> bool:
        return self.kind in _LIMIT_KINDS or (not self.kind and is_limit_message(self.message))

    @property
    def is_fault(self) -> bool:
        lowered = self.message.lower()
        untyped = not self.kind and any(words in lowered for words in _FAULT_WORDS)
        return self.kind in _FAULT_KINDS or untyped


def read_problem(value: JSON) -> GraphQLProblem:
    record = as_object(value)
    extensions = record.get("extensions")
    details: JSONObject = extensions if isinstance(extensions, dict) else {}
    path = record.get("path")
    steps = path if isinstance(path, list) else []
    return GraphQLProblem(
        kind=read_text(record, "type") or read_text(details, "code"),
        message=read_text(record, "message"),
        path=tuple(step for step in steps if isinstance(step, str | int)),
        saml_failure=details.get("saml_failure") is True,
    )


def refusal_in(
    problems: Sequence[GraphQLProblem], *, data: JSONObject | None, raw: RawAnswer
) -> GitHubError | None:
    """Return the error that the answer as a whole stands for; None when its data is usable.

    An error spoils the answer when it says so about all of it (a limit, a fault, a scope), or
    when the root field that it is about came to nothing.
    """
    for problem in problems:
        error = _refusal_of_all(problem, raw)
        if error is not None:
            return error
    for problem in problems:
        if _took_the_root(problem, data):
            return _refusal_of_root(problem, raw)
    return None


def _refusal_of_all(problem: GraphQLProblem, raw: RawAnswer) -> GitHubError | None:
    if problem.is_limit:
        return rate_limited(raw, problem.message)
    if problem.kind == "RESOURCE_LIMITS_EXCEEDED":
        return PageTooLarge(problem.message, **facts_of(raw))
    if problem.kind == "INSUFFICIENT_SCOPES":
        required = _scopes_named_in(problem.message)
        return MissingScopes(problem.message, required=required, **facts_of(raw))
    return Unavailable(problem.message, **facts_of(raw)) if problem.is_fault else None


def _took_the_root(problem: GraphQLProblem, data: JSONObject | None) -> bool:
    if data is None or not problem.path:
        return True
    return data.get(str(problem.path[0])) is None


def _refusal_of_root(problem: GraphQLProblem, raw: RawAnswer) -> GitHubError:
    if problem.kind == "FORBIDDEN" and problem.saml_failure:
        error: GitHubError = saml_required(raw, problem.message)
    elif problem.kind == "FORBIDDEN":
        error = forbidden(raw, problem.message)
    elif problem.kind == "NOT_FOUND":
        error = NotFound(problem.message, **facts_of(raw))
    elif problem.kind:
        # EXCESSIVE_PAGINATION, undefinedField, ...: the question is at fault.
        error = Invalid(f"{problem.kind}: {problem.message}", **facts_of(raw))
    else:
        error = UnexpectedAnswer(problem.message, **facts_of(raw))
    return error


def _scopes_named_in(message: str) -> tuple[str, ...]:
    found = _NAMED_SCOPES.search(message)
    return tuple(re.findall(r"[\w:]+", found[1])) if found else ()
