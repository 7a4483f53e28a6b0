"""What the live card tells: how long it takes yet, who waits, and where the names are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from integrations.constants import (
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_SYNCING,
    MemberChangeKind,
    RunTrigger,
)
from integrations.live.cards import HELD_NAMES_MAX, MemberSyncCard
from integrations.live.fragments import preview_event
from integrations.models import GitHubIntegration, HeldDeparture, MemberChange, SyncRun
from integrations.services import transitions
from integrations.services.runs import start_run
from integrations.templatetags.rollcall import duration
from tests.factories import GitHubIntegrationFactory, SyncRunFactory, TeamMemberFactory

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import Team, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def integration(acme: Team) -> GitHubIntegration:
    return GitHubIntegrationFactory(team=acme)


def card_of(integration: GitHubIntegration) -> str:
    card = MemberSyncCard.of(integration)
    return render_to_string("integrations/partials/member_sync_progress.html", {"card": card})


class TestTimeLeft:
    def test_it_follows_from_the_pace(self) -> None:
        now = timezone.now()
        run = SyncRun(paced_at=now - timedelta(seconds=10), expected_count=400, created_count=100)
        assert run.expected_end(now) == now + timedelta(seconds=30)

    def test_what_was_read_before_a_wait_is_no_part_of_it(self) -> None:
        now = timezone.now()
        run = SyncRun(
            paced_at=now - timedelta(seconds=10), paced_count=300,
            expected_count=400, created_count=320,
        )  # fmt: skip
        assert run.expected_end(now) == now + timedelta(seconds=40)

    @pytest.mark.parametrize(
        "run",
        [
            SyncRun(expected_count=400, created_count=100),
            SyncRun(paced_at=timezone.now(), created_count=100),
            SyncRun(paced_at=timezone.now(), expected_count=400),
        ],
    )
    def test_what_can_t_be_told_is_not(self, run: SyncRun) -> None:
        assert run.expected_end(timezone.now()) is None

    def test_more_than_expected_is_over_at_once(self) -> None:
        now = timezone.now()
        run = SyncRun(paced_at=now - timedelta(seconds=9), expected_count=5, created_count=9)
        assert run.expected_end(now) == now

    def test_a_slice_keeps_the_pace_and_a_wait_begins_another(
        self, integration: GitHubIntegration
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        lease = transitions.claim(run.pk)
        assert lease is not None
        began = lease.run.paced_at
        SyncRun.objects.update(lease_token=None, lease_expires_at=None, created_count=100)
        again = transitions.claim(run.pk)
        assert again is not None
        assert (again.run.paced_at, again.run.paced_count) == (began, 0)
        transitions.wait(again, resume_at=timezone.now(), reason="rate_limited")
        after = transitions.claim(run.pk)
        assert after is not None
        assert after.run.paced_at != began
        assert after.run.paced_count == 100

    def test_the_card_shows_it_while_it_reads(self, integration: GitHubIntegration) -> None:
        GitHubIntegration.objects.update(member_sync_status=SYNC_STATUS_SYNCING)
        SyncRunFactory(
            integration=integration, status=SYNC_STATUS_SYNCING, expected_count=400,
            created_count=100, paced_at=timezone.now() - timedelta(seconds=10),
        )  # fmt: skip
        integration.refresh_from_db()
        assert 'data-time="left"' in card_of(integration)


class TestWhoWaits:
    def test_some_are_named_and_the_others_counted(self, integration: GitHubIntegration) -> None:
        GitHubIntegration.objects.update(
            member_sync_status=SYNC_STATUS_COMPLETE, member_sync_result={"held": 8}
        )
        SyncRunFactory(integration=integration, status=SYNC_STATUS_COMPLETE)
        for number in range(8):
            member = TeamMemberFactory(team=integration.team, github_username=f"gone-{number}")
            HeldDeparture.objects.create(member=member, held_at=timezone.now())
        integration.refresh_from_db()
        card = MemberSyncCard.of(integration)
        assert card.held_names == tuple(f"gone-{number}" for number in range(HELD_NAMES_MAX))
        assert card.held_count == 8
        assert "@gone-4" in card_of(integration)
        assert "and 3 more" in card_of(integration)


class TestWhyItWaits:
    """Being asked to wait and not getting through are two things; a limit is nobody's fault."""

    @pytest.mark.parametrize(
        ("reason", "words", "detail"),
        [
            ("rate_limited", "GitHub asks us to wait", "Resuming at"),
            ("github_unavailable", "GitHub can't be reached", "Trying again at"),
            ("page_too_large", "GitHub didn't answer properly", "Trying again at"),
            ("token_refreshed", "The connection to GitHub was renewed", "Resuming at"),
        ],
    )
    @pytest.mark.parametrize("is_preview", [False, True])
    def test_the_card_says_which(
        self,
        integration: GitHubIntegration,
        is_preview: bool,
        reason: str,
        words: str,
        detail: str,
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL, is_preview=is_preview).run
        # An outage before is not why it waits now.
        for why in ("github_unavailable", reason):
            lease = transitions.claim(run.pk)
            assert lease is not None
            transitions.wait(lease, resume_at=timezone.now(), reason=why)
        if is_preview:
            run.refresh_from_db()
            page = preview_event(run, team_id=integration.team_id).data
        else:
            integration.refresh_from_db()
            page = card_of(integration)
        assert words in page
        assert detail in page
        others = {"Resuming at", "Trying again at"} - {detail}
        assert not any(other in page for other in others)

    def test_a_run_at_work_asks_no_reason(
        self, integration: GitHubIntegration, django_assert_num_queries: Any
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        assert transitions.claim(run.pk) is not None
        at_work = GitHubIntegration.objects.select_related("team").get(pk=integration.pk)
        with django_assert_num_queries(1):
            assert MemberSyncCard.of(at_work).wait_reason == ""


class TestItsTurn:
    def test_it_says_how_many_wait_before_it(self, integration: GitHubIntegration) -> None:
        SyncRunFactory()
        SyncRunFactory(status=SYNC_STATUS_SYNCING)
        SyncRunFactory(resume_at=timezone.now())
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        SyncRunFactory()
        integration.refresh_from_db()
        assert run.ahead_count() == 1
        assert "1 other sync is ahead of it." in card_of(integration)


class TestCounts:
    def test_they_lead_to_the_names(
        self, client: Client, integration: GitHubIntegration, bob: User
    ) -> None:
        now = timezone.now()
        GitHubIntegration.objects.update(
            member_sync_status=SYNC_STATUS_COMPLETE, member_sync_result={"created": 1},
            member_sync_started_at=now - timedelta(seconds=65), member_sync_completed_at=now,
        )  # fmt: skip
        run = SyncRunFactory(integration=integration, status=SYNC_STATUS_COMPLETE)
        for login, kind in (
            ("ann", MemberChangeKind.JOINED), ("ray", MemberChangeKind.RETURNED),
            ("lea", MemberChangeKind.LEFT), ("ren", MemberChangeKind.PROMOTED),
        ):  # fmt: skip
            MemberChange.objects.create(
                team=integration.team, run=run, github_id=1, github_username=login, kind=kind,
                at=now,
            )  # fmt: skip
        integration.refresh_from_db()
        address = reverse("github_run", args=["acme", run.pk])
        html = card_of(integration)
        assert f'href="{address}?kind=joined"' in html
        assert "took 1 min 5 s" in html
        client.force_login(bob)
        for group, logins in (
            ("joined", {"ann", "ray"}), ("left", {"lea"}), ("changed", {"ren"}),
            ("odd", {"ann", "ray", "lea", "ren"}),
        ):  # fmt: skip
            changes = client.get(address, {"kind": group}).context["changes"]
            assert {change.github_username for change, _ in changes} == logins


class TestDuration:
    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(0.2, "1 s"), (59, "59 s"), (60, "1 min 0 s"), (3_725, "1 h 2 min")],
    )
    def test_it_is_told_in_two_units(self, seconds: float, words: str) -> None:
        assert duration(timedelta(seconds=seconds)) == words
