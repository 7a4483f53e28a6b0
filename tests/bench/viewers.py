"""People who look on while something is measured."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.urls import reverse

from integrations.constants import TeamRole
from tests.factories import MembershipFactory, UserFactory
from tests.live.sse import SseClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.models import Team, User
    from tests.bench.rows import Bench


def admin_of(team: Team) -> User:
    user: User = UserFactory()
    MembershipFactory(team=team, user=user, role=TeamRole.ADMIN)
    return user


@contextmanager
def viewer(bench: Bench, team: Team) -> Iterator[SseClient]:
    """Open the team's stream as one of its people, at the present revision."""
    team.refresh_from_db()
    with bench.stack.browser_session(admin_of(team)) as session:
        cookies = session.cookies.get_dict()
        client = SseClient(
            f"{bench.stack.url}{reverse('live', args=[team.slug])}"
            f"?lastEventId=team-{team.pk}:{team.revision}",
            cookies=cookies,
        )
        try:
            client.wait_for("stream-open", timeout_s=10)
            yield client
        finally:
            client.close()
