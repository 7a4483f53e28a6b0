"""Queries, parsed and checked once for each text: what they need and what they ask about.

A walk over 50,000 members sends the same text 500 times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_location,
    parse,
    validate,
    value_from_ast_untyped,
    visit,
)

SCHEMA: GraphQLSchema = build_schema(Path(__file__).with_name("schema.graphql").read_text())

# Without one of the scopes the whole document is refused, not the field. Seen for `email` in
# https://github.com/mntnr/name-your-contributors/issues/67 and for an organisation's people in
# https://github.com/mntnr/name-your-contributors/issues/72
_SCOPES_OF_FIELD: dict[tuple[str, str], tuple[str, ...]] = {
    ("User", "email"): ("user:email", "read:user"),
    ("Organization", "membersWithRole"): ("read:org",),
    ("Organization", "requiresTwoFactorAuthentication"): ("admin:org",),
}


@dataclass(frozen=True, slots=True)
class ScopeNeed:
    field_name: str
    any_of: tuple[str, ...]
    line: int
    column: int


@dataclass
class Prepared:
    """A query that fits the schema, or the reasons why it doesn't."""

    document: DocumentNode | None = None
    errors: list[GraphQLError] = field(default_factory=list)
    scope_needs: list[ScopeNeed] = field(default_factory=list)
    organization_field: FieldNode | None = None
    members_field: FieldNode | None = None

    def organization(self, variables: Mapping[str, Any]) -> str | None:
        login = _argument(self.organization_field, "login", variables)
        return login.lower() if isinstance(login, str) else None

    @property
    def operation_name(self) -> str | None:
        """The name of the first operation, as the client wrote it."""
        for definition in self.document.definitions if self.document else ():
            if isinstance(definition, OperationDefinitionNode) and definition.name:
                return definition.name.value
        return None

    def page_size(self, variables: Mapping[str, Any]) -> int | None:
        first = _argument(self.members_field, "first", variables)
        return first if isinstance(first, int) else None


@lru_cache(maxsize=256)
def prepare(query: str) -> Prepared:
    try:
        document = parse(query)
    except GraphQLError as error:
        return Prepared(errors=[error])
    errors = validate(SCHEMA, document)
    if errors:
        return Prepared(errors=errors)
    prepared = Prepared(document)
    type_info = TypeInfo(SCHEMA)
    visit(document, TypeInfoVisitor(type_info, _Reader(prepared, type_info)))
    return prepared


class _Reader(Visitor):
    """Notes, field by field, what a query needs and asks about."""

    def __init__(self, prepared: Prepared, type_info: TypeInfo) -> None:
        super().__init__()
        self._prepared = prepared
        self._type_info = type_info

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        parent = self._type_info.get_parent_type()
        name = node.name.value
        if name == "organization":
            self._prepared.organization_field = self._prepared.organization_field or node
        if name == "membersWithRole":
            self._prepared.members_field = self._prepared.members_field or node
        any_of = _SCOPES_OF_FIELD.get((parent.name if parent else "", name))
        if any_of is not None and node.loc is not None:
            location = get_location(node.loc.source, node.loc.start)
            self._prepared.scope_needs.append(
                ScopeNeed(name, any_of, line=location.line, column=location.column)
            )


def _argument(node: FieldNode | None, name: str, variables: Mapping[str, Any]) -> Any:
    arguments = node.arguments if node is not None else None
    for argument in arguments or ():
        if argument.name.value == name:
            return value_from_ast_untyped(argument.value, dict(variables))
    return None
