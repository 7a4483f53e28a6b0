"""Calling many listeners in one step of the loop."""

from __future__ import annotations

import asyncio

from integrations.live.audience import Soon


async def next_step() -> None:
    """Let the loop make one step."""
    await asyncio.sleep(0)


def test_all_who_ask_in_one_step_are_called_in_the_next_in_order() -> None:
    async def steps() -> None:
        soon, called = Soon(), list[int]()
        for number in range(3):
            soon.call(lambda number=number: called.append(number))  # type: ignore[misc]
        assert called == []
        await next_step()
        assert called == [0, 1, 2]

    asyncio.run(steps())


def test_one_that_fails_is_told_of_and_costs_nobody_the_call() -> None:
    async def steps() -> None:
        failures: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: failures.append(context["exception"])
        )
        soon, called = Soon(), list[str]()

        def fail() -> None:
            raise RuntimeError("the viewer's connection")

        for call in (lambda: called.append("first"), fail, lambda: called.append("last")):
            soon.call(call)
        await next_step()
        await next_step()
        assert called == ["first", "last"]
        assert [str(one) for one in failures] == ["the viewer's connection"]

    asyncio.run(steps())


def test_who_asks_again_while_called_waits_for_the_step_after() -> None:
    async def steps() -> None:
        soon, called = Soon(), list[int]()

        def again() -> None:
            called.append(len(called))
            if len(called) < 3:
                soon.call(again)

        soon.call(again)
        for expected in ([0], [0, 1], [0, 1, 2]):
            await next_step()
            assert called == expected

    asyncio.run(steps())


def test_a_loop_that_ended_leaves_nothing_to_the_next() -> None:
    soon, called = Soon(), list[str]()
    loop = asyncio.new_event_loop()
    loop.call_soon(soon.call, lambda: called.append("left"))
    # In the same step, so that there is none in which it would be called.
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    async def ask() -> None:
        soon.call(lambda: called.append("done"))
        await next_step()

    asyncio.run(ask())
    assert called == ["done"]
