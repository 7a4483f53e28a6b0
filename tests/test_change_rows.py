"""Rows of tables of changes that are kept: nobody is shown what is not so any more."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integrations.models import MemberChange, TeamMember
from integrations.views import change_rows
from tests.factories import SyncRunFactory, TeamMemberFactory
from tests.kept_rows import rendered_with

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, User
    from integrations.views.change_rows import ShownChange

pytestmark = pytest.mark.django_db


@pytest.fixture
def change(integration: GitHubIntegration) -> MemberChange:
    return MemberChange.objects.create(
        team=integration.team,
        github_id=77,
        github_username="ada",
        kind="renamed",
        fields={"role": ["member", "admin"]},
        at=timezone.now(),
    )


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[ShownChange]:
    """The changes whose rows were rendered, in order; none are kept before."""
    return rendered_with(monkeypatch, change_rows.TEMPLATE, "change")


def table(user: User, *, of_run: int | None = None, **headers: Any) -> str:
    client = Client()
    client.force_login(user)
    if of_run is None:
        address = reverse("github_history", args=["acme"]) + "?show=changes"
    else:
        address = reverse("github_run", args=["acme", of_run])
    html = client.get(address, **headers).content.decode()
    start = html.index("<tbody>", html.index('class="table"'))
    return html[start : html.index("</tbody>", start)]


def test_a_row_is_rendered_once_for_all_who_see_the_same(
    alice: User, bob: User, change: MemberChange, rendered: list[ShownChange]
) -> None:
    first = table(alice)
    assert "@ada" in first
    assert table(bob) == first
    assert [shown.github_username for shown in rendered] == ["ada"]


def test_all_that_a_row_shows_tells_it_apart(
    alice: User, change: MemberChange, rendered: list[ShownChange]
) -> None:
    run = SyncRunFactory(integration=change.team.github)
    moves: dict[str, dict[str, Any]] = {
        "github_username": {"github_username": "renamed"},
        "kind": {"kind": "promoted"},
        "moves": {"fields": {"name": ["Ada", "Augusta"]}},
        "at": {"at": timezone.now() - timedelta(days=3)},
        "run_id": {"run": run},
        "webhook_event": {"webhook_event": "organization.member_added"},
        "person": {"person": alice},
    }
    assert set(moves) == {field.name for field in fields(change_rows.ShownChange)}
    before = {table(alice)}
    for move in moves.values():
        MemberChange.objects.filter(pk=change.pk).update(**move)
        after = table(alice)
        assert after not in before, move
        before.add(after)


def test_a_link_comes_and_goes_with_the_person(
    alice: User, change: MemberChange, rendered: list[ShownChange]
) -> None:
    assert "<a " not in table(alice)
    member: TeamMember = TeamMemberFactory(team=change.team, github_id=77)
    assert reverse("github_member", args=["acme", member.pk]) in table(alice)
    member.delete()
    assert "<a " not in table(alice)


def test_a_run_s_own_page_does_not_name_the_run(
    alice: User, change: MemberChange, rendered: list[ShownChange]
) -> None:
    run = SyncRunFactory(integration=change.team.github)
    MemberChange.objects.filter(pk=change.pk).update(run=run)
    link = reverse("github_run", args=["acme", run.pk])
    assert link in table(alice)
    assert link not in table(alice, of_run=run.pk)


def test_each_language_has_its_own(
    alice: User, change: MemberChange, rendered: list[ShownChange]
) -> None:
    english = table(alice)
    assert table(alice, HTTP_ACCEPT_LANGUAGE="de") != english
    assert table(alice) == english
