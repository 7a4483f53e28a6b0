"""CSV of the roster, of one run's changes and of the whole history, streamed in chunks."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async
from django.db.models import OuterRef, Subquery
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from integrations.models import MemberChange, RepositoryAccess, TeamMember
from integrations.views.helpers import TeamRequest, login_and_team_required
from integrations.views.history import run_or_404
from integrations.views.member_query import MemberQuery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from django.db.models import QuerySet

CHUNK_SIZE: Final = 1000
# What a spreadsheet takes for the beginning of a formula:
# https://owasp.org/www-community/attacks/CSV_Injection
# Also in the width of Chinese and Japanese letters, which some read as the plain ones.
FORMULA_SIGNS: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
BYTE_ORDER_MARK: Final = "\ufeff"  # Without it Excel takes UTF-8 for the machine's own encoding.

MEMBER_COLUMNS: Final = (
    "github_id",
    "github_username",
    "name",
    "email",
    "role",
    "two_factor_enabled",
    "is_active",
    "joined_at",
    "left_at",
)
ACCESS_COLUMNS: Final = (
    "repository",
    "private",
    "archived",
    "github_id",
    "github_username",
    "permission",
    "name",
    "email",
    "active_member",
    "read_at",
)
CHANGE_COLUMNS: Final = (
    "at",
    "github_id",
    "github_username",
    "kind",
    "fields",
    "run",
    "by",
    "webhook",
)


@login_and_team_required
@require_safe
def github_members_csv(request: TeamRequest) -> HttpResponseBase:
    """The roster as the address filters it, by GitHub's id order of our rows."""
    query = MemberQuery.from_querydict(request.GET)
    members = query.apply(request.team.members.all())
    return _csv(request, "members", MEMBER_COLUMNS, members, _member_cells)


@login_and_team_required
@require_safe
def github_access_csv(request: TeamRequest) -> HttpResponseBase:
    """The access review: who can reach which tracked repository, and how, and who that is here."""
    of_team = TeamMember.objects.filter(team=request.team, github_id=OuterRef("github_id"))
    access = (
        RepositoryAccess.objects.filter(
            repository__integration__team=request.team, repository__is_tracked=True
        )
        .select_related("repository")
        .annotate(
            member_name=Subquery(of_team.values("name")[:1]),
            member_email=Subquery(of_team.values("email")[:1]),
            member_is_active=Subquery(of_team.values("is_active")[:1]),
        )
    )
    return _csv(request, "access", ACCESS_COLUMNS, access, _access_cells)


@login_and_team_required
@require_safe
def github_run_csv(request: TeamRequest, run_id: int) -> HttpResponseBase:
    """What one run changed, or what a preview would."""
    run = run_or_404(request, run_id)
    if run.is_preview:
        columns = ("github_id", "github_username", "kind", "fields")
        rows: QuerySet[Any] = run.planned_changes.all()
        return _csv(request, f"preview-{run.pk}", columns, rows, _plan_cells)
    changes = run.changes.select_related("person")
    return _csv(request, f"run-{run.pk}", CHANGE_COLUMNS, changes, _change_cells)


@login_and_team_required
@require_safe
def github_history_csv(request: TeamRequest) -> HttpResponseBase:
    """Every change of every person of the team, the oldest first."""
    changes = MemberChange.objects.filter(team=request.team).select_related("person")
    return _csv(request, "history", CHANGE_COLUMNS, changes, _change_cells)


def _csv(
    request: TeamRequest,
    name: str,
    columns: Sequence[str],
    rows: QuerySet[Any],
    cells_of: Callable[[Any], Sequence[object]],
) -> StreamingHttpResponse:
    """Stream rows in the order of their keys, a chunk at a time.

    An async generator: of a plain one Django's ASGI handler reads the whole before the first byte.
    """

    def chunk_after(key: int) -> list[Any]:
        return list(rows.order_by("pk").filter(pk__gt=key)[:CHUNK_SIZE])

    async def lines() -> AsyncIterator[bytes]:
        yield _encoded([columns], mark=True)
        key = 0
        while chunk := await sync_to_async(chunk_after)(key):
            key = chunk[-1].pk
            yield _encoded([cells_of(row) for row in chunk])

    day = timezone.now().date().isoformat()
    filename = f"{request.team.slug}-{name}-{day}.csv"
    return StreamingHttpResponse(
        lines(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


def _encoded(rows: Sequence[Sequence[object]], *, mark: bool = False) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return ((BYTE_ORDER_MARK if mark else "") + text.getvalue()).encode()


def _cell(value: object) -> object:
    """Make a value safe for spreadsheets: a text that looks like a formula gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text


def _member_cells(member: Any) -> list[object]:
    return [getattr(member, name) for name in MEMBER_COLUMNS]


def _access_cells(access: Any) -> list[object]:
    repository = access.repository
    return [
        repository.full_name,
        repository.is_private,
        repository.is_archived,
        access.github_id,
        access.github_username,
        access.permission,
        access.member_name,
        access.member_email,
        bool(access.member_is_active),
        repository.sync_completed_at,
    ]


def _plan_cells(change: Any) -> list[object]:
    return [change.github_id, change.github_username, change.kind, _fields_text(change.fields)]


def _change_cells(change: Any) -> list[object]:
    return [
        change.at,
        change.github_id,
        change.github_username,
        change.kind,
        _fields_text(change.fields),
        change.run_id,
        change.person.email if change.person else "",
        change.webhook_event,
    ]


def _fields_text(fields: dict[str, list[Any]]) -> str:
    return "; ".join(f"{name}: {before} -> {after}" for name, (before, after) in fields.items())
