"""Syncs of many organisations at once while their worker is killed again and again.

Keeps what each kill found: which runs it cut off, how far they were, and when they went on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from integrations import tasks
from integrations.constants import SYNC_STATUS_COMPLETE, RunTrigger
from integrations.models import StatusTransition, SyncRun
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory, IntegrationCredentialFactory

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from integrations.models import GitHubIntegration
    from tests.sandbox_control import SandboxControl, SandboxOrganization


@dataclass(frozen=True)
class Interruption:
    """A run that was cut off by a kill, and how many pages it had written by then."""

    run_id: int
    attempt: int
    killed_at: datetime
    page_count: int


@dataclass
class Site:
    """One organisation, the team tied to it, and its syncs one after the other."""

    organization: SandboxOrganization
    integration: GitHubIntegration
    run: SyncRun | None = None
    # Calls for a page before the present run, which are none of its business.
    calls_before: int = 0
    ended_count: int = 0

    @classmethod
    def make(cls, sandbox: SandboxControl, *, size: int, latency_ms: float) -> Site:
        organization = sandbox.organization(size=size)
        organization.slow_down(latency_ms)
        credential = IntegrationCredentialFactory(
            access_token=organization.token, github_username=organization.owner
        )
        return cls(
            organization,
            GitHubIntegrationFactory(
                team=credential.team,
                credential=credential,
                organization_id=organization.id,
                organization_login=organization.login,
            ),
        )

    def start(self) -> SyncRun:
        self.calls_before = len(self.page_calls())
        self.run = start_run(self.integration, trigger=RunTrigger.MANUAL).run
        tasks.sync_github_members_later(self.run)
        return self.run

    def page_calls(self) -> list[float]:
        """Return when each page was answered, oldest first."""
        calls = self.organization.requests()
        return [call["at"] for call in calls if call["kind"] == "graphql"]

    def page_calls_of_run(self) -> list[float]:
        return self.page_calls()[self.calls_before :]

    def change(self, random: Random) -> None:
        """Let two leave, one join and one take another name: the next sync has work to do."""
        others = [
            facts["login"]
            for facts in self.organization.members().values()
            if facts["login"] != self.organization.owner
        ]
        for login in random.sample(others, 2):
            self.organization.remove(login)
            others.remove(login)
        self.organization.add()
        renamed = random.choice(others)
        self.organization.change(renamed, login=f"{renamed[:30]}-{self.ended_count}")

    def roster(self) -> dict[int, tuple[str, str]]:
        members = self.integration.team.members.active()
        return {
            github_id: (login, role)
            for github_id, login, role in members.values_list(
                "github_id", "github_username", "role"
            )
        }

    def truth(self) -> dict[int, tuple[str, str]]:
        return {
            github_id: (facts["login"], facts["role"])
            for github_id, facts in self.organization.members().items()
        }


@dataclass
class Record:
    """What the kills did."""

    interruptions: list[Interruption] = field(default_factory=list)
    kills: list[datetime] = field(default_factory=list)
    # By run: pages asked for more often than written, and those of them that had been answered.
    asked_again: dict[int, int] = field(default_factory=dict)
    read_again: list[int] = field(default_factory=list)
    run_count: int = 0

    def note_kill(self, at: datetime, sites: list[Site]) -> int:
        """Write down whom the kill cut off: runs whose lease is held though nobody is there."""
        self.kills.append(at)
        by_run = {site.run.pk: site for site in sites if site.run is not None}
        cut_off = SyncRun.objects.active().filter(pk__in=by_run, lease_token__isnull=False)
        known = {(one.run_id, one.attempt) for one in self.interruptions}
        new = [run for run in cut_off if (run.pk, run.claim_count) not in known]
        for run in new:
            self.interruptions.append(Interruption(run.pk, run.claim_count, at, run.page_count))
            answered = [
                call for call in by_run[run.pk].page_calls_of_run() if call <= at.timestamp()
            ]
            self.read_again.append(len(answered) - run.page_count)
        return len(new)

    def note_end(self, site: Site) -> None:
        """Check a run that is over, and count the pages that it asked for again."""
        run = site.run
        assert run is not None
        run.refresh_from_db()
        assert run.status == SYNC_STATUS_COMPLETE, (run.status, run.error_code)
        assert run.sweep_blocked_by == ""
        assert site.roster() == site.truth()
        self.asked_again[run.pk] = len(site.page_calls_of_run()) - run.page_count
        self.run_count += 1
        site.ended_count += 1

    def interruptions_of(self, run_id: int) -> int:
        return sum(one.run_id == run_id for one in self.interruptions)

    def pauses_s(self) -> list[float]:
        """Return how long each run cut off stood still: until its next claim, after the last kill.

        A worker that is killed before it got round to the run starts the clock again.
        """
        return [self._pause_s(one) for one in self.interruptions]

    def _pause_s(self, cut_off: Interruption) -> float:
        claimed_at = _claimed_at(cut_off.run_id, attempt=cut_off.attempt + 1)
        last_kill = max(kill for kill in self.kills if cut_off.killed_at <= kill <= claimed_at)
        return (claimed_at - last_kill).total_seconds()


def _claimed_at(run_id: int, *, attempt: int) -> datetime:
    claims = StatusTransition.objects.filter(run=run_id, attempt=attempt).order_by("pk")
    at: datetime = claims[0].at
    return at


def now() -> datetime:
    return timezone.now()


def counts_of(values: list[int]) -> dict[int, int]:
    return {value: values.count(value) for value in sorted(set(values))}


def as_facts(record: Record) -> dict[str, Any]:
    """Return the figures to print."""
    return {
        "kills": len(record.kills),
        "runs cut off": len(record.interruptions),
        "runs": record.run_count,
        "pages written at the cut": counts_of([one.page_count for one in record.interruptions]),
        "read again": counts_of(record.read_again),
        "asked again, by run": counts_of(list(record.asked_again.values())),
        "longest pause": round(max(record.pauses_s()), 1),
    }
