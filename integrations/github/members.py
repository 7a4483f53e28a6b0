"""A person as GitHub tells of them, the same from GraphQL and REST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from integrations.github.reading import (
    LOGIN_LENGTH,
    NAME_LENGTH,
    JSONObject,
    read_email,
    read_id,
    read_required_text,
    read_text,
    read_url,
)

Role: TypeAlias = Literal["admin", "member"]

ROLES: Final[dict[str, Role]] = {"admin": "admin", "member": "member"}


@dataclass(frozen=True)
class RemoteMember:
    """A person by their durable id; empty texts and None are what GitHub doesn't tell us."""

    github_id: int
    github_username: str
    name: str = ""
    email: str = ""
    avatar_url: str = ""
    role: Role | None = None
    two_factor_enabled: bool | None = None


def read_rest_user(record: JSONObject, *, role: Role | None = None) -> RemoteMember:
    """Read REST's user, "simple" (without name and e-mail) or full."""
    return RemoteMember(
        github_id=read_id(record, "id"),
        github_username=read_required_text(record, "login", length=LOGIN_LENGTH),
        name=read_text(record, "name", length=NAME_LENGTH),
        email=read_email(record, "email"),
        avatar_url=read_url(record, "avatar_url"),
        role=role,
    )
