"""The threads behind an event loop: each call gets its own outcome, however many end at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from threading import Barrier, Event, get_ident

import pytest

from exporter.management.workers import OverloadedError, Workers


async def all_of(workers: Workers, calls: list[Callable[[], object]]) -> list[object]:
    return await asyncio.gather(*(workers.run(call) for call in calls), return_exceptions=True)


def test_many_calls_that_end_together_each_get_their_own_result() -> None:
    workers = Workers("test", threads=16, waiting_max=3000)
    together = Barrier(16)

    def meet(number: int) -> int:
        together.wait(30)
        return number

    try:
        assert asyncio.run(all_of(workers, [partial(meet, number) for number in range(3008)])) == [*range(3008)]
    finally:
        workers.stop()


def test_a_call_runs_in_another_thread_and_its_error_is_the_callers() -> None:
    workers = Workers("test", threads=2, waiting_max=8)

    def failing() -> None:
        raise LookupError("not here")

    def ending() -> None:
        next(iter([]))

    try:
        thread, error, ended = asyncio.run(all_of(workers, [get_ident, failing, ending]))
    finally:
        workers.stop()
    assert thread != get_ident()
    assert isinstance(error, LookupError)
    assert isinstance(ended, RuntimeError)


def test_who_waits_no_more_holds_up_nobody() -> None:
    workers = Workers("test", threads=1, waiting_max=8)
    held, freed = Event(), Event()

    def hold() -> None:
        held.set()
        assert freed.wait(30)

    async def talk() -> str:
        gone = asyncio.ensure_future(workers.run(hold))
        await asyncio.to_thread(held.wait, 30)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        freed.set()
        return await workers.run(lambda: "the next one")

    try:
        assert asyncio.run(talk()) == "the next one"
    finally:
        workers.stop()


def test_more_calls_than_may_wait_are_told_so_and_the_others_run() -> None:
    workers = Workers("test", threads=1, waiting_max=2)
    freed = Event()

    async def talk() -> list[object]:
        begun = [asyncio.ensure_future(workers.run(partial(freed.wait, 30))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await workers.run(get_ident)
        freed.set()
        return [*await asyncio.gather(*begun)]

    try:
        assert asyncio.run(talk()) == [True, True, True]
    finally:
        workers.stop()
