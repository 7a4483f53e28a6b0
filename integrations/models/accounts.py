"""People, teams, and who belongs to which. Knows nothing of GitHub."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import connection, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.text import slugify

from integrations.constants import InvitationOutcome, TeamRole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser

# Team slugs stand in addresses beside nothing else (`/t/<slug>/`), so any word is free.
SLUG_LENGTH = 40


class UserManager(BaseUserManager["User"]):
    """Django's manager for a user who signs in by e-mail."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: object) -> User:
        if not email:
            raise ValueError("a user needs an e-mail address")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> User:
        return self.create_user(
            email, password, **{"is_staff": True, "is_superuser": True} | fields
        )


class User(AbstractUser):
    """A person, known by e-mail address."""

    username = None  # type: ignore[assignment]
    email = models.EmailField("e-mail address", unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    class Meta:
        verbose_name = "user"

    def __str__(self) -> str:
        return self.email

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.email.partition("@")[0]


class TeamQuerySet(models.QuerySet["Team"]):
    def for_user(self, user: User | AnonymousUser) -> TeamQuerySet:
        """Return the teams that the person belongs to; none for the anonymous."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(memberships__user=user)

    def create_for(self, user: User, *, name: str) -> Team:
        """Make a team with the person as its admin, under a slug nobody has yet."""
        with transaction.atomic():
            team = self.create(name=name, slug=self._free_slug(name))
            Membership.objects.create(team=team, user=user, role=TeamRole.ADMIN)
        return team

    def take_turn(self, team_id: int) -> None:
        """Wait until nobody else moves anything of the team, and keep it so until the commit.

        Whoever writes several rows of a team takes its turn before runs and integrations, and after
        people and repositories: with one order nobody waits for somebody who waits for them.
        """
        list(self.select_for_update(no_key=True).filter(pk=team_id).values_list("pk"))

    def next_revision(self, team_id: int, *, count: int = 1) -> int:
        """Take the team's next number, holding its row until the commit: they commit in order.

        Or several of them: returns the last one.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {self.model._meta.db_table} SET revision = revision + %s "
                "WHERE id = %s RETURNING revision",
                [count, team_id],
            )
            (revision,) = cursor.fetchone()
        return int(revision)

    def next_revisions(self, team_ids: Iterable[int]) -> dict[int, int]:
        """Take the turn and the next number of several teams; return each team's number.

        In the order of their ids, so that two who take several never wait for each other.
        """
        wanted = sorted(team_ids)
        list(
            self.select_for_update(no_key=True)
            .filter(pk__in=wanted)
            .order_by("pk")
            .values_list("pk")
        )
        places = ", ".join(["%s"] * len(wanted))
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {self.model._meta.db_table} SET revision = revision + 1 "
                f"WHERE id IN ({places}) RETURNING id, revision",
                wanted,
            )
            return {int(team_id): int(revision) for team_id, revision in cursor.fetchall()}

    def _free_slug(self, name: str) -> str:
        slug = slugify(name)[:SLUG_LENGTH].strip("-") or "team"
        while self.filter(slug=slug).exists():
            slug = f"{slugify(name)[:SLUG_LENGTH].strip('-') or 'team'}-{_suffix()}"
        return slug


def _suffix() -> str:
    return get_random_string(5, "abcdefghjkmnpqrstuvwxyz23456789")


class Team(models.Model):
    """A group of people with one roster.

    `revision` numbers everything that the team's live channel says: consecutive, taken under the
    row's lock by `services/transitions.py`, read by `live/` as the event's id.
    """

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=60, unique=True)
    revision = models.PositiveBigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = cast("models.Manager[Team] | TeamQuerySet", TeamQuerySet.as_manager())

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def is_administered_by(self, person: User) -> bool:
        return self.memberships.filter(user=person, role=TeamRole.ADMIN).exists()

    def keeps_an_admin(self, *, without: Iterable[Membership]) -> bool:
        """Say whether somebody who can sign in administers the team once these are out of it."""
        admins = self.memberships.filter(role=TeamRole.ADMIN, user__is_active=True)
        return admins.exclude(pk__in=[membership.pk for membership in without]).exists()


class Membership(models.Model):
    """A person in a team, as admin or member."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=TeamRole.choices, default=TeamRole.MEMBER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "user"], name="one_membership_per_person"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.team_id} ({self.role})"

    @property
    def is_admin(self) -> bool:
        return self.role == TeamRole.ADMIN


class TeamInvitationQuerySet(models.QuerySet["TeamInvitation"]):
    def open(self) -> TeamInvitationQuerySet:
        """Return those that nobody accepted, withdrew or renewed; some may have expired."""
        return self.filter(outcome=InvitationOutcome.OPEN)

    def valid(self, *, now: datetime) -> TeamInvitationQuerySet:
        """Return those whose links work."""
        return self.open().filter(expires_at__gt=now)


class TeamInvitation(models.Model):
    """An e-mail address asked into a team. One row a mail: asking again closes the row before.

    The link's token is in the mail alone; the row has its SHA-256, so that whoever reads the
    database can't join with it.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="team_invitations")
    email = models.EmailField("e-mail address")
    role = models.CharField(max_length=10, choices=TeamRole.choices, default=TeamRole.MEMBER)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    # When its mail was handed to the mail server; null when that failed.
    sent_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(
        max_length=10,
        choices=InvitationOutcome.choices,
        default=InvitationOutcome.OPEN,
        blank=True,
    )
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = TeamInvitationQuerySet.as_manager()

    class Meta:
        ordering = ["email", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "email"],
                condition=Q(outcome=InvitationOutcome.OPEN),
                name="one_open_invitation_per_address",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} into {self.team_id}"

    @property
    def is_expired(self) -> bool:
        return self.expires_at <= timezone.now()
