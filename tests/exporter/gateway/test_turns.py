"""Bodies take turns, in order, and never more of them at once than were allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.gateway.turns import Turns


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def settled() -> None:
    """Everything that could go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_finds_room_does_not_wait_and_who_finds_none_does() -> None:
    turns = Turns(10)
    assert turns.try_take(6)
    assert not turns.try_take(5)
    assert turns.try_take(4)
    turns.give_back(6)
    assert turns.try_take(6)


def test_a_small_one_does_not_overtake_a_large_one_that_waits() -> None:
    async def test() -> None:
        turns = Turns(10)
        assert turns.try_take(6)
        large = asyncio.create_task(turns.wait_take(10))
        await settled()
        assert not turns.try_take(1)
        small = asyncio.create_task(turns.wait_take(1))
        turns.give_back(6)
        await settled()
        assert (large.done(), small.done()) == (True, False)
        turns.give_back(10)
        await settled()
        assert small.done()

    run(test())


def test_one_that_leaves_the_queue_lets_the_next_one_in() -> None:
    async def test() -> None:
        turns = Turns(10)
        assert turns.try_take(6)
        large, small = asyncio.create_task(turns.wait_take(10)), asyncio.create_task(turns.wait_take(4))
        await settled()
        large.cancel()
        await settled()
        assert (large.cancelled(), small.done()) == (True, True)

    run(test())


def test_one_that_leaves_as_its_turn_comes_takes_nothing() -> None:
    async def test() -> None:
        turns = Turns(10)
        assert turns.try_take(10)
        one = asyncio.create_task(turns.wait_take(10))
        await settled()
        turns.give_back(10)
        one.cancel()
        await settled()
        assert one.cancelled()
        assert turns.try_take(10)

    run(test())


@given(
    steps=st.lists(st.tuples(st.sampled_from(["come", "finish", "leave"]), st.integers(0, 10)), max_size=60),
)
def test_whatever_happens_the_bound_holds_and_in_the_end_all_is_free(steps: list[tuple[str, int]]) -> None:
    async def body(turns: Turns, size: int, inside: list[int], over: asyncio.Event) -> None:
        if not turns.try_take(size):
            await turns.wait_take(size)
        inside.append(size)
        assert sum(inside) <= 10
        try:
            await over.wait()
        finally:
            inside.remove(size)
            turns.give_back(size)

    async def test() -> None:
        turns, inside = Turns(10), list[int]()
        bodies: list[tuple[asyncio.Task[None], asyncio.Event]] = []
        for what, number in steps:
            if what == "come":
                over = asyncio.Event()
                bodies.append((asyncio.create_task(body(turns, number, inside, over)), over))
            elif bodies:
                task, over = bodies[number % len(bodies)]
                over.set() if what == "finish" else task.cancel()
            if number % 2:
                await settled()
        for _, over in bodies:
            over.set()
        await asyncio.gather(*(task for task, _ in bodies), return_exceptions=True)
        assert all(task.cancelled() or task.exception() is None for task, _ in bodies)
        assert turns.try_take(10)

    run(test())
