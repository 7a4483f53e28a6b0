"""Previews: what a sync would change, changing nothing, and applied while nothing moved."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from integrations.constants import (
    PREVIEW_VALID_FOR,
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_PENDING,
    MemberChangeKind,
    RunTrigger,
)
from integrations.models import GitHubIntegration, MemberChange, SyncRun
from integrations.services import previews
from integrations.services.runs import start_run
from integrations.services.switching import switch_member
from tests.syncing import connect, remove, roster, start, sync, truth, work_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.models import User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=120)


@pytest.fixture
def integration(organization: SandboxOrganization) -> GitHubIntegration:
    integration = connect(organization)
    sync(integration)
    return integration


def preview(integration: GitHubIntegration) -> SyncRun:
    return work_on(start_run(integration, trigger=RunTrigger.MANUAL, is_preview=True).run)


def apply(found: SyncRun) -> SyncRun:
    return work_on(previews.apply(found, person=None).run)


def plan(found: SyncRun) -> dict[str, str]:
    return dict(found.planned_changes.values_list("github_username", "kind"))


@pytest.fixture
def moved(integration: GitHubIntegration, organization: SandboxOrganization) -> dict[str, str]:
    """Change something of everything at GitHub; returns the plan that a preview should make."""
    [gone] = remove(organization, 1)
    people = [one for one in organization.members().values() if one["login"] != organization.owner]
    renamed, promoted = people[0], next(one for one in people[1:] if one["role"] == "member")
    organization.change(renamed["login"], login=f"{renamed['login']}-new")
    organization.change(promoted["login"], role="admin")
    added = organization.add()
    return {
        gone: MemberChangeKind.LEFT,
        f"{renamed['login']}-new": MemberChangeKind.RENAMED,
        promoted["login"]: MemberChangeKind.PROMOTED,
        added["login"]: MemberChangeKind.JOINED,
    }


class TestAPreview:
    def test_it_names_every_change_and_makes_none(
        self, integration: GitHubIntegration, moved: dict[str, str]
    ) -> None:
        before, changes = roster(integration), MemberChange.objects.count()
        completed_at = integration.member_sync_completed_at
        found = preview(integration)
        assert found.status == SYNC_STATUS_COMPLETE
        assert plan(found) == moved
        assert roster(integration) == before
        assert MemberChange.objects.count() == changes
        integration.refresh_from_db()
        assert integration.member_sync_completed_at == completed_at
        assert (found.created_count, found.updated_count, found.departed_count) == (1, 2, 1)

    def test_of_nothing_changed_it_plans_nothing(self, integration: GitHubIntegration) -> None:
        assert plan(preview(integration)) == {}

    def test_it_says_whom_the_guard_would_hold(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        gone = remove(organization, 20)
        found = preview(integration)
        assert plan(found) == dict.fromkeys(gone, MemberChangeKind.HELD)
        assert apply(found).held_count == 20
        assert integration.team.members.active().count() == 120

    def test_a_first_one_plans_everybody_once_even_if_listed_twice(
        self, sandbox: SandboxControl
    ) -> None:
        organization = sandbox.organization(size=150)
        integration = connect(organization)
        organization.fault("duplicate_member")
        found = preview(integration)
        assert set(plan(found).values()) == {MemberChangeKind.JOINED}
        assert found.created_count == len(plan(found)) == 150
        assert integration.team.members.count() == 0
        assert integration.member_sync_status == SYNC_STATUS_PENDING

    def test_beside_a_sync_neither_disturbs_the_other(
        self,
        integration: GitHubIntegration,
        moved: dict[str, str],
        organization: SandboxOrganization,
    ) -> None:
        syncing = start(integration)
        found = preview(integration)
        assert plan(found) == moved
        work_on(syncing)
        assert syncing.departed_count == 1
        assert roster(integration) == truth(organization)

    def test_it_ends_in_error_without_touching_where_the_members_stand(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        organization.fault("not_found")
        found = preview(integration)
        assert found.status == SYNC_STATUS_ERROR
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_COMPLETE
        assert integration.member_sync_error == ""


class TestApplying:
    def test_it_writes_what_was_shown_without_another_walk(
        self,
        integration: GitHubIntegration,
        moved: dict[str, str],
        organization: SandboxOrganization,
    ) -> None:
        found = preview(integration)
        pages = sum(call["path"] == "/api/graphql" for call in organization.requests())
        applied = apply(found)
        assert applied.status == SYNC_STATUS_COMPLETE
        assert applied.trigger == RunTrigger.PREVIEW
        assert roster(integration) == truth(organization)
        changes = MemberChange.objects.filter(run=applied)
        assert dict(changes.values_list("github_username", "kind")) == moved
        assert sum(call["path"] == "/api/graphql" for call in organization.requests()) == pages

    def test_a_second_click_is_told_that_it_is_done(
        self, integration: GitHubIntegration, moved: dict[str, str]
    ) -> None:
        found = preview(integration)
        apply(found)
        with pytest.raises(previews.PreviewStale, match="preview_applied"):
            previews.apply(found, person=None)

    def test_a_switch_by_hand_since_then_makes_it_stale(
        self, integration: GitHubIntegration, moved: dict[str, str], alice: User
    ) -> None:
        found = preview(integration)
        member = integration.team.members.active().first()
        assert member is not None
        switch_member(member, active=False, person=alice)
        assert previews.why_not_applicable(found) == "preview_stale"

    def test_a_sync_since_then_that_changed_something_makes_it_stale(
        self, integration: GitHubIntegration, moved: dict[str, str]
    ) -> None:
        found = preview(integration)
        sync(integration)
        assert previews.why_not_applicable(found) == "preview_stale"

    def test_another_organisation_makes_it_stale(
        self, integration: GitHubIntegration, moved: dict[str, str]
    ) -> None:
        found = preview(integration)
        GitHubIntegration.objects.update(organization_id=1)
        found.refresh_from_db()
        assert previews.why_not_applicable(found) == "preview_stale"

    def test_it_waits_for_a_sync_under_way(
        self, integration: GitHubIntegration, moved: dict[str, str]
    ) -> None:
        found = preview(integration)
        start(integration)
        assert previews.why_not_applicable(found) == "sync_running"

    def test_after_a_while_it_is_too_old(
        self, integration: GitHubIntegration, moved: dict[str, str]
    ) -> None:
        found = preview(integration)
        found.finished_at = timezone.now() - PREVIEW_VALID_FOR - timedelta(seconds=1)
        found.save()
        assert previews.why_not_applicable(found) == "preview_expired"

    def test_somebody_who_came_back_meanwhile_stays(
        self,
        integration: GitHubIntegration,
        moved: dict[str, str],
        organization: SandboxOrganization,
    ) -> None:
        found = preview(integration)
        [gone] = [login for login, kind in moved.items() if kind == MemberChangeKind.LEFT]
        organization.add(login=gone)
        assert apply(found).departed_count == 0
        assert roster(integration).keys() == truth(organization).keys()

    def test_it_goes_on_after_a_slice(
        self,
        sandbox: SandboxControl,
        monkeypatch: pytest.MonkeyPatch,
        wait_until: Callable[..., None],
    ) -> None:
        organization = sandbox.organization(size=250)
        integration = connect(organization)
        found = preview(integration)
        run = previews.apply(found, person=None).run
        monkeypatch.setattr("integrations.services.member_sync.SLICE_LENGTH", timedelta(seconds=0))
        slices = 0
        while run.is_active:
            work_on(run)
            slices += 1
        assert slices == 4
        assert run.created_count == 250
        assert roster(integration) == truth(organization)
