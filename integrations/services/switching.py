"""Switch people of the roster on or off by hand, one or many: every later sync respects it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.utils import timezone

from integrations.constants import DeactivatedBy, MemberChangeKind
from integrations.models import GitHubIntegration, HeldDeparture, MemberChange, TeamMember
from integrations.services import transitions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integrations.models import Team, User

BATCH_SIZE: Final = 2_000


def switch_member(member: TeamMember, *, active: bool, person: User) -> None:
    """Switch one person; nothing happens to somebody who is so already."""
    switch_members(member.team, [member.pk], active=active, person=person)
    member.refresh_from_db()


def switch_members(team: Team, keys: Sequence[int], *, active: bool, person: User) -> int:
    """Switch these rows of the team; return how many were not so already.

    A few statements for each batch, whatever its size. Keys of other teams are passed over.
    """
    keys, count = sorted(keys), 0
    for start in range(0, len(keys), BATCH_SIZE):
        batch = keys[start : start + BATCH_SIZE]
        with transaction.atomic():
            count += _switch(team, batch, active=active, person=person)
    return count


def _switch(team: Team, keys: Sequence[int], *, active: bool, person: User) -> int:
    now = timezone.now()
    rows = TeamMember.objects.filter(team=team, is_active=not active, pk__in=keys)
    switched = list(rows.select_for_update().order_by("pk").values_list("pk", flat=True))
    if not switched:
        return 0
    HeldDeparture.objects.filter(member__in=switched).delete()
    kind = MemberChangeKind.SWITCHED_ON if active else MemberChangeKind.SWITCHED_OFF
    MemberChange.objects.write_switched(switched, kind=kind.value, person=person, at=now)
    rows = TeamMember.objects.filter(pk__in=switched)
    if active:
        # Somebody who left GitHub and is switched on all the same is kept, or the next sync would
        # undo the switch; once kept, they are until GitHub lists them again.
        rows.update(
            is_active=True,
            deactivated_by=DeactivatedBy.NOBODY,
            kept_at=Case(When(left_at__isnull=False, then=Value(now)), default=F("kept_at")),
            left_at=None,
            updated_at=now,
        )
    else:
        rows.update(is_active=False, deactivated_by=DeactivatedBy.PERSON, updated_at=now)
    transitions.roster_changed(GitHubIntegration.objects.get(team=team))
    return len(switched)
