"""What a viewer gets who was away: the present state of each subject, from rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.test.signals import template_rendered
from django_eventstream.storage import EventDoesNotExist

from integrations.constants import RunTrigger
from integrations.live.channels import TeamChannels, channel_of, team_id_of
from integrations.live.replay import RowStorage, events_after
from integrations.models import Team
from integrations.services import transitions
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory, TrackedRepositoryFactory

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

    from integrations.models import GitHubIntegration, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def integration(acme: Team) -> GitHubIntegration:
    found: GitHubIntegration = GitHubIntegrationFactory(team=acme)
    return found


def replay(team: Team, last_id: int) -> list[tuple[int, str]]:
    return [
        (event.id, event.type) for event in RowStorage().get_events(channel_of(team.pk), last_id)
    ]


class TestRowStorage:
    def test_nothing_moved_nothing_comes(self, integration: GitHubIntegration) -> None:
        assert replay(integration.team, 0) == []
        assert RowStorage().get_current_id(channel_of(integration.team_id)) == 0

    def test_of_many_moves_of_one_subject_the_last_counts(
        self, integration: GitHubIntegration
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        transitions.claim(run.pk)
        transitions.fail(run, "gave_up")
        assert replay(integration.team, 0) == [(3, "member-sync")]
        assert replay(integration.team, 2) == [(3, "member-sync")]
        assert replay(integration.team, 3) == []

    def test_subjects_come_in_the_order_in_which_they_moved(
        self, integration: GitHubIntegration
    ) -> None:
        repository = TrackedRepositoryFactory(integration=integration)
        start_run(integration, trigger=RunTrigger.MANUAL, repository=repository)
        transitions.roster_changed(integration)
        start_run(integration, trigger=RunTrigger.MANUAL)
        assert replay(integration.team, 0) == [
            (1, "repository-sync"),
            (2, "roster"),
            (3, "member-sync"),
        ]

    def test_an_older_run_of_the_same_subject_is_not_told_again(
        self, integration: GitHubIntegration
    ) -> None:
        first = start_run(integration, trigger=RunTrigger.MANUAL).run
        transitions.fail(first, "gave_up")
        start_run(integration, trigger=RunTrigger.MANUAL)
        assert replay(integration.team, 0) == [(3, "member-sync")]

    def test_another_team_s_rows_are_not_told(self, integration: GitHubIntegration) -> None:
        other = GitHubIntegrationFactory()
        start_run(other, trigger=RunTrigger.MANUAL)
        assert replay(integration.team, 0) == []
        assert replay(other.team, 0) == [(1, "member-sync")]

    def test_the_limit_takes_the_oldest_so_that_none_is_skipped(
        self, integration: GitHubIntegration
    ) -> None:
        for _ in range(5):
            repository = TrackedRepositoryFactory(integration=integration)
            start_run(integration, trigger=RunTrigger.MANUAL, repository=repository)
        events = RowStorage().get_events(channel_of(integration.team_id), 1, limit=2)
        assert [event.id for event in events] == [2, 3]

    def test_an_id_from_the_future_asks_the_viewer_to_reload(
        self, integration: GitHubIntegration
    ) -> None:
        with pytest.raises(EventDoesNotExist):
            RowStorage().get_events(channel_of(integration.team_id), 7)

    def test_its_queries_do_not_grow_with_the_repositories(
        self, integration: GitHubIntegration, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(12):
            repository = TrackedRepositoryFactory(integration=integration)
            start_run(integration, trigger=RunTrigger.MANUAL, repository=repository)
        with django_assert_num_queries(3):
            assert len(replay(integration.team, 0)) == 12

    def test_a_page_of_many_renders_no_more_than_it_tells(
        self, integration: GitHubIntegration
    ) -> None:
        for _ in range(5):
            repository = TrackedRepositoryFactory(integration=integration)
            start_run(integration, trigger=RunTrigger.MANUAL, repository=repository)
        rendered: list[object] = []

        def note(template: object, **_: object) -> None:
            rendered.append(template)

        template_rendered.connect(note)
        try:
            RowStorage().get_events(channel_of(integration.team_id), 0, limit=2)
        finally:
            template_rendered.disconnect(note)
        assert len(rendered) == 2 * len(settings.LANGUAGES)

    def test_what_moves_while_it_reads_is_left_to_its_own_event(
        self, integration: GitHubIntegration
    ) -> None:
        """Told early, revision 2 would take a viewer past a 1 that was read too soon."""
        repository = TrackedRepositoryFactory(integration=integration)
        start_run(integration, trigger=RunTrigger.MANUAL, repository=repository)
        start_run(integration, trigger=RunTrigger.MANUAL)
        Team.objects.filter(pk=integration.team_id).update(revision=1)
        assert replay(integration.team, 0) == [(1, "repository-sync")]

    def test_its_fragments_are_those_of_the_page(self, integration: GitHubIntegration) -> None:
        start_run(integration, trigger=RunTrigger.MANUAL)
        [event] = RowStorage().get_events(channel_of(integration.team_id), 0)
        assert 'id="member-sync-status"' in event.data
        assert 'data-state="pending"' in event.data

    def test_rows_are_not_written_through_it(self) -> None:
        with pytest.raises(NotImplementedError):
            RowStorage().append_event("team-1", "roster", "")


class TestEventsAfter:
    def test_many_channels_are_read_by_two_queries(
        self, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        behind = {}
        for _ in range(5):
            integration = GitHubIntegrationFactory()
            repository = TrackedRepositoryFactory(integration=integration)
            start_run(integration, trigger=RunTrigger.MANUAL, repository=repository)
            transitions.roster_changed(integration)
            behind[channel_of(integration.team_id), 0] = 2
        with django_assert_num_queries(2):
            found = events_after(behind, limit=100)
        assert list(found) == list(behind)
        for (channel, _), events in found.items():
            assert [(one.channel, one.id, one.type) for one in events] == [
                (channel, 1, "repository-sync"),
                (channel, 2, "roster"),
            ]

    def test_each_id_and_each_channel_has_its_own(self, integration: GitHubIntegration) -> None:
        other = GitHubIntegrationFactory()
        for _ in range(3):
            for each in (integration, other):
                repository = TrackedRepositoryFactory(integration=each)
                start_run(each, trigger=RunTrigger.MANUAL, repository=repository)
        ours, theirs = channel_of(integration.team_id), channel_of(other.team_id)
        found = events_after({(ours, 0): 3, (ours, 1): 3, (theirs, 2): 3, (ours, 2): 2}, limit=2)
        told = {place: [event.id for event in events] for place, events in found.items()}
        assert told == {(ours, 0): [1, 2], (ours, 1): [2, 3], (theirs, 2): [3], (ours, 2): []}

    def test_a_channel_without_a_team_or_a_connection_has_none(self, acme: Team) -> None:
        behind = {("team-0", 0): 1, ("nonsense", 0): 1, (channel_of(acme.pk), 0): 1}
        assert events_after(behind, limit=2) == {place: [] for place in behind}


class TestTeamChannels:
    def test_people_of_the_team_may_listen_and_nobody_else(
        self, acme: Team, alice: User, bob: User, charlie: User
    ) -> None:
        may_read = TeamChannels().can_read_channel
        channel = channel_of(acme.pk)
        assert may_read(alice, channel)
        assert may_read(bob, channel)
        assert not may_read(charlie, channel)
        assert not may_read(None, channel)

    def test_a_person_who_was_switched_off_may_not(self, acme: Team, bob: User) -> None:
        bob.is_active = False
        bob.save(update_fields=["is_active"])
        assert not TeamChannels().can_read_channel(bob, channel_of(acme.pk))

    @pytest.mark.parametrize("name", ["", "team-", "team-x", "team-1,team-2", "all", "team-²"])
    def test_a_name_that_is_none_of_ours_opens_nothing(self, name: str, alice: User) -> None:
        assert team_id_of(name) is None
        assert not TeamChannels().can_read_channel(alice, name)
