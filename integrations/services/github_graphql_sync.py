"""Read GitHub's list of members page by page: where we are in it, and what the next page holds.

GraphQL first; REST for what GraphQL refuses. Touches no row, so that it can run beside the writing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from django.utils import timezone

from integrations.constants import MEMBER_PAGE_SIZE, MEMBER_PAGE_SIZE_MIN
from integrations.github import graphql, rest
from integrations.github.errors import (
    Forbidden,
    InstallationSuspended,
    MissingScopes,
    PageTooLarge,
    SamlRequired,
)
from integrations.services.connections import SyncRefused

if TYPE_CHECKING:
    from datetime import datetime

    from integrations.github.errors import GitHubError
    from integrations.github.http import GitHubClient
    from integrations.github.members import RemoteMember

GRAPHQL: Final = "graphql"
REST: Final = "rest"
# What a run's row says in place of a cursor once the list was read to its end.
END_OF_LIST: Final = "end:"

# What each way of asking knows about a person; a column it does not know is left as it is.
KNOWN_BY_REST: Final = frozenset({"github_username", "avatar_url", "role"})
KNOWN_BY_GRAPHQL: Final = KNOWN_BY_REST | {"name", "two_factor_enabled"}


@dataclass(frozen=True)
class Place:
    """A place in the list: the way of asking, the cursor in it, and the size of the next page."""

    way: str = GRAPHQL
    cursor: str = ""
    first: int = MEMBER_PAGE_SIZE
    with_email: bool = True

    @classmethod
    def parse(cls, text: str, *, first: int, with_email: bool) -> Place:
        """Read back what `str()` wrote to the run's row; empty is the beginning."""
        if not text:
            return cls(first=first, with_email=with_email)
        way, _, cursor = text.partition(":")
        return cls(way=way, cursor=cursor, first=first, with_email=with_email)

    def __str__(self) -> str:
        return f"{self.way}:{self.cursor}"

    @property
    def is_beginning(self) -> bool:
        return not self.cursor


@dataclass(frozen=True)
class FetchedPage:
    """One page of people, and the place of the next one; None at the end of the list."""

    members: tuple[RemoteMember, ...]
    known_fields: frozenset[str]
    place: Place
    next_place: Place | None
    # When GitHub was asked for it: what it says is that old at the most.
    asked_at: datetime
    organization_id: int | None = None
    total_count: int | None = None
    skipped_count: int = 0
    point_count: int = 0

    def counts(self) -> dict[str, int]:
        """Return what this page adds to the counts of its run, whoever is on it."""
        return {
            "failed_count": self.skipped_count,
            "page_count": 1,
            "point_count": self.point_count,
        }


@dataclass(frozen=True)
class MemberList:
    """GitHub's list of an organisation's members, read with one token."""

    client: GitHubClient
    organization: str
    organization_id: int

    def page_at(self, place: Place) -> FetchedPage:
        """Read one page, smaller or another way if GitHub can't deliver it as asked.

        Raises SyncRefused when the list is another organisation's or doesn't move on, and the
        GitHubErrors of the client.
        """
        page = self._read(place)
        if _is_stuck(page):
            page = self._read(page.place)
            if _is_stuck(page):
                raise SyncRefused("list_stuck")
        if page.organization_id not in (None, self.organization_id):
            raise SyncRefused("organisation_changed")
        return page

    def _read(self, place: Place) -> FetchedPage:
        if place.way == REST:
            return self._read_rest(place)
        try:
            return self._read_graphql(place)
        except (PageTooLarge, MissingScopes, Forbidden) as refusal:
            easier = _easier(place, refusal)
            if easier is None:
                raise
            return self._read(easier)

    def _read_graphql(self, place: Place) -> FetchedPage:
        asked_at = timezone.now()
        page = graphql.member_page(
            self.client,
            organization=self.organization,
            after=place.cursor or None,
            first=place.first,
            with_email=place.with_email,
        )
        next_place = replace(place, cursor=page.end_cursor or "") if page.has_next else None
        return FetchedPage(
            members=page.members,
            known_fields=KNOWN_BY_GRAPHQL | ({"email"} if place.with_email else set()),
            place=place,
            next_place=next_place,
            asked_at=asked_at,
            organization_id=page.organization_id,
            total_count=page.total_count,
            skipped_count=page.skipped_count,
            point_count=page.points,
        )

    def _read_rest(self, place: Place) -> FetchedPage:
        asked_at = timezone.now()
        page = rest.member_page(self.client, self.organization, cursor=place.cursor)
        next_place = replace(place, cursor=page.next_cursor) if page.next_cursor else None
        return FetchedPage(
            members=page.members,
            known_fields=KNOWN_BY_REST,
            place=place,
            next_place=next_place,
            asked_at=asked_at,
            skipped_count=page.skipped_count,
        )


def _easier(place: Place, refusal: GitHubError) -> Place | None:
    """Return how to ask instead for what GraphQL refused, or None when there is no other way."""
    rest_instead = Place(way=REST)
    easier: Place | None = None
    if isinstance(refusal, PageTooLarge):
        # 100, 50, 25, 12, 10 from the same cursor, then the whole list in the other way.
        half = max(MEMBER_PAGE_SIZE_MIN, place.first // 2)
        easier = replace(place, first=half) if half < place.first else rest_instead
    elif isinstance(refusal, MissingScopes):
        # The whole document is refused for one field: ask again without it.
        easier = replace(place, with_email=False) if place.with_email else None
    elif place.is_beginning and not isinstance(refusal, SamlRequired | InstallationSuspended):
        easier = rest_instead
    return easier


def _is_stuck(page: FetchedPage) -> bool:
    """Say whether the next page would be this one again, or this one is empty and not the last."""
    if page.next_place is None:
        return False
    same = page.next_place.cursor in ("", page.place.cursor)
    empty = not page.members and not page.skipped_count
    return same or empty
