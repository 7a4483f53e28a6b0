"""Pieces of pages that are kept: rendered once, and each person's own where people differ."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from integrations.constants import TeamRole
from integrations.models import MemberChange, OrganizationTeam, SavedMemberFilter
from integrations.views import kept
from tests.factories import MembershipFactory, TeamFactory, TeamMemberFactory
from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django import DjangoAssertNumQueries

    from integrations.models import GitHubIntegration, Team, User

TEMPLATES = sorted((REPOSITORY / "templates").rglob("*.html"))
# A tag with its name, and what it is given.
TAG = re.compile(r'{% kept "([^"]+)"([^%]*)%}')
# The page's own; a piece that names one of these would find nothing.
OF_THE_PAGE = re.compile(r"\b(?:request\.(?!team\.slug)|messages|user\.|perms\b|integration\b)")

pytestmark = pytest.mark.django_db


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The templates that were rendered to be kept, in order; none are kept before."""
    names: list[str] = []

    def render(template: str, context: dict[str, Any]) -> str:
        names.append(template)
        return render_to_string(template, context)

    monkeypatch.setattr(kept, "render_to_string", render)
    kept.shelf.clear()
    return names


def page(user: User, name: str = "github_members", slug: str = "acme", **headers: Any) -> str:
    client = Client()
    client.force_login(user)
    return client.get(reverse(name, args=[slug]), **headers).content.decode()


def included_by(name: str) -> set[str]:
    text = (REPOSITORY / "templates" / name).read_text()
    found = re.findall(r"""{% include ["']([^"']+)["']""", text)
    return {name}.union(*map(included_by, found))


@pytest.mark.parametrize("path", [path for path in TEMPLATES if TAG.search(path.read_text())])
def test_a_piece_reads_nothing_of_the_page(path: Path) -> None:
    pieces = {name for name, _ in TAG.findall(path.read_text())}
    reading = {
        name: match.group()
        for name in set().union(*map(included_by, pieces))
        for text in [re.sub(r"\{#.*?#\}", "", (REPOSITORY / "templates" / name).read_text())]
        for inside in [" ".join(re.findall(r"\{[{%].*?[%}]\}", text))]
        if (match := OF_THE_PAGE.search(re.sub(r"'[^']*'|\"[^\"]*\"", "", inside)))
    }
    assert reading == {}


def test_the_next_page_renders_none_of_them_again(
    alice: User, integration: GitHubIntegration, rendered: list[str]
) -> None:
    TeamMemberFactory(team=integration.team)
    page(alice)
    assert {
        "components/topbar.html",
        "components/stylesheets.html",
        "components/member_filters.html",
        "components/sync_box.html",
    } <= set(rendered)
    rendered.clear()
    page(alice)
    assert rendered == []


def test_the_bar_is_the_person_s_and_the_page_s(
    alice: User, bob: User, integration: GitHubIntegration, rendered: list[str]
) -> None:
    assert alice.email in page(alice)
    other = page(bob)
    assert bob.email in other
    assert alice.email not in other
    assert re.search(r'aria-current="page">Members', page(alice))
    assert re.search(r'aria-current="page">History', page(alice, "github_history"))


def test_a_team_of_the_person_is_in_the_bar_at_once_and_goes_at_once(
    alice: User, integration: GitHubIntegration, rendered: list[str]
) -> None:
    assert "Rockets Two" not in page(alice)
    membership = MembershipFactory(team=TeamFactory(name="Rockets Two"), user=alice)
    assert "Rockets Two" in page(alice)
    membership.delete()
    assert "Rockets Two" not in page(alice)


def test_a_filter_is_offered_as_soon_as_there_is_something_to_filter_by(
    alice: User, bob: User, integration: GitHubIntegration, rendered: list[str]
) -> None:
    assert "Compilers" not in page(alice)
    team = OrganizationTeam.objects.create(
        team=integration.team, github_id=1, slug="compilers", name="Compilers"
    )
    assert "Compilers" in page(alice)
    team.delete()
    assert "Compilers" not in page(alice)
    SavedMemberFilter.objects.create(
        team=integration.team, user=alice, name="My own", querystring="q=a"
    )
    assert "My own" in page(alice)
    assert "My own" not in page(bob)


def test_what_an_admin_may_is_not_offered_to_others(
    alice: User, acme: Team, integration: GitHubIntegration, rendered: list[str]
) -> None:
    cancelling = reverse("github_members_cancel", args=["acme"])
    assert cancelling in page(alice)
    acme.memberships.filter(user=alice).update(role=TeamRole.MEMBER)
    assert cancelling not in page(alice)


def test_a_piece_s_form_carries_the_token_of_who_asks(
    alice: User, integration: GitHubIntegration, rendered: list[str]
) -> None:
    for _ in range(2):
        client = Client(enforce_csrf_checks=True)
        client.force_login(alice)
        html = client.get(reverse("github_members", args=["acme"])).content.decode()
        assert kept.TOKEN_MARK not in html
        form = html[html.index(f'action="{reverse("account_logout")}"') :]
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', form)
        assert token is not None
        response = client.post(reverse("account_logout"), {"csrfmiddlewaretoken": token[1]})
        assert response.status_code == 302
    assert rendered.count("components/topbar.html") == 1


def test_each_language_has_its_own(
    alice: User, integration: GitHubIntegration, rendered: list[str]
) -> None:
    assert "Sign out" in page(alice)
    german = page(alice, HTTP_ACCEPT_LANGUAGE="de")
    assert "Abmelden" in german
    assert "Sign out" not in german


def test_a_row_of_the_database_keeps_nothing(acme: Team, rendered: list[str]) -> None:
    template = Template('{% load kept %}{% kept "components/tabs.html" team=team %}')
    with pytest.raises(TypeError, match="can't be kept by a row of the database: team"):
        template.render(Context({"team": acme}))


def test_pages_read_no_more_than_they_show(
    alice: User,
    integration: GitHubIntegration,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    member = TeamMemberFactory(team=integration.team)
    MemberChange.objects.create(
        team=member.team, github_id=member.github_id, kind="joined", at=member.joined_at
    )
    client = Client()
    client.force_login(alice)
    # Whose session, who, of which team; how many, how many of them are not active, rows, and the
    # names of the people's teams.
    with django_assert_num_queries(7) as refresh:
        client.get(reverse("github_members_table", args=["acme"]))
    # And the organisation, the latest run, what the filters offer, the person's own teams.
    with django_assert_num_queries(11) as members:
        client.get(reverse("github_members", args=["acme"]))
    # Their number, themselves, and whether their people still have a row.
    with django_assert_num_queries(7) as changes:
        client.get(reverse("github_history", args=["acme"]), {"show": "changes"})
    said = [query["sql"] for captured in (refresh, members, changes) for query in captured]
    assert not [sql for sql in said if "encrypted_access_token" in sql]
    assert not [query["sql"] for query in changes if "page_size" in query["sql"]]
