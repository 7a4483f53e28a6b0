"""The members page: what it finds, in which order, and what can be done with those it finds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from integrations.constants import DeactivatedBy, MemberChangeKind, MemberRole
from integrations.models import (
    GitHubIntegration,
    HeldDeparture,
    MemberChange,
    RepositoryAccess,
    SavedMemberFilter,
    TeamMember,
)
from integrations.views import roster_pages
from integrations.views.member_filters import SAVED_MAX
from integrations.views.member_query import MemberQuery
from tests.factories import (
    GitHubIntegrationFactory,
    SyncRunFactory,
    TeamMemberFactory,
    TrackedRepositoryFactory,
    UserFactory,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from integrations.models import Team, User

    Find = Callable[..., list[str]]

pytestmark = pytest.mark.django_db


@pytest.fixture
def integration(acme: Team) -> GitHubIntegration:
    return GitHubIntegrationFactory(team=acme)


@pytest.fixture
def find(client: Client, acme: Team, bob: User, integration: GitHubIntegration) -> Find:
    """`find(q="ada", ...)`: the logins that the page shows a plain member, in its order."""
    client.force_login(bob)

    def ask(**query: str) -> list[str]:
        response = client.get(reverse("github_members", args=["acme"]), query)
        assert response.status_code == 200
        return [member.github_username for member in response.context["page"].object_list]

    return ask


@pytest.fixture
def admin(client: Client, acme: Team, alice: User, integration: GitHubIntegration) -> Client:
    client.force_login(alice)
    return client


def days_ago(days: int) -> Any:
    return timezone.now() - timedelta(days=days)


class TestSearch:
    @pytest.mark.parametrize("q", ["liddell", "LIDDELL", "@ali", "wonder.example", "ce li"])
    def test_name_login_and_e_mail_are_searched_whatever_the_case(
        self, find: Find, acme: Team, q: str
    ) -> None:
        TeamMemberFactory(
            team=acme, github_username="Ali", name="Alice Liddell", email="a@Wonder.example"
        )
        TeamMemberFactory(team=acme, github_username="bob", name="Bob")
        assert find(q=q) == ["Ali"]

    @pytest.mark.parametrize("q", ["émile", "ÉMILE", "Émile", "王小"])
    def test_letters_beyond_ascii_are_found(self, find: Find, acme: Team, q: str) -> None:
        TeamMemberFactory(team=acme, github_username="zola", name="Émile 王小明")
        assert find(q=q) == ["zola"]

    @pytest.mark.parametrize("q", ["%", "_", "\\", "' OR 1=1 --", "\0", "a" * 5_000, "\n"])
    def test_what_means_something_to_a_database_means_nothing_here(
        self, find: Find, acme: Team, q: str
    ) -> None:
        TeamMemberFactory(team=acme, github_username="plain")
        assert find(q=q) in ([], ["plain"])

    def test_a_percent_sign_finds_a_percent_sign(self, find: Find, acme: Team) -> None:
        TeamMemberFactory(team=acme, github_username="one", name="100% Ada")
        TeamMemberFactory(team=acme, github_username="two", name="Ada")
        assert find(q="0%") == ["one"]

    def test_the_text_follows_every_way_of_writing(self, find: Find, acme: Team) -> None:
        member = TeamMemberFactory(team=acme, github_username="old-name")
        TeamMember.objects.filter(pk=member.pk).update(github_username="new-name")
        assert find(q="old-name") == []
        assert find(q="new-name") == ["new-name"]


class TestFilters:
    def test_who_can_reach_a_repository(
        self, find: Find, acme: Team, integration: GitHubIntegration
    ) -> None:
        repository = TrackedRepositoryFactory(integration=integration, is_tracked=True)
        inside = TeamMemberFactory(team=acme, github_username="inside")
        TeamMemberFactory(team=acme, github_username="outside")
        RepositoryAccess.objects.create(
            repository=repository, github_id=inside.github_id, github_username="inside"
        )
        assert find(repository=str(repository.pk)) == ["inside"]
        assert find(repository="999999") == []
        assert len(find(repository="1; DROP TABLE")) == 2

    def test_another_team_s_repository_tells_nothing(self, find: Find, acme: Team) -> None:
        member = TeamMemberFactory(team=acme)
        theirs = TrackedRepositoryFactory(is_tracked=True)
        RepositoryAccess.objects.create(
            repository=theirs, github_id=member.github_id, github_username="x"
        )
        assert find(repository=str(theirs.pk)) == []

    def test_who_decided_on_the_state(
        self, find: Find, acme: Team, integration: GitHubIntegration
    ) -> None:
        TeamMemberFactory(team=acme, github_username="by-github")
        TeamMemberFactory(
            team=acme, github_username="off", is_active=False, deactivated_by=DeactivatedBy.PERSON
        )
        TeamMemberFactory(team=acme, github_username="kept", kept_at=timezone.now())
        held = TeamMemberFactory(team=acme, github_username="held")
        HeldDeparture.objects.create(
            member=held, run=SyncRunFactory(integration=integration), held_at=timezone.now()
        )
        assert find(source="github") == ["by-github"]
        assert find(source="hand", active="all") == ["kept", "off"]
        assert find(source="held") == ["held"]

    def test_who_joined_and_who_left_lately(self, find: Find, acme: Team) -> None:
        TeamMemberFactory(team=acme, github_username="old", joined_at=days_ago(200))
        TeamMemberFactory(team=acme, github_username="new", joined_at=days_ago(3))
        TeamMemberFactory(
            team=acme, github_username="gone", joined_at=days_ago(300), left_at=days_ago(20),
            is_active=False,
        )  # fmt: skip
        assert find(joined="7") == ["new"]
        assert find(joined="365") == ["new", "old"]
        assert find(left="30") == ["gone"]
        assert find(left="7") == []
        assert find(left="nonsense") == ["new", "old"]

    def test_they_narrow_together_and_stand_in_the_address(
        self, find: Find, client: Client, acme: Team
    ) -> None:
        for login, role, two_factor in (
            ("a", MemberRole.ADMIN, False), ("b", MemberRole.ADMIN, True),
            ("c", MemberRole.MEMBER, False),
        ):  # fmt: skip
            TeamMemberFactory(
                team=acme, github_username=login, role=role, two_factor_enabled=two_factor
            )
        assert find(role="admin", two_factor="off") == ["a"]
        address = reverse("github_members", args=["acme"])
        page = client.get(address, {"role": "admin", "sort": "-joined"}).content.decode()
        assert re.search(r'href="/t/acme/github/members.csv\?role=admin&amp;sort=-joined"', page)


class TestOrder:
    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ("login", ["ann", "Bea", "cid"]),
            ("-login", ["cid", "Bea", "ann"]),
            ("name", ["cid", "Bea", "ann"]),
            ("email", ["Bea", "cid", "ann"]),
            ("role", ["Bea", "ann", "cid"]),
            ("joined", ["cid", "ann", "Bea"]),
            ("active", ["cid", "ann", "Bea"]),
            ("-active", ["Bea", "ann", "cid"]),
            ("password", ["ann", "Bea", "cid"]),
        ],
    )
    def test_any_column_sorts(self, find: Find, acme: Team, sort: str, expected: list[str]) -> None:
        for login, name, email, role, days, active in (
            ("ann", "Zoe", "z@x", "member", 2, True),
            ("Bea", "moe", "a@x", "admin", 1, True),
            ("cid", "Abe", "m@x", "member", 3, False),
        ):
            TeamMemberFactory(
                team=acme, github_username=login, name=name, email=email, role=role,
                joined_at=days_ago(days), is_active=active,
            )  # fmt: skip
        assert find(sort=sort, active="all") == expected

    @pytest.mark.parametrize("few", [1_000, 10])
    @pytest.mark.parametrize(
        "query", [{}, {"q": "member"}, {"sort": "-joined"}, {"role": "member"}]
    )
    def test_pages_hold_everybody_once_also_from_the_far_end(
        self, find: Find, acme: Team, query: dict[str, str], few: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(roster_pages, "FEW", few)
        joined = timezone.now()
        members = TeamMemberFactory.create_batch(230, team=acme, joined_at=joined)
        seen = [login for page in range(1, 6) for login in find(page=str(page), **query)]
        assert sorted(seen) == sorted(member.github_username for member in members)
        assert len(find(page="5", **query)) == 30
        assert find(page="77", **query) == find(page="5", **query)
        assert len(find(per_page="200", **query)) == 200


class TestCost:
    def test_the_page_takes_twelve_queries_at_most_whatever_is_filtered(
        self, admin: Client, acme: Team, alice: User, integration: GitHubIntegration
    ) -> None:
        TeamMemberFactory.create_batch(60, team=acme)
        repository = TrackedRepositoryFactory(integration=integration, is_tracked=True)
        SavedMemberFilter.objects.create(team=acme, user=alice, name="x", querystring="q=a")
        address = reverse("github_members", args=["acme"])
        admin.get(address)
        for query in (
            {}, {"q": "m"}, {"q": "nobody"}, {"page": "2"}, {"source": "github", "joined": "7"},
            {"repository": str(repository.pk)}, {"active": "all", "sort": "email"},
        ):  # fmt: skip
            with CaptureQueriesContext(connection) as queries:
                admin.get(address, query)
            assert len(queries) <= 12, query

    def test_a_page_does_not_sort_the_whole_roster(self, acme: Team) -> None:
        TeamMemberFactory.create_batch(30, team=acme)
        if connection.vendor == "postgresql":
            # A roster this small is rightly sorted; what counts is that none has to be.
            with connection.cursor() as cursor:
                for way in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
                    cursor.execute(f"SET LOCAL enable_{way} = off")
        for sort in ("login", "name", "email", "role", "two_factor", "joined", "active"):
            for order in (sort, f"-{sort}"):
                query = MemberQuery(sort=order, active="all")
                plan = query.apply(acme.members.all())[:50].explain()
                assert not re.search("TEMP B-TREE|Sort", plan), (order, plan)

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL knows a flag as it is")
    def test_the_state_is_found_in_its_index(self, acme: Team) -> None:
        for query in (MemberQuery(), MemberQuery(sort="-login"), MemberQuery(active="inactive")):
            plan = query.apply(acme.members.all())[900:950].explain()
            assert "roster_by_state_and_source (team_id=? AND is_active=?)" in plan, plan
        inactive = acme.members.in_state(is_active=False).order_by().values("is_active")
        assert "COVERING INDEX roster_by_state_and_source" in inactive.explain()

    def test_who_is_active_is_counted(self, acme: Team) -> None:
        assert acme.members.counts() == {"total": 0, "active": 0}
        TeamMemberFactory.create_batch(3, team=acme)
        TeamMemberFactory(team=acme, is_active=False)
        assert acme.members.counts() == {"total": 4, "active": 3}


class TestBulk:
    def post(self, client: Client, query: str = "", **data: Any) -> Any:
        return client.post(reverse("github_members_bulk", args=["acme"]) + query, data)

    def test_the_selected_are_named_and_then_switched(
        self, admin: Client, acme: Team, alice: User
    ) -> None:
        one, two, other = TeamMemberFactory.create_batch(3, team=acme)
        ids = f"{one.pk},{two.pk}"
        asked = self.post(admin, active="false", ids=ids)
        content = asked.content.decode()
        assert one.github_username in content
        assert other.github_username not in content
        assert TeamMember.objects.active().count() == 3
        done = self.post(admin, active="false", ids=ids, confirmed="2")
        assert done.status_code == 302
        assert set(TeamMember.objects.active()) == {other}
        changes = MemberChange.objects.filter(kind=MemberChangeKind.SWITCHED_OFF, person=alice)
        assert {change.github_id for change in changes} == {one.github_id, two.github_id}
        assert changes[0].fields == {}
        one.refresh_from_db()
        assert one.deactivated_by == DeactivatedBy.PERSON
        assert "2 people switched off." in [str(m) for m in get_messages(done.wsgi_request)]

    def test_everybody_who_matches_is_switched_on_every_page(
        self, admin: Client, acme: Team
    ) -> None:
        TeamMemberFactory.create_batch(120, team=acme, role=MemberRole.MEMBER)
        owner = TeamMemberFactory(team=acme, role=MemberRole.ADMIN)
        asked = self.post(admin, "?role=member", active="false", everybody="1")
        assert "and 70 more" in asked.content.decode()
        self.post(admin, "?role=member", active="false", everybody="1", confirmed="120")
        assert set(TeamMember.objects.active()) == {owner}

    def test_it_asks_again_when_their_number_changed(self, admin: Client, acme: Team) -> None:
        TeamMemberFactory.create_batch(2, team=acme)
        again = self.post(admin, active="false", everybody="1", confirmed="1")
        assert again.status_code == 200
        assert 'name="confirmed" value="2"' in again.content.decode()
        assert TeamMember.objects.active().count() == 2

    def test_a_second_click_switches_nobody_twice(self, admin: Client, acme: Team) -> None:
        one = TeamMemberFactory(team=acme)
        for _ in range(2):
            self.post(admin, active="false", ids=str(one.pk), confirmed="1")
        assert MemberChange.objects.count() == 1

    def test_who_left_and_is_switched_on_is_kept(
        self, admin: Client, acme: Team, integration: GitHubIntegration
    ) -> None:
        gone = TeamMemberFactory(team=acme, is_active=False, left_at=timezone.now())
        held = TeamMemberFactory(team=acme)
        HeldDeparture.objects.create(
            member=held, run=SyncRunFactory(integration=integration), held_at=timezone.now()
        )
        self.post(admin, "?active=all", active="true", ids=str(gone.pk), confirmed="1")
        gone.refresh_from_db()
        assert gone.is_active
        assert gone.kept_at is not None
        assert gone.left_at is None
        self.post(admin, active="false", ids=str(held.pk), confirmed="1")
        assert not HeldDeparture.objects.exists()

    def test_other_teams_people_are_out_of_reach(self, admin: Client) -> None:
        theirs = TeamMemberFactory()
        self.post(admin, active="false", ids=str(theirs.pk), confirmed="1")
        theirs.refresh_from_db()
        assert theirs.is_active

    @pytest.mark.parametrize("ids", ["", "x", "-1", "9" * 40, "1;2", "\0", "٣"])
    def test_what_is_no_id_selects_nobody(self, admin: Client, acme: Team, ids: str) -> None:
        TeamMemberFactory(team=acme)
        assert self.post(admin, active="false", ids=ids, confirmed="1").status_code == 302
        assert TeamMember.objects.active().count() == 1

    def test_members_and_strangers_may_not(
        self, client: Client, bob: User, charlie: User, integration: GitHubIntegration
    ) -> None:
        for user, status in ((bob, 403), (charlie, 404)):
            client.force_login(user)
            assert self.post(client, active="false", everybody="1").status_code == status

    def test_it_wants_a_post_and_a_direction(self, admin: Client) -> None:
        assert admin.get(reverse("github_members_bulk", args=["acme"])).status_code == 405
        assert self.post(admin, everybody="1").status_code == 400

    def test_its_cost_does_not_grow_with_each_person(self, admin: Client, acme: Team) -> None:
        counts = []
        for size in (5, 300):
            members = TeamMemberFactory.create_batch(size, team=acme)
            ids = ",".join(str(member.pk) for member in members)
            with CaptureQueriesContext(connection) as queries:
                self.post(admin, active="false", ids=ids, confirmed=str(size))
            counts.append(len(queries))
        assert counts[0] == counts[1]


class TestSavedFilters:
    def save(self, client: Client, name: str, query: str = "?role=admin&two_factor=off") -> Any:
        return client.post(reverse("github_member_filters", args=["acme"]) + query, {"name": name})

    def test_a_person_keeps_a_filter_and_finds_it_again(
        self, admin: Client, client: Client, bob: User
    ) -> None:
        self.save(admin, "<b>Owners</b> without 2FA")
        page = admin.get(reverse("github_members", args=["acme"])).content.decode()
        assert 'href="?role=admin&amp;two_factor=off"' in page
        assert "&lt;b&gt;Owners&lt;/b&gt; without 2FA" in page
        client.force_login(bob)
        page = client.get(reverse("github_members", args=["acme"])).content.decode()
        assert "without 2FA" not in page.replace("With or without 2FA", "")

    def test_the_same_name_replaces_it(self, admin: Client) -> None:
        self.save(admin, "mine")
        self.save(admin, "mine", "?q=ada")
        assert SavedMemberFilter.objects.get().querystring == "q=ada"

    def test_what_the_address_can_t_mean_is_not_kept(self, admin: Client) -> None:
        self.save(admin, "odd", "?role=king&next=https://evil.example&q=a%00b&page=7")
        assert SavedMemberFilter.objects.get().querystring == "q=ab"

    def test_a_filter_without_a_name_is_refused(self, admin: Client) -> None:
        self.save(admin, "   ")
        assert not SavedMemberFilter.objects.exists()

    def test_there_is_a_limit(self, admin: Client, acme: Team, alice: User) -> None:
        for number in range(SAVED_MAX):
            SavedMemberFilter.objects.create(team=acme, user=alice, name=str(number))
        response = self.save(admin, "one more")
        assert SavedMemberFilter.objects.count() == SAVED_MAX
        assert [str(m) for m in get_messages(response.wsgi_request)]

    def test_only_its_owner_can_forget_it(self, admin: Client, acme: Team, alice: User) -> None:
        mine = SavedMemberFilter.objects.create(team=acme, user=alice, name="a")
        theirs = SavedMemberFilter.objects.create(team=acme, user=UserFactory(), name="b")
        for kept in (mine, theirs):
            admin.post(reverse("github_member_filter_delete", args=["acme", kept.pk]))
        assert set(SavedMemberFilter.objects.all()) == {theirs}
