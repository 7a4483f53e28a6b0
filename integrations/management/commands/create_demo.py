"""`manage.py create_demo`: a team with an admin and an ordinary member, to look around with.

Run again it changes nothing but what it is told to.
"""

from __future__ import annotations

from typing import Any, Final

from allauth.account.models import EmailAddress
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils.crypto import get_random_string

from integrations.constants import TeamRole
from integrations.models import Membership, Team, User

TEAM_NAME: Final = "Demo team"
TEAM_SLUG: Final = "demo"
ADMIN_EMAIL: Final = "demo@example.com"
MEMBER_EMAIL: Final = "member@example.com"


class Command(BaseCommand):
    help = "Makes a demo team with an admin and an ordinary member, unless they are there already."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--password", help="of both accounts (default: a random one for new accounts)"
        )
        parser.add_argument(
            "--staff", action="store_true", help="let the admin into /admin/ as well"
        )

    def handle(self, *, password: str | None, staff: bool, **options: Any) -> None:
        for_new_accounts = password or get_random_string(16)
        with transaction.atomic():
            team, _ = Team.objects.get_or_create(slug=TEAM_SLUG, defaults={"name": TEAM_NAME})
            for email, role in ((ADMIN_EMAIL, TeamRole.ADMIN), (MEMBER_EMAIL, TeamRole.MEMBER)):
                user, is_new = _account(email, for_new_accounts)
                if password and not is_new:
                    user.set_password(password)
                    user.save(update_fields=["password"])
                Membership.objects.get_or_create(team=team, user=user, defaults={"role": role})
                shown = for_new_accounts if is_new or password else "(as it was)"
                self.stdout.write(f"{role.label} of {team.name}: {email}  password: {shown}")
            if staff:
                User.objects.filter(email=ADMIN_EMAIL).update(is_staff=True, is_superuser=True)


def _account(email: str, password: str) -> tuple[User, bool]:
    """Return the account, and whether it was made just now. Its address counts as confirmed."""
    user = User.objects.filter(email=email).first()
    is_new = user is None
    user = user or User.objects.create_user(email, password)
    EmailAddress.objects.get_or_create(
        user=user, email=email, defaults={"verified": True, "primary": True}
    )
    return user, is_new
