"""Pages of a roster of a hundred thousand: what a page costs hardly grows with the roster.

Django's paginator counts, and then skips row by row to a far page. This one finds the keys of a
narrow result in one scan, which is its count as well, and walks to a far page from the nearer end.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import Page, Paginator

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from integrations.models import TeamMember

# Up to so many matches their keys are read, which saves counting them and walking past the others.
FEW: Final = 1_000


class RosterPaginator(Paginator[Any]):
    """Pages of an ordered query of members, or of columns of theirs.

    `known_count` saves counting where it is known.
    """

    def __init__(
        self,
        members: QuerySet[TeamMember, Any],
        per_page: int,
        *,
        known_count: int | None = None,
    ) -> None:
        super().__init__(members, per_page)
        self._members, self._known_count = members, known_count

    @cached_property
    def count(self) -> int:
        if self._known_count is not None:
            return self._known_count
        return self._members.count() if self._few is None else len(self._few)

    def page(self, number: Any) -> Page[Any]:
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        end = min(start + self.per_page, self.count)
        return Page(self._rows(start, end), number, self)

    def _rows(self, start: int, end: int) -> list[Any]:
        rows = self._members
        if self._known_count is None and self._few is not None:
            return list(rows.filter(pk__in=self._few)[start:end])
        if start > self.count // 2:
            return list(rows.reverse()[self.count - end : self.count - start])[::-1]
        return list(rows[start:end])

    @cached_property
    def _few(self) -> list[int] | None:
        """The keys of all matches if they are few, else None."""
        keys = list(self._members.order_by().values_list("pk", flat=True)[: FEW + 1])
        return keys if len(keys) <= FEW else None
