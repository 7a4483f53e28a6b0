"""Deliveries that come while the whole list is read, or after it: case 14."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from integrations.models import MemberChange, SyncRun, WebhookDelivery
from integrations.services import member_sync
from integrations.services.roster import write_page
from tests.syncing import connect, roster, start, sync, work_on
from tests.webhook_deliveries import membership_payload, person, post, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from tests.sandbox_control import SandboxControl

pytestmark = pytest.mark.django_db(transaction=True)


class TestBesideAFullRead:
    """Case 14: a full read that began before a webhook never undoes it, nor the other way round."""

    @pytest.mark.parametrize("moment", ["before the page", "after the page"])
    def test_case_14_who_is_added_during_a_read_stays(
        self, client: Client, sandbox: SandboxControl, moment: str
    ) -> None:
        organization = sandbox.organization(size=4)
        integration = connect(organization)
        sync(integration)
        run = start(integration)
        SyncRun.objects.filter(pk=run.pk).update(started_at=timezone.now())
        payload = membership_payload(integration, "member_added", person(7))
        if moment == "before the page":
            post(client, "organization", payload)
            work()
            work_on(run)
        else:

            def meanwhile() -> None:
                post(client, "organization", payload)
                work()

            _work_and_meanwhile(run, meanwhile)
        run.refresh_from_db()
        assert run.status == "complete"
        assert integration.team.members.get(github_id=7).is_active

    def test_case_14_who_is_removed_during_a_read_stays_away(
        self, client: Client, sandbox: SandboxControl
    ) -> None:
        organization = sandbox.organization(size=4)
        integration = connect(organization)
        sync(integration)
        gone, stranger = organization.somebody(), person(7)
        run = start(integration)

        def meanwhile() -> None:
            for who in (person(gone["id"], gone["login"]), stranger):
                post(client, "organization", membership_payload(integration, "member_removed", who))
            work()

        _work_and_meanwhile(run, meanwhile)
        assert not integration.team.members.get(github_id=gone["id"]).is_active
        kinds = MemberChange.objects.filter(github_id=gone["id"]).order_by("pk")
        assert [one.kind for one in kinds] == ["joined", "left"]

    def test_case_14_a_late_delivery_changes_nothing_that_a_read_knows(
        self, client: Client, sandbox: SandboxControl
    ) -> None:
        organization = sandbox.organization(size=4)
        integration = connect(organization)
        happened = timezone.now()
        sync(integration)
        there = organization.somebody()
        for action, who in (
            ("member_removed", person(there["id"], there["login"])),
            ("member_added", person(7)),
        ):
            post(client, "organization", membership_payload(integration, action, who), at=happened)
        work()
        assert roster(integration) == organization.members()
        assert set(WebhookDelivery.objects.values_list("outcome", flat=True)) == {"not_news"}


def _work_and_meanwhile(run: SyncRun, meanwhile: Callable[[], None]) -> None:
    """Work on a run whose first page has been asked for when something else happens."""

    def write(lease: Any, page: Any) -> None:
        meanwhile()
        write_page(lease, page)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(member_sync, "write_page", write)
        work_on(run)
