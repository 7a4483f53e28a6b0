"""Which run and team a message is about, for each of the product's actors."""

from __future__ import annotations

from typing import Any

import dramatiq
import pytest

from integrations import tasks
from integrations.models import WebhookInbox
from integrations.ops.message_shapes import Subject
from integrations.ops.subjects import (
    KIND_OF_ACTOR,
    Addressed,
    subjects_of,
    token_of,
    tokens_of_team,
)
from tests.factories import (
    GitHubIntegrationFactory,
    IntegrationCredentialFactory,
    SyncRunFactory,
    TeamFactory,
)

pytestmark = pytest.mark.django_db(transaction=True)


def subject_of(actor: dramatiq.Actor[Any, Any], *args: Any) -> Subject | None:
    return subjects_of([Addressed("m", actor.actor_name, list(args))]).get("m")


def test_every_actor_with_an_argument_says_whom_it_is_about() -> None:
    without = {tasks.search_deliveries_task.actor_name}
    ours = {one.actor_name for one in vars(tasks).values() if isinstance(one, dramatiq.Actor)}
    assert ours - without == KIND_OF_ACTOR.keys()


def test_each_kind_of_argument_leads_to_its_team() -> None:
    run = SyncRunFactory(integration__team__slug="acme")
    integration = run.integration
    team = integration.team
    inbox = WebhookInbox.objects.create(account_id=integration.organization_id)
    about = Subject(None, team.pk, team.name, "acme")
    of_run = Subject(run.pk, team.pk, team.name, "acme")
    assert subject_of(tasks.sync_github_members_task, run.pk) == of_run
    assert subject_of(tasks.sync_repository_manual_task, run.pk) == of_run
    assert subject_of(tasks.read_people_task, integration.pk) == about
    assert subject_of(tasks.notify_admins_task, integration.credential_id) == about
    assert subject_of(tasks.apply_webhooks_task, inbox.pk) == about
    assert subject_of(tasks.search_deliveries_task) is None
    assert tokens_of_team("ACME") == {
        f"r{run.pk}", f"i{integration.pk}", f"c{integration.credential_id}", f"w{inbox.pk}",
    }  # fmt: skip


def test_an_account_that_two_teams_watch_is_told_by_the_first() -> None:
    first = GitHubIntegrationFactory(organization_id=77)
    GitHubIntegrationFactory(organization_id=77)
    inbox = WebhookInbox.objects.create(account_id=77)
    found = subject_of(tasks.apply_webhooks_task, inbox.pk)
    assert found is not None
    assert found.team_id == first.team_id


@pytest.mark.parametrize("args", [[], ["x"], [None], [True], [2**70], [[1]], [{"a": 1}], [-1]])
def test_what_is_no_id_leads_nowhere(args: list[Any]) -> None:
    for actor in KIND_OF_ACTOR:
        assert subjects_of([Addressed("m", actor, args)]) == {}
    assert token_of("no such actor", [1]) == ""


def test_a_team_without_anything_has_no_messages() -> None:
    TeamFactory(slug="new")
    credential = IntegrationCredentialFactory(team__slug="other")
    assert tokens_of_team("new") == set()
    assert tokens_of_team("other") == {f"c{credential.pk}"}
