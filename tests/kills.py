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
        return [call["at"] for call in calls if call["operation"] == "Members"]

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
    # By interruption: pages that had been answered and were not written yet.
    read_again: list[int] = field(default_factory=list)
    # By run: how often it was cut off, and how many pages more were asked for than written.
    asked_again: list[tuple[int, int]] = field(default_factory=list)
    run_count: int = 0

    def note_kill(self, at: datetime, sites: list[Site]) -> None:
        """Write down whom the kill cut off: runs whose lease is held though nobody is there."""
        self.kills.append(at)
        by_run = {site.run.pk: site for site in sites if site.run is not None}
        cut_off = SyncRun.objects.active().filter(pk__in=by_run, lease_token__isnull=False)
        known = {(one.run_id, one.attempt) for one in self.interruptions}
        for run in cut_off:
            if (run.pk, run.claim_count) not in known:
                calls = by_run[run.pk].page_calls()
                self._note_interruption(run, at, calls)

    def _note_interruption(self, run: SyncRun, at: datetime, calls: list[float]) -> None:
        """Add one, with the pages that had been answered to this worker and were not written."""
        before = [one.page_count for one in self.interruptions if one.run_id == run.pk]
        written = run.page_count - (before[-1] if before else 0)
        since = claimed_at(run.pk, attempt=run.claim_count).timestamp()
        answered = [call for call in calls if since <= call <= at.timestamp()]
        self.interruptions.append(Interruption(run.pk, run.claim_count, at, run.page_count))
        self.read_again.append(len(answered) - written)

    def note_end(self, site: Site) -> None:
        """Check a run that is over, and count the pages that it asked for again."""
        run = site.run
        assert run is not None
        run.refresh_from_db()
        assert run.status == SYNC_STATUS_COMPLETE, (run.status, run.error_code)
        assert run.sweep_blocked_by == ""
        assert site.roster() == site.truth()
        asked_again = len(site.page_calls_of_run()) - run.page_count
        cut_off_count = sum(one.run_id == run.pk for one in self.interruptions)
        self.asked_again.append((cut_off_count, asked_again))
        self.run_count += 1
        site.ended_count += 1

    def pauses_s(self) -> list[float]:
        """Return how long each run cut off stood still: until its next claim, after the last kill.

        A worker that is killed before it got round to the run starts the clock again.
        """
        return [self._pause_s(one) for one in self.interruptions]

    def _pause_s(self, cut_off: Interruption) -> float:
        goes_on_at = claimed_at(cut_off.run_id, attempt=cut_off.attempt + 1)
        last_kill = max(kill for kill in self.kills if cut_off.killed_at <= kill <= goes_on_at)
        return (goes_on_at - last_kill).total_seconds()


def claimed_at(run_id: int, *, attempt: int) -> datetime:
    claims = StatusTransition.objects.filter(run=run_id, attempt=attempt).order_by("pk")
    at: datetime = claims[0].at
    return at


def now() -> datetime:
    return timezone.now()


def counts_of(values: list[Any]) -> dict[Any, int]:
    return {value: values.count(value) for value in sorted(set(values))}


def as_facts(record: Record) -> dict[str, Any]:
    """Return the figures to print."""
    return {
        "kills": len(record.kills),
        "runs cut off": len(record.interruptions),
        "runs": record.run_count,
        "pages written at the cut": counts_of([one.page_count for one in record.interruptions]),
        "read again": counts_of(record.read_again),
        "cut off, asked again": counts_of(record.asked_again),
        "longest pause": round(max(record.pauses_s()), 1),
    }
