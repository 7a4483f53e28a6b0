"""Every address, asked as every kind of outsider: nobody learns of acme, and nothing moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from allauth.account.models import EmailAddress
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import reverse

from integrations.constants import TeamRole
from integrations.models import (
    HeldDeparture,
    Membership,
    TeamMember,
    TrackedRepository,
    User,
)
from tests.factories import GitHubIntegrationFactory, MembershipFactory, UserFactory
from tests.security.production import SESSION_COOKIE, session_of
from tests.security.walk import MARK, Address, addresses, changes, fingerprint, plant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.models import Team
    from tests.security.production import ProductionWeb

# Streams are answered by threads of their own, which see what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

METHODS: Final = ("GET", "POST")
# Would end the session that asks.
ENDS_THE_SESSION: Final = {"account_logout", "logout"}
# Asked of a real server instead: the test client gives each request an event loop of its own.
STREAMS: Final = {"live", "ops_live"}
# For everybody, whoever they are: nothing of a team, and POST without fields moves nothing.
FOR_ALL: Final = {
    "home", "healthz", "readyz", "github_webhooks_receive", "team_invitation", "styleguide",
    "set_language", "team_new", "github_callback", "github_app_setup",
}  # fmt: skip
# Refuses any other method whoever asks, before it looks who does.
ONLY_GET: Final = {"metrics"}
# What a member may do beside looking: about themself only.
A_MEMBER_MAY: Final = {
    "team_leave", "github_member_filters", "github_member_filter_delete", "github_app_find",
}  # fmt: skip
# Every other way to write, which no address takes.
OTHER_METHODS: Final = ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@pytest.fixture
def examples(acme: Team, alice: User) -> dict[str, Any]:
    return plant(acme, alice)


@pytest.fixture
def everywhere(examples: dict[str, Any]) -> list[tuple[Address, str]]:
    """Every address with acme's own rows in it."""
    left_out = ENDS_THE_SESSION | STREAMS
    return [(one, one.path(examples)) for one in addresses() if one.name not in left_out]


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    # As whoever signed up has it; allauth would make it up for the page of one's addresses.
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return client


def content_of(response: Any) -> bytes:
    if not response.streaming:
        return bytes(response.content)
    if response.is_async:
        return async_to_sync(_gathered)(response)
    return b"".join(response)


async def _gathered(response: Any) -> bytes:
    return b"".join([part async for part in response])


def leaks(response: Any) -> bool:
    """Say whether the answer holds anything of acme's."""
    shown = content_of(response) + repr(dict(response.items())).encode()
    return MARK.encode() in shown.replace(b"acme-planted7", b"")


def answers(
    client: Client, everywhere: list[tuple[Address, str]], *methods: str
) -> Iterator[tuple[Address, str, int, str]]:
    """Ask all of them, and see that nothing of acme's comes back."""
    for address, path in everywhere:
        for method in methods or METHODS:
            response = client.generic(method, path)
            assert not leaks(response), (method, path)
            yield address, method, response.status_code, response.headers.get("Location", "")


def is_hidden(address: Address, status: int, location: str, *, knows_who: bool) -> bool:
    """Say whether the answer is what somebody gets who may not know that there is something."""
    if status == 405 and address.name in ONLY_GET:
        return True
    if address.is_of_a_team:
        if knows_who:
            return status == 404
        return status == 401 or (status == 302 and location.startswith(reverse("account_login")))
    if address.is_of_operators:
        return status == 404
    if address.is_of_the_admin:
        return status in {302, 403, 404}
    return address.name in FOR_ALL or address.name.startswith("account_")


class TestTheWalk:
    def test_it_knows_every_address(self, everywhere: list[tuple[Address, str]]) -> None:
        """Also those to come: one that is nobody's on this list has to be put somewhere."""
        names = {address.name for address, _ in everywhere}
        assert {"team_delete", "github_members", "metrics"} <= names
        assert len(everywhere) > 200
        assert {one.name for one in addresses() if one.is_async} == STREAMS | {"healthz", "readyz"}
        nowhere = [
            address.route
            for address, _ in everywhere
            if not (
                address.is_of_a_team
                or address.is_of_operators
                or address.is_of_the_admin
                or address.name in FOR_ALL
                or address.name.startswith("account_")
            )
        ]
        assert nowhere == []

    def test_every_address_leads_where_its_pattern_says(
        self, everywhere: list[tuple[Address, str]], alice: User
    ) -> None:
        """An example that fits nothing would make every other test here pass."""
        User.objects.filter(pk=alice.pk).update(is_superuser=True)
        client = signed_in(alice)
        found, shown = set(), 0
        for address, path in everywhere:
            if address.is_of_a_team:
                response = client.get(path)
                found.add(response.status_code)
                assert response.resolver_match.view_name == address.name
                assert response.status_code not in {403, 404}, (path, response.status_code)
                shown += leaks(response)
        assert found >= {200, 302, 405}
        assert shown >= 15


class TestOutsiders:
    def test_the_anonymous(self, everywhere: list[tuple[Address, str]]) -> None:
        before = fingerprint()
        for address, method, status, location in answers(Client(), everywhere):
            assert is_hidden(address, status, location, knows_who=False), (address, method, status)
        assert changes(before, fingerprint()) == []

    def test_a_stranger_who_administers_another_team(
        self, everywhere: list[tuple[Address, str]], charlie: User
    ) -> None:
        client = signed_in(charlie)
        before = fingerprint()
        for address, method, status, location in answers(client, everywhere):
            assert is_hidden(address, status, location, knows_who=True), (address, method, status)
        assert changes(before, fingerprint()) == []

    def test_one_whose_membership_ended_while_signed_in(
        self, everywhere: list[tuple[Address, str]], bob: User
    ) -> None:
        client = signed_in(bob)
        Membership.objects.filter(user=bob).delete()
        of_acme = [one for one in everywhere if one[0].is_of_a_team]
        before = fingerprint()
        for address, method, status, location in answers(client, of_acme):
            assert is_hidden(address, status, location, knows_who=True), (address, method, status)
        assert changes(before, fingerprint()) == []

    def test_an_admin_who_was_switched_off_while_signed_in(
        self, everywhere: list[tuple[Address, str]], acme: Team
    ) -> None:
        dora = MembershipFactory(team=acme, role=TeamRole.ADMIN, user__is_staff=True).user
        client = signed_in(dora)
        User.objects.filter(pk=dora.pk).update(is_active=False)
        before = fingerprint()
        for address, method, status, location in answers(client, everywhere):
            assert is_hidden(address, status, location, knows_who=False), (address, method, status)
        assert changes(before, fingerprint()) == []

    def test_staff_who_are_not_in_the_team(self, everywhere: list[tuple[Address, str]]) -> None:
        """An operator sees operations; a team's pages, and tables without a permission, no."""
        client = signed_in(UserFactory(is_staff=True))
        private = [one for one in everywhere if one[0].is_of_a_team or one[0].is_of_the_admin]
        before = fingerprint()
        for address, method, status, _ in answers(client, private):
            if address.is_of_a_team:
                assert is_hidden(address, status, "", knows_who=True), (address, method, status)
        assert changes(before, fingerprint()) == []

    def test_other_methods_write_nothing(
        self, everywhere: list[tuple[Address, str]], alice: User
    ) -> None:
        """Not even for the team's own admin."""
        client = signed_in(alice)
        before = fingerprint()
        for address, path in everywhere:
            if address.is_of_a_team or address.is_of_operators:
                for method in OTHER_METHODS:
                    status = client.generic(method, path).status_code
                    assert status == 405, (method, path, status)
        assert changes(before, fingerprint()) == []


@pytest.mark.processes
def test_streams_are_there_for_nobody_else(
    examples: dict[str, Any], acme: Team, alice: User, bob: User, charlie: User,
    production: ProductionWeb,
) -> None:  # fmt: skip
    """Of the team for its people, of operations for operators; asked of the real web process."""
    stream, operations = reverse("live", args=[acme.slug]), reverse("ops_live")
    gone = MembershipFactory(team=acme, role=TeamRole.ADMIN, user__is_staff=True).user
    left = {"Cookie": f"{SESSION_COOKIE}={session_of(bob)}"}
    off = {"Cookie": f"{SESSION_COOKIE}={session_of(gone)}"}
    Membership.objects.filter(user=bob).delete()
    User.objects.filter(pk=gone.pk).update(is_active=False)
    with production.ask(stream, user=alice) as opened:
        assert opened.status_code == 200
    refused: list[tuple[str, dict[str, Any], int]] = [
        (stream, {}, 401), (stream, {"headers": off}, 401), (stream, {"headers": left}, 404),
        (stream, {"user": charlie}, 404), (stream, {"user": UserFactory(is_staff=True)}, 404),
        (operations, {}, 404), (operations, {"headers": off}, 404),
        (operations, {"headers": left}, 404), (operations, {"user": charlie}, 404),
    ]  # fmt: skip
    for path, asked, status in refused:
        for method in METHODS:
            response = production.ask(path, method=method, **asked)
            expected = {status, 403, 405} if method == "POST" else {status}
            assert response.status_code in expected, (method, path, response.status_code)
            assert MARK not in response.text


class TestMembers:
    def test_they_can_do_nothing_that_takes_an_admin(
        self, everywhere: list[tuple[Address, str]], bob: User
    ) -> None:
        """POST moves nothing; what a member may do is on a list, and about themself."""
        client = signed_in(bob)
        before = fingerprint()
        for address, path in everywhere:
            if address.is_of_a_team and address.name not in A_MEMBER_MAY:
                status = client.post(path).status_code
                assert status in {403, 404, 405}, (path, status)
        assert changes(before, fingerprint()) == []


class TestRowsOfAnotherTeam:
    """An admin of one team puts rows of another into addresses and forms of their own."""

    @pytest.fixture
    def theirs(self, charlie: User) -> Team:
        team: Team = charlie.memberships.get().team
        GitHubIntegrationFactory(team=team)
        return team

    def test_in_addresses(self, examples: dict[str, Any], theirs: Team, charlie: User) -> None:
        client = signed_in(charlie)
        mixed = {**examples, "team_slug": theirs.slug}
        asked = [
            (one, one.path(mixed)) for one in addresses() if one.is_of_a_team and len(one.parts) > 1
        ]
        assert len(asked) > 10
        before = fingerprint()
        for address, method, status, _ in answers(client, asked):
            # A form that is incomplete is told before its row is looked for.
            # To delete a filter that one has not is no error, and deletes nothing.
            harmless = {302} if address.name == "github_member_filter_delete" else set()
            assert status in {400, 404, 405} | harmless, (address, method, status)
        assert changes(before, fingerprint()) == []

    def test_in_forms(
        self, examples: dict[str, Any], acme: Team, theirs: Team, charlie: User
    ) -> None:
        client = signed_in(charlie)
        member = TeamMember.objects.filter(team=acme, is_active=True)[0]
        held = HeldDeparture.objects.get(member__team=acme)
        repository = TrackedRepository.objects.get(integration__team=acme)
        fields = {
            "member": [member.pk, held.member_id], "ids": str(member.pk), "active": "false",
            "confirmed": "1", "decision": "remove", "repository": [repository.pk],
            "shown": [repository.pk], "filter": [examples["filter_id"]],
            "membership": [examples["membership_id"]], "tracked": "true", "all": "",
        }  # fmt: skip
        watched = (TeamMember, HeldDeparture, TrackedRepository, Membership)
        before = {model: list(model.objects.filter(pk__gt=0).values()) for model in watched}
        for name in ("github_members_bulk", "github_held", "onboarding_repositories"):
            response = client.post(reverse(name, args=[theirs.slug]), fields)
            assert response.status_code < 500
            assert not leaks(response), name
        for model in watched:
            assert list(model.objects.filter(pk__gt=0).values()) == before[model], model
