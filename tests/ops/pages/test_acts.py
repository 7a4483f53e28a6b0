"""What an operator does to queues and runs, and the list of such acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from integrations.constants import OperatorActKind
from integrations.models import OperatorAct, PausedQueue, User
from tests.ops import samples
from tests.ops.pages.reading import words_of

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import SyncRun

pytestmark = pytest.mark.django_db


class TestQueues:
    def test_pause_and_resume_are_done_and_written_down(self, operator: Client, olga: User) -> None:
        operator.post(reverse("ops_queue_pause", args=["scheduled"]))
        assert PausedQueue.objects.get().paused_by == olga
        response = operator.post(reverse("ops_queue_resume", args=["scheduled"]), follow=True)
        assert "The queue scheduled goes on." in words_of(response)
        assert not PausedQueue.objects.exists()
        kinds = OperatorAct.objects.order_by("pk").values_list("kind", flat=True)
        assert list(kinds) == [OperatorActKind.PAUSE, OperatorActKind.RESUME]

    def test_there_is_no_other_queue(self, operator: Client) -> None:
        for name in ("ops_queue_pause", "ops_queue_resume"):
            assert operator.post(reverse(name, args=["other"])).status_code == 404

    def test_to_forget_what_is_not_there_is_no_act(self, operator: Client) -> None:
        response = operator.post(reverse("ops_process_forget", args=["x"]))
        assert response.status_code == 302
        assert not OperatorAct.objects.exists()


class TestRuns:
    def test_they_are_found_by_state_and_cause(self, operator: Client, failed_run: SyncRun) -> None:
        address = reverse("ops_runs")
        assert "No runs" in words_of(operator.get(address))
        for chosen in ({"state": "failed"}, {"cause": "github_unavailable"}):
            assert f'id="run-{failed_run.pk}"' in words_of(operator.get(address, chosen))

    def test_retry_and_cancel_are_done_and_written_down(
        self, operator: Client, failed_run: SyncRun, django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            operator.post(reverse("ops_run_retry", args=[failed_run.pk]))
        started = failed_run.integration.runs.latest("pk")
        assert started.is_active
        back = f"{reverse('ops_runs')}?state=running"
        response = operator.post(reverse("ops_run_cancel", args=[started.pk]), {"back": back})
        assert response.headers["Location"] == back
        started.refresh_from_db()
        assert not started.is_active
        kinds = OperatorAct.objects.order_by("pk").values_list("kind", flat=True)
        assert list(kinds) == [OperatorActKind.RETRY_RUN, OperatorActKind.CANCEL_RUN]

    @pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example/", "/t/acme/"])
    def test_an_act_leads_back_to_operations_only(
        self, operator: Client, failed_run: SyncRun, back: str
    ) -> None:
        response = operator.post(reverse("ops_run_cancel", args=[failed_run.pk]), {"back": back})
        assert response.headers["Location"] == reverse("ops")

    def test_a_run_that_is_none_is_not_there(self, operator: Client) -> None:
        for name in ("ops_run_retry", "ops_run_cancel"):
            assert operator.post(reverse(name, args=[99])).status_code == 404


class TestActs:
    def test_they_are_listed_with_who_and_what(self, operator: Client) -> None:
        OperatorAct.objects.create(
            by="command line", kind=OperatorActKind.DRAIN, subject=samples.HOSTILE, count=1_204
        )
        page = words_of(operator.get(reverse("ops_acts")))
        assert "command line" in page
        assert "1,204" in page
        assert "<script>alert" not in page
