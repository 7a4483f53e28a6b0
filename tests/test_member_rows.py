"""Rows of the table of members that are kept: the same to the byte, and nobody else's."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from django.db.models import F
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from integrations.models import OrganizationTeam, OrganizationTeamMember, TeamMember
from integrations.views import kept, member_rows
from tests.factories import GitHubIntegrationFactory, TeamMemberFactory
from tests.kept_rows import post_form_of_row
from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from integrations.models import Team, User

TEMPLATE = REPOSITORY / "templates" / member_rows.TEMPLATE

pytestmark = pytest.mark.django_db
# Another value of every column that a row may show. The number shows as the colour behind the
# initials only, of which there are a few: the next number has the next one.
MOVES: dict[str, Any] = {
    "github_id": F("github_id") + 1,
    "github_username": "renamed",
    "name": "Somebody Else",
    "email": "else@example.com",
    "role": "admin",
    "two_factor_enabled": False,
    "is_active": False,
    "joined_at": timezone.now() - timedelta(days=900),
    "left_at": timezone.now() - timedelta(days=3),
}


@pytest.fixture
def member(acme: Team) -> TeamMember:
    GitHubIntegrationFactory(team=acme)
    member: TeamMember = TeamMemberFactory(team=acme, name="Ada", two_factor_enabled=True)
    return member


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The keys of the people whose rows were made, in order; none are kept from before."""
    keys: list[int] = []
    words = member_rows._words

    def note(member: TeamMember, *others: Any) -> dict[str, object]:
        keys.append(member.pk)
        return words(member, *others)

    monkeypatch.setattr(member_rows, "_words", note)
    kept.shelf.clear()
    member_rows.row_form.cache_clear()
    return keys


def table(user: User, **headers: Any) -> str:
    client = Client()
    client.force_login(user)
    response = client.get(
        reverse("github_members_table", args=["acme"]), {"active": "all"}, **headers
    )
    return response.content.decode()


def test_a_row_is_rendered_once_for_all_who_see_the_same(
    alice: User, member: TeamMember, rendered: list[int]
) -> None:
    first = table(alice)
    assert "Ada" in first
    assert without_tokens(table(alice)) == without_tokens(first)
    assert rendered == [member.pk]


def without_tokens(html: str) -> str:
    return re.sub(r'csrfmiddlewaretoken" value="\w+"', "", html)


@pytest.mark.parametrize("column", MOVES)
def test_a_change_of_the_person_is_seen(
    alice: User, member: TeamMember, rendered: list[int], column: str
) -> None:
    before = table(alice)
    TeamMember.objects.filter(pk=member.pk).update(**{column: MOVES[column]})
    assert without_tokens(table(alice)) != without_tokens(before)


def test_every_column_that_the_row_reads_is_told_apart() -> None:
    names = {field.attname for field in TeamMember._meta.concrete_fields}
    template = TEMPLATE.read_text()
    assert not [name for name in member_rows.NOT_SHOWN if re.search(rf"member\.{name}\b", template)]
    assert names >= member_rows.NOT_SHOWN


def test_the_template_reads_no_more_of_a_person_than_a_form_has_marks_for() -> None:
    read = set(re.findall(r"\bmember\.(\w+)", TEMPLATE.read_text()))
    words = {"pk", "display_name", "github_username", "email", "team_names"}
    look = {"is_active", "role", "get_role_display", "two_factor_enabled"}
    assert read <= words | look


def test_the_template_is_rendered_once_for_all_who_look_the_same(
    alice: User, acme: Team, rendered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    templates: list[str] = []

    def render(template: str, context: dict[str, Any]) -> str:
        templates.append(template)
        return render_to_string(template, context)

    GitHubIntegrationFactory(team=acme)
    members = TeamMemberFactory.create_batch(7, team=acme, two_factor_enabled=True)
    monkeypatch.setattr(kept, "render_to_string", render)
    html = table(alice)
    assert sorted(rendered) == [member.pk for member in members]
    assert templates == [member_rows.TEMPLATE]
    assert not [mark for mark in member_rows.MARKS.values() if mark in html]
    for member in members:
        assert f"@{member.github_username}" in html


@pytest.mark.parametrize("hostile", ["<script>alert('x')</script>", "100% %(id)s {{ id }}", '& "q'])
def test_words_are_words_whatever_they_are(
    alice: User, member: TeamMember, rendered: list[int], hostile: str
) -> None:
    TeamMember.objects.filter(pk=member.pk).update(name=hostile, github_username=hostile)
    team = OrganizationTeam.objects.create(team=member.team, github_id=1, slug="team", name=hostile)
    OrganizationTeamMember.objects.create(organization_team=team, github_id=member.github_id)
    html = table(alice)
    assert html.count(f"<bdi>{escape(hostile)}</bdi>") == 2
    assert f"@{escape(hostile)}</bdi>" in html
    assert f'/{quote(hostile, safe="")}"' in html


def test_a_sync_that_changes_nothing_renders_nothing(
    alice: User, member: TeamMember, rendered: list[int]
) -> None:
    table(alice)
    TeamMember.objects.filter(pk=member.pk).update(last_seen_run_id=7, updated_at=timezone.now())
    table(alice)
    assert rendered == [member.pk]


def test_a_team_of_the_person_is_seen(alice: User, member: TeamMember, rendered: list[int]) -> None:
    assert "Compilers" not in table(alice)
    team = OrganizationTeam.objects.create(
        team=member.team, github_id=1, slug="compilers", name="Compilers"
    )
    OrganizationTeamMember.objects.create(organization_team=team, github_id=member.github_id)
    assert "Compilers" in table(alice)


def test_who_may_not_switch_gets_no_switch(
    alice: User, bob: User, member: TeamMember, rendered: list[int]
) -> None:
    assert 'role="switch"' in table(alice)
    assert 'role="switch"' not in table(bob)


def test_each_language_has_its_own(alice: User, member: TeamMember, rendered: list[int]) -> None:
    assert "2FA" in table(alice)
    assert "Mitglied" in table(alice, HTTP_ACCEPT_LANGUAGE="de")
    assert "Mitglied" not in table(alice)


def test_the_form_carries_the_token_of_who_asks(
    alice: User, member: TeamMember, rendered: list[int]
) -> None:
    page = reverse("github_members_table", args=["acme"])
    action = reverse("github_member_toggle", args=["acme", member.pk])
    for _ in range(2):
        post_form_of_row(alice, page, f"member-{member.pk}", action, active="true")


def test_a_switched_row_is_the_table_s(
    alice: User, member: TeamMember, rendered: list[int]
) -> None:
    client = Client()
    client.force_login(alice)
    address = reverse("github_member_toggle", args=["acme", member.pk])
    row = client.post(address, {"active": "false"}, headers={"HX-Request": "true"})
    assert rendered == [member.pk]
    assert without_tokens(row.content.decode().strip()) in without_tokens(table(alice))
    assert rendered == [member.pk]
