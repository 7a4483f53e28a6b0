"""Reading for many streams at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from integrations.constants import RunTrigger
from integrations.live import news
from integrations.live.channels import channel_of
from integrations.live.eager import start_eagerly
from integrations.live.news import News, RecentNews, read_news
from integrations.live.reading import Askers, Batches, RowReader
from integrations.services import transitions
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integrations.live.replay import Place
    from integrations.models import Team, User

pytestmark = pytest.mark.django_db(transaction=True)


def ask(team: Team, *questions: tuple[User, int | None]) -> list[News]:
    """Ask all at the same time."""

    async def gather() -> list[News]:
        reader, channel = RowReader(), channel_of(team.pk)
        return await asyncio.gather(
            *(
                reader.news(channel, after_id=after_id, user_id=user.pk)
                for user, after_id in questions
            )
        )

    return asyncio.run(gather())


class TestRowReader:
    def test_who_asks_the_same_shares_one_answer_that_tells_who_may_hear_it(
        self, acme: Team, alice: User, bob: User, charlie: User
    ) -> None:
        start_run(GitHubIntegrationFactory(team=acme), trigger=RunTrigger.MANUAL)
        first, second, third = ask(acme, (alice, 0), (bob, 0), (charlie, 0))
        assert first is second is third
        assert [event.type for event in first.events] == ["member-sync"]
        assert first.reader_ids == {alice.pk, bob.pk}

    def test_each_id_has_an_answer_of_its_own(self, acme: Team, bob: User) -> None:
        start_run(GitHubIntegrationFactory(team=acme), trigger=RunTrigger.MANUAL)
        behind, present, new, ahead = ask(acme, (bob, 0), (bob, 1), (bob, None), (bob, 7))
        assert [event.id for event in behind.events] == [1]
        assert present.events == new.events == ahead.events == ()
        assert [news.current_id for news in (behind, present, new, ahead)] == [1, 1, 1, 1]
        assert [news.is_reset for news in (behind, present, new, ahead)] == [
            False, False, False, True,
        ]  # fmt: skip


class TestRecentNews:
    def test_what_was_read_just_now_is_not_read_again(
        self, acme: Team, alice: User, bob: User, charlie: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start_run(GitHubIntegrationFactory(team=acme), trigger=RunTrigger.MANUAL)
        read = noted(monkeypatch)
        recent, question = RecentNews(), (channel_of(acme.pk), 0)
        first = read_news({question: {alice.pk}}, recent=recent)[question]
        second = read_news({question: {bob.pk, charlie.pk}}, recent=recent)[question]
        assert first.chunk == second.chunk
        assert first.chunk.startswith(b"event: member-sync\nid: team-")
        assert first.reader_ids == {alice.pk}
        assert second.reader_ids == {bob.pk}
        assert read == [{question}, set()]

    def test_what_moved_since_is_read(
        self, acme: Team, bob: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = start_run(GitHubIntegrationFactory(team=acme), trigger=RunTrigger.MANUAL).run
        read = noted(monkeypatch)
        recent, question = RecentNews(), (channel_of(acme.pk), 0)
        read_news({question: {bob.pk}}, recent=recent)
        transitions.fail(run, "gave_up")
        last = read_news({question: {bob.pk}}, recent=recent)[question]
        assert [event.id for event in last.events] == [2]
        read_news({question: {bob.pk}}, recent=recent)
        assert read == [{question}, {question}, set()]

    def test_words_that_age_are_read_again_and_few_are_kept(
        self, acme: Team, bob: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        integration = GitHubIntegrationFactory(team=acme)
        for _ in range(3):
            transitions.roster_changed(integration)
        read = noted(monkeypatch)
        monkeypatch.setattr(news, "KEPT_MAX", 1)
        recent, channel = RecentNews(), channel_of(acme.pk)
        for after_id in (0, 1, 0):
            read_news({(channel, after_id): {bob.pk}}, recent=recent)
        monkeypatch.setattr(news, "KEPT_S", -1.0)
        read_news({(channel, 0): {bob.pk}}, recent=recent)
        assert read == [{(channel, 0)}, {(channel, 1)}, {(channel, 0)}, {(channel, 0)}]


def noted(monkeypatch: pytest.MonkeyPatch) -> list[set[Place]]:
    """Return the places that are read from now on, a set a read."""
    read: list[set[Place]] = []

    def note(behind: Mapping[Place, int]) -> dict[Place, News]:
        read.append(set(behind))
        return _read(behind)

    _read = news._read
    monkeypatch.setattr(news, "_read", note)
    return read


class TestBatches:
    def test_who_asks_just_as_a_reader_ends_is_answered(self) -> None:
        """The reader has looked for the last time, and is not gone from the loop yet."""

        async def steps() -> None:
            loop = asyncio.get_running_loop()
            late: asyncio.Future[str] = loop.create_future()

            async def ask_late() -> None:
                late.set_result(await batches.ask("late"))

            class Answers(dict[str, str]):
                def __getitem__(self, question: str) -> str:
                    if question == "first":
                        # Runs in the step after the one in which this answer is the last.
                        loop.call_soon(lambda: start_eagerly(ask_late()))
                    return super().__getitem__(question)

            def read(asked: Askers[str]) -> Answers:
                return Answers({question: f"{question}!" for question in asked})

            batches: Batches[str, str] = Batches(read, at_once=1)
            assert await batches.ask("first") == "first!"
            assert await asyncio.wait_for(late, timeout=5) == "late!"

        asyncio.run(steps())
