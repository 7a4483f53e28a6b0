"""A coroutine that runs at once, and becomes a task only if it has to wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from integrations.live.eager import start_eagerly

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def in_loop(steps: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(steps())


class TestStartEagerly:
    def test_what_never_waits_is_over_at_once(self) -> None:
        said: list[str] = []

        async def work() -> None:
            said.append("done")

        async def steps() -> None:
            assert start_eagerly(work()) is None
            assert said == ["done"]

        in_loop(steps)

    def test_what_waits_goes_on_with_each_answer(self) -> None:
        async def steps() -> None:
            answers: list[str] = []
            first = asyncio.get_running_loop().create_future()

            async def work() -> None:
                answers.append(await first)
                answers.append(await asyncio.sleep(0.001, "second"))

            task = start_eagerly(work())
            assert task is not None
            first.set_result("first")
            await task
            assert answers == ["first", "second"]

        in_loop(steps)

    def test_it_may_judge_a_failure_itself_and_wait_again(self) -> None:
        async def steps() -> None:
            caught: list[str] = []
            awaited = asyncio.get_running_loop().create_future()

            async def work() -> None:
                try:
                    await awaited
                except ValueError as error:
                    caught.append(str(error))
                await asyncio.sleep(0.001)
                caught.append("after")

            task = start_eagerly(work())
            assert task is not None
            awaited.set_exception(ValueError("no"))
            await task
            assert caught == ["no", "after"]

        in_loop(steps)

    def test_a_failure_is_the_caller_s_at_first_and_the_task_s_later(self) -> None:
        async def at_once() -> None:
            raise ValueError("at once")

        async def later() -> None:
            await asyncio.sleep(0)
            raise ValueError("later")

        async def steps() -> None:
            with pytest.raises(ValueError, match="at once"):
                start_eagerly(at_once())
            task = start_eagerly(later())
            assert task is not None
            with pytest.raises(ValueError, match="later"):
                await task

        in_loop(steps)

    def test_it_can_be_cancelled_and_tidies_up(self) -> None:
        async def steps() -> None:
            tidied: list[str] = []

            async def work() -> None:
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    tidied.append("up")

            task = start_eagerly(work())
            assert task is not None
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert tidied == ["up"]

        in_loop(steps)
