"""The ways that Rollcall replaces, written as they are usually written, to be measured beside ours.

Thirty people a page, one request for each new person, one query a row, nothing ahead of time; and
a page that asks every three seconds.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import requests
from django.utils import timezone

from integrations.models import TeamMember
from integrations.services import leases
from integrations.services.github_graphql_sync import Place
from integrations.services.roster import write_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.models import Team
    from integrations.services.github_graphql_sync import FetchedPage, MemberList
    from integrations.services.leases import Lease
    from tests.sandbox_control import SandboxOrganization

PER_PAGE = 30
POLL_INTERVAL_S = 3.0


def sync_member_by_member(team: Team, organization: SandboxOrganization, *, api_url: str) -> int:
    """Read and write the members the way of the system before; return the number of requests."""
    request_count = 0
    with requests.Session() as session:
        session.headers.update(
            {"Authorization": f"Bearer {organization.token}", "User-Agent": "naive"}
        )

        def ask(url: str) -> requests.Response:
            nonlocal request_count
            request_count += 1
            return session.get(url, timeout=30)

        url: str | None = f"{api_url}/orgs/{organization.login}/members?per_page={PER_PAGE}"
        while url:
            page = ask(url)
            for listed in page.json():
                _write_one(team, listed, lambda login: ask(f"{api_url}/users/{login}").json())
            url = page.links.get("next", {}).get("url")
    return request_count


def write_row_by_row(team: Team, people: list[Any]) -> None:
    """Write people who are read already: two queries a row."""
    for person in people:
        TeamMember.objects.update_or_create(
            team=team,
            github_id=person.github_id,
            defaults={
                "github_username": person.github_username,
                "name": person.name,
                "email": person.email,
                "avatar_url": person.avatar_url,
                "role": person.role,
                "two_factor_enabled": person.two_factor_enabled,
                "updated_at": timezone.now(),
            },
            create_defaults={
                "github_username": person.github_username,
                "name": person.name,
                "email": person.email,
                "avatar_url": person.avatar_url,
                "role": person.role,
                "two_factor_enabled": person.two_factor_enabled,
                "joined_at": timezone.now(),
                "updated_at": timezone.now(),
            },
        )


def _write_one(team: Team, listed: dict[str, Any], ask: Callable[[str], dict[str, Any]]) -> None:
    member = TeamMember.objects.filter(team=team, github_id=listed["id"]).first()
    now = timezone.now()
    if member is None:
        details = ask(listed["login"])
        TeamMember.objects.create(
            team=team,
            github_id=listed["id"],
            github_username=listed["login"],
            name=(details["name"] or "").replace("\0", "")[:255],
            email=details["email"] or "",
            avatar_url=listed["avatar_url"],
            joined_at=now,
            updated_at=now,
        )
    else:
        member.github_username = listed["login"]
        member.save()


def collect_and_write(lease: Lease, members: MemberList) -> None:
    """Read everybody into a list, and write them down when they are all there."""
    pages: list[FetchedPage] = []
    place: Place | None = Place()
    while place is not None:
        pages.append(members.page_at(place))
        place = pages[-1].next_place
        leases.renew(lease)
    for page in pages:
        write_page(lease, page)


def poll_until(is_seen: Callable[[], bool]) -> None:
    """Ask, sleep three seconds, ask again: how a page without a stream learns of a change."""
    while not is_seen():
        time.sleep(POLL_INTERVAL_S)
