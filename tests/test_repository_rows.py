"""Rows of the table of repositories that are kept: nobody is shown what is not so any more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integrations.constants import RunTrigger
from integrations.models import SyncRun, TrackedRepository
from integrations.services.runs import start_run
from integrations.views import repository_rows
from tests.factories import TrackedRepositoryFactory
from tests.kept_rows import post_form_of_row, rendered_with
from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, User

TEMPLATE = REPOSITORY / "templates" / repository_rows.TEMPLATE

pytestmark = pytest.mark.django_db
# Another value of every column that a row shows.
MOVES: dict[str, Any] = {
    "name": "renamed",
    "description": "Something else.",
    "is_private": True,
    "is_archived": True,
    "is_tracked": True,
    "gone_at": timezone.now(),
    "sync_status": "complete",
}


@pytest.fixture
def repository(integration: GitHubIntegration) -> TrackedRepository:
    repository: TrackedRepository = TrackedRepositoryFactory(integration=integration)
    return repository


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[TrackedRepository]:
    """The repositories whose rows were rendered, in order; none are kept before."""
    return rendered_with(monkeypatch, repository_rows.TEMPLATE, "repository")


def table(user: User, **headers: Any) -> str:
    """Return the table without the forms' tokens."""
    client = Client()
    client.force_login(user)
    html = client.get(reverse("github_repos", args=["acme"]), **headers).content.decode()
    table = html[html.index("<tbody>") : html.index("</tbody>")]
    return re.sub(r'csrfmiddlewaretoken" value="\w+"', "", table)


def test_a_row_is_rendered_once_for_all_who_see_the_same(
    alice: User, repository: TrackedRepository, rendered: list[TrackedRepository]
) -> None:
    first = table(alice)
    assert repository.name in first
    assert table(alice) == first
    assert rendered == [repository]


@pytest.mark.parametrize("column", MOVES)
def test_a_change_of_the_repository_is_seen(
    alice: User, repository: TrackedRepository, rendered: list[TrackedRepository], column: str
) -> None:
    before = table(alice)
    TrackedRepository.objects.filter(pk=repository.pk).update(**{column: MOVES[column]})
    assert table(alice) != before


def test_where_its_sync_stands_is_seen(
    alice: User, repository: TrackedRepository, rendered: list[TrackedRepository]
) -> None:
    assert 'data-state="never"' in table(alice)
    run = start_run(repository.integration, trigger=RunTrigger.MANUAL, repository=repository).run
    assert 'data-state="pending"' in table(alice)
    SyncRun.objects.filter(pk=run.pk).update(resume_at=timezone.now())
    assert 'data-state="waiting"' in table(alice)


def test_every_column_that_the_row_reads_is_told_apart() -> None:
    names = {field.attname for field in TrackedRepository._meta.concrete_fields}
    template = TEMPLATE.read_text()
    read = [
        name for name in repository_rows.NOT_SHOWN if re.search(rf"repository\.{name}\b", template)
    ]
    assert read == []
    assert names >= repository_rows.NOT_SHOWN


def test_a_push_renders_nothing(
    alice: User, repository: TrackedRepository, rendered: list[TrackedRepository]
) -> None:
    table(alice)
    TrackedRepository.objects.filter(pk=repository.pk).update(pushed_at=timezone.now())
    table(alice)
    assert rendered == [repository]


def test_who_may_not_switch_gets_no_switch(
    alice: User, bob: User, repository: TrackedRepository, rendered: list[TrackedRepository]
) -> None:
    assert 'role="switch"' in table(alice)
    assert 'role="switch"' not in table(bob)


def test_each_language_has_its_own(
    alice: User, repository: TrackedRepository, rendered: list[TrackedRepository]
) -> None:
    assert "Not synced yet" in table(alice)
    assert "Not synced yet" not in table(alice, HTTP_ACCEPT_LANGUAGE="de")
    assert "Not synced yet" in table(alice)


def test_the_form_carries_the_token_of_who_asks(
    alice: User, repository: TrackedRepository, rendered: list[TrackedRepository]
) -> None:
    page = reverse("github_repos", args=["acme"])
    action = reverse("github_repo_toggle", args=["acme", repository.pk])
    for _ in range(2):
        post_form_of_row(alice, page, f"repository-{repository.pk}", action, tracked="true")
    assert rendered[0] == repository
