"""The roster: who is in the organisation, and who is held on it."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.db import connection, models
from django.db.models import Count, Q, Value, Window
from django.db.models.functions import Concat, Lower

from integrations.constants import DeactivatedBy, MemberRole
from integrations.models.accounts import Team
from integrations.models.runs import SyncRun

if TYPE_CHECKING:
    from collections.abc import Sequence


class TeamMemberQuerySet(models.QuerySet["TeamMember"]):
    def active(self) -> TeamMemberQuerySet:
        return self.filter(is_active=True)

    def in_state(self, *, is_active: bool) -> TeamMemberQuerySet:
        """Return those who are active, or not, by way of the index that is sorted by that.

        Django writes `is_active=True` as the bare column, for which SQLite uses no index. That is
        as well where more is asked of a row than its state: reading the whole roster in its order
        is faster than fetching nine tenths of it one by one.
        """
        return self.filter(is_active__in=[is_active])

    def counts(self) -> dict[str, int]:
        """Return how many there are (`total`), and how many of them are active.

        By counting the few who are not: to look at each row's state takes twice as long.
        """
        total = self.count()
        return {"total": total, "active": total - self.in_state(is_active=False).count()}

    def upsert(
        self,
        members: Sequence[TeamMember],
        *,
        update_fields: Sequence[str],
        unless_heard: bool = False,
    ) -> set[int]:
        """Insert these people, or update these columns of those whose row is there: one statement.

        Returns the GitHub ids of those whose row is new. `unless_heard` leaves the rows alone of
        whom a webhook has told since they were read.

        As `bulk_create(update_conflicts=True)`, whose preparing of each value costs three times
        what the database does; a page of a hundred is the product's innermost loop.
        """
        columns_of = self.model._meta.concrete_fields
        fields = [one for one in columns_of if not (one.primary_key or one.generated)]
        values_of = attrgetter(*[field.attname for field in fields])
        by_column = zip(*map(values_of, members), strict=True)
        prepared = map(_prepared, fields, by_column)
        table, row = self.model._meta.db_table, f"({', '.join(['%s'] * len(fields))})"
        columns = ", ".join(str(field.column) for field in fields)
        updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in update_fields)
        statement = (
            f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * len(members))} "
            f"ON CONFLICT (team_id, github_id) DO UPDATE SET {updates}"
        )
        # SQLite lets one transaction write at a time: between our reading and this statement
        # nobody else makes a row. PostgreSQL does, and tells by `xmax` which rows are new.
        is_shared = connection.vendor == "postgresql"
        if is_shared and unless_heard:
            statement += f" WHERE {table}.heard_at IS NOT DISTINCT FROM EXCLUDED.heard_at"
        if is_shared:
            statement += " RETURNING github_id, xmax = 0"
        with connection.cursor() as cursor:
            cursor.execute(statement, [*chain.from_iterable(zip(*prepared, strict=True))])
            if is_shared:
                return {github_id for github_id, is_new in cursor.fetchall() if is_new}
        return {member.github_id for member in members if member._state.adding}

    def matching(self, text: str) -> TeamMemberQuerySet:
        """Return those whose name, login or e-mail holds the text, whatever its case."""
        if not text:
            return self
        wanted = text.removeprefix("@")
        spellings = {wanted.lower()}
        if connection.vendor == "sqlite" and not wanted.isascii():
            # SQLite's lower() and LIKE know the case of ASCII letters only.
            spellings |= {wanted, wanted.title(), wanted.upper()}
        found = Q()
        for spelling in spellings:
            found |= Q(search_text__contains=spelling)
        return self.filter(found)


def _prepared(field: models.Field[Any, Any], values: Sequence[Any]) -> Sequence[Any]:
    """Return a column's values as its database takes them, each different one prepared once.

    Most columns hold few in a page: the same instants, roles and flags. Texts are all different,
    and go as they are.
    """
    if isinstance(field, models.CharField):
        return values
    prepared = {value: field.get_db_prep_save(value, connection) for value in set(values)}
    return [prepared[value] for value in values]


class TeamMember(models.Model):
    """A person of the organisation. The numeric id is the identity; the login is a label.

    Two rows may carry the same login for a moment (people swap names), so it is not unique.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="members")
    github_id = models.BigIntegerField()
    github_username = models.CharField(max_length=100)
    name = models.CharField(max_length=255, blank=True, default="")
    # As GitHub gives it, which need not be unique, nor an address we ever write to.
    email = models.CharField(max_length=254, blank=True, default="")
    avatar_url = models.CharField(max_length=500, blank=True, default="")
    role = models.CharField(max_length=10, choices=MemberRole.choices, default=MemberRole.MEMBER)
    # Null: the connection may not see it (owners only).
    two_factor_enabled = models.BooleanField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    deactivated_by = models.CharField(
        max_length=10, choices=DeactivatedBy.choices, blank=True, default=DeactivatedBy.NOBODY
    )
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField()
    # Since when an admin keeps this person although GitHub lists them no more; until it does again.
    kept_at = models.DateTimeField(null=True, blank=True)
    # The mark of mark and sweep: the last run that saw this person in GitHub's list. Not a foreign
    # key, so that a mark is one plain column write and outlives the run's own row.
    last_seen_run_id = models.BigIntegerField(null=True, blank=True, editable=False)
    # The same for previews, which may walk beside a sync and must not pass for it.
    last_previewed_run_id = models.BigIntegerField(null=True, blank=True, editable=False)
    # The event time of the newest webhook about this person's membership: an older one changes
    # nothing, nor does a full read that began before it.
    heard_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Only a webhook has told of this person so far, which knows neither name nor e-mail.
    is_partial = models.BooleanField(default=False, editable=False)
    # What the members page searches in: one text of one column, kept by the database itself.
    search_text = models.GeneratedField(
        expression=Lower(
            Concat("name", Value("\n"), "github_username", Value("\n"), "email"),
        ),
        output_field=models.TextField(),
        db_persist=True,
    )

    objects = TeamMemberQuerySet.as_manager()

    # The names of their teams in the organisation, where a view has read them.
    team_names: Sequence[str] = ()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "github_id"], name="one_row_per_person"),
        ]
        indexes = [
            # The members page in each of its orders: any page without sorting the whole roster.
            # By state, which also counts who is active (services/departures.py); with what a state
            # comes from, so that nobody's row is looked at to count those who are there by GitHub.
            models.Index(
                "team",
                "is_active",
                Lower("github_username"),
                "id",
                "deactivated_by",
                "kept_at",
                name="roster_by_state_and_source",
            ),
            models.Index("team", Lower("github_username"), "id", name="roster_sorted_by_login"),
            models.Index(
                "team", "role", Lower("github_username"), "id", name="roster_sorted_by_role"
            ),
            models.Index(
                "team",
                "two_factor_enabled",
                Lower("github_username"),
                "id",
                name="roster_sorted_by_2fa",
            ),
            models.Index("team", Lower("name"), "id", name="roster_sorted_by_name"),
            models.Index("team", Lower("email"), "id", name="roster_sorted_by_email"),
            models.Index("team", "joined_at", "id", name="roster_sorted_by_joining"),
            # services/departures.py: the sweep.
            models.Index(fields=["team", "last_seen_run_id"], name="roster_by_mark"),
        ]

    def __str__(self) -> str:
        return f"@{self.github_username}"

    @property
    def display_name(self) -> str:
        return self.name or self.github_username


class HeldDepartureQuerySet(models.QuerySet["HeldDeparture"]):
    def first_logins(self, team_id: int, *, limit: int) -> tuple[list[str], int]:
        """Return some logins of those who wait in the team, and how many do: one query."""
        held = self.filter(member__team=team_id).order_by("member__github_username")
        rows = list(
            held.annotate(total=Window(Count("pk"))).values_list(
                "member__github_username", "total"
            )[:limit]
        )
        return [login for login, _ in rows], rows[0][1] if rows else 0


class HeldDeparture(models.Model):
    """Somebody whom a run did not see, and whom the guard left on the roster for an admin."""

    member = models.OneToOneField(
        TeamMember, on_delete=models.CASCADE, related_name="held_departure"
    )
    # The latest run that held them.
    run = models.ForeignKey(SyncRun, on_delete=models.SET_NULL, null=True, related_name="+")
    held_at = models.DateTimeField()

    objects = HeldDepartureQuerySet.as_manager()

    class Meta:
        ordering = ["member__github_username"]

    def __str__(self) -> str:
        return f"{self.member_id} held"
