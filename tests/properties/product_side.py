"""The product's side of the state machine: clicks, workers, the ticker, and time that passes.

A click goes through the page's own address; a worker is its actor, called in this thread.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import redis
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integrations import tasks
from integrations.constants import RunKind, RunTrigger, TeamRole
from integrations.live.channels import channel_of
from integrations.live.publish import redis_channel
from integrations.models import GitHubIntegration, SyncRun
from integrations.services import connection, departures, previews, switching, transitions
from integrations.services.runs import start_run
from tests.factories import (
    GitHubIntegrationFactory,
    IntegrationCredentialFactory,
    MembershipFactory,
    UserFactory,
)

if TYPE_CHECKING:
    from integrations.models import Team, TeamMember, User
    from tests.properties.github_side import LivingOrganization

A_SECOND = timedelta(seconds=1)
# Waits that GitHub asks for and faults in a row are fewer, and a walk takes fewer slices.
SLICES_MAX = 60
EVENT_TIMEOUT_S = 5


class ConnectedTeam:
    """A team of its own, tied to an organisation, with an administrator who clicks."""

    def __init__(self, company: LivingOrganization) -> None:
        organization = company.organization
        credential = IntegrationCredentialFactory(
            access_token=company.token, github_username=organization.owner
        )
        self.team: Team = credential.team
        self.admin: User = UserFactory()
        MembershipFactory(team=self.team, user=self.admin, role=TeamRole.ADMIN)
        self.integration: GitHubIntegration = GitHubIntegrationFactory(
            team=self.team,
            credential=credential,
            organization_id=organization.id,
            organization_login=organization.login,
        )
        self._browser = Client()
        self._browser.force_login(self.admin)
        self._events = redis.Redis.from_url(settings.LIVE_REDIS_URL).pubsub()  # type: ignore[no-untyped-call]
        self._events.subscribe(redis_channel())
        self._events.get_message(timeout=5)

    def close(self) -> None:
        self._events.close()

    @property
    def active_run(self) -> SyncRun | None:
        """The sync under way; a preview may walk beside it."""
        return SyncRun.objects.of_members(self.integration).active().first()

    @property
    def latest_preview(self) -> SyncRun | None:
        previews = SyncRun.objects.filter(integration=self.integration, kind=RunKind.PREVIEW)
        return previews.order_by("pk").last()

    @property
    def all_runs(self) -> list[SyncRun]:
        return list(SyncRun.objects.filter(integration=self.integration).order_by("pk"))

    @property
    def runs(self) -> list[SyncRun]:
        runs = SyncRun.objects.filter(integration=self.integration, kind=RunKind.MEMBERS)
        return list(runs.order_by("pk"))

    def members(self, *, active: bool) -> list[TeamMember]:
        return list(self.team.members.filter(is_active=active).order_by("github_id"))

    def click(self) -> SyncRun:
        """Press "Sync now"; return the run that this ends up with."""
        response = self._post("github_members_sync")
        assert response.status_code == 200, response.content[:500]
        runs = SyncRun.objects.filter(integration=self.integration, kind=RunKind.MEMBERS)
        return runs.latest("pk")

    def _post(self, name: str, *args: Any, **fields: str) -> Any:
        address = reverse(name, args=[self.team.slug, *args])
        return self._browser.post(address, fields, headers={"HX-Request": "true"})

    def read_small_pages(self, size: int) -> None:
        """Have the run under way ask for pages of this size from here on."""
        active = SyncRun.objects.active().filter(integration=self.integration)
        active.update(page_size=size)

    def deliver(self, run: SyncRun) -> None:
        """Let a message of a run arrive, due or not, the first or the fifth."""
        tasks.sync_github_members_task.fn(run.pk)

    def switch(self, member: TeamMember, *, active: bool) -> None:
        switching.switch_member(member, active=active, person=self.admin)

    def cancel(self) -> None:
        run = self.active_run
        if run is not None:
            assert transitions.cancel(run, person=self.admin)

    def preview(self) -> SyncRun:
        self.integration.refresh_from_db()
        run = start_run(
            self.integration, trigger=RunTrigger.MANUAL, person=self.admin, is_preview=True
        ).run
        tasks.sync_github_members_later(run)
        return run

    def apply_preview(self) -> SyncRun | None:
        """Apply the latest preview, if the product finds that nothing moved since."""
        assert self.latest_preview is not None
        try:
            run = previews.apply(self.latest_preview, person=self.admin).run
        except previews.PreviewStale:
            return None
        tasks.sync_github_members_later(run)
        return run

    def let_night_fall(self) -> None:
        """Let the ticker find that the nightly read of this team is due."""
        integrations = GitHubIntegration.objects.filter(pk=self.integration.pk)
        integrations.update(next_sync_at=timezone.now() - A_SECOND)
        tasks.send_due_work()
        self.integration.refresh_from_db()
        assert self.integration.next_sync_at is not None
        assert self.integration.next_sync_at > timezone.now()

    def held(self) -> list[TeamMember]:
        return list(self.team.members.filter(held_departure__isnull=False).order_by("github_id"))

    def decide(self, members: list[TeamMember], *, remove: bool) -> int:
        ids = [member.pk for member in members]
        return departures.decide(self.integration, ids, remove=remove, person=self.admin)

    def reconnect(self, token: str) -> None:
        connection.connect_with_token(self.team, person=self.admin, token=token)

    def let_leases_end(self) -> None:
        self._put_back("lease_expires_at")

    def let_waits_end(self) -> None:
        self._put_back("resume_at")

    def _put_back(self, column: str) -> None:
        """Move an instant into the past: the only clock here is the row's."""
        active = SyncRun.objects.active().filter(integration=self.integration)
        held = active.filter(**{f"{column}__isnull": False})
        held.update(**{column: timezone.now() - A_SECOND})

    def settle(self) -> None:
        """Do what ticker and workers do, until nothing is under way any more."""
        for _ in range(SLICES_MAX):
            active = SyncRun.objects.active().filter(integration=self.integration)
            if not active:
                return
            self._make_due()
            sent_before = {run.pk: run.send_count for run in active}
            assert tasks.send_due_runs() >= len(sent_before)
            for run in active.all():
                assert run.send_count == sent_before[run.pk] + 1, f"{run} is due, and was not sent"
                self.deliver(run)
        raise AssertionError(f"never ends: {active}")

    def _make_due(self) -> None:
        self.let_leases_end()
        self.let_waits_end()
        self._put_back("resend_at")

    def may_use_its_token(self) -> bool:
        self.integration.refresh_from_db()
        credential = self.integration.credential
        return credential is not None and credential.is_active

    def heard(self, *, until: int = 0) -> list[int]:
        """Return the numbers of the team's live events since the last time, at least up to one."""
        numbers: list[int] = []
        while message := self._events.get_message(timeout=0):
            numbers += self._number_of(message)
        while until and until not in numbers:
            message = self._events.get_message(timeout=EVENT_TIMEOUT_S)
            assert message is not None, f"event {until} never came; heard {numbers}"
            numbers += self._number_of(message)
        return numbers

    def _number_of(self, message: dict[str, Any]) -> list[int]:
        event = json.loads(message["data"])
        is_ours = event["channel"] == channel_of(self.team.pk)
        return [event["pub_id"]] if is_ours and "pub_id" in event else []
