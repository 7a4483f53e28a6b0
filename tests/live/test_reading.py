"""Reading for many streams at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from integrations.constants import RunTrigger
from integrations.live.channels import channel_of
from integrations.live.eager import start_eagerly
from integrations.live.reading import Askers, Batches, News, RowReader
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory

if TYPE_CHECKING:
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
