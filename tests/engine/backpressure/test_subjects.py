from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable

import pytest

from engine.backpressure.markers import Look, Markers
from engine.backpressure.stacks import current_frames
from engine.backpressure.subjects import CoroutineSubject, ThreadSubject
from engine.core.errors import ConfigurationError
from tests.support.waiting import WAIT_SECONDS, wait_until

THREAD_MARKERS = Markers(held_back=[queue.Queue.put], waits_for_input=[queue.Queue.get])
TASK_MARKERS = Markers(held_back=[asyncio.Queue.put], waits_for_input=[asyncio.Queue.get])


def started(target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target, name="worker", daemon=True)
    thread.start()
    return thread


def test_a_thread_is_seen_waiting_for_input_held_back_and_ended() -> None:
    full: queue.Queue[int] = queue.Queue(maxsize=1)
    full.put(0)
    empty: queue.Queue[int] = queue.Queue()

    def work() -> None:
        empty.get()
        full.put(1)

    thread = started(work)
    subject = ThreadSubject(thread, THREAD_MARKERS)
    assert wait_until(lambda: subject.look(current_frames()) is Look.WAITS_FOR_INPUT)
    empty.put(1)
    assert wait_until(lambda: subject.look(current_frames()) is Look.HELD_BACK)
    assert not subject.is_over
    full.get()
    thread.join(WAIT_SECONDS)
    assert subject.look(current_frames()) is None
    assert subject.is_over


def test_a_thread_that_has_not_begun_or_has_died_cannot_be_watched() -> None:
    with pytest.raises(ConfigurationError, match="thread 'later' has not started"):
        ThreadSubject(threading.Thread(name="later"), THREAD_MARKERS)
    dead = started(lambda: None)
    dead.join(WAIT_SECONDS)
    with pytest.raises(ConfigurationError, match="thread 'worker' has ended; only a running one can be watched"):
        ThreadSubject(dead, THREAD_MARKERS)


def test_an_asyncio_task_is_seen_through_everything_it_awaits() -> None:
    async def emit(out: asyncio.Queue[int]) -> None:
        await out.put(1)

    async def work(source: asyncio.Queue[int], out: asyncio.Queue[int]) -> None:
        await source.get()
        await emit(out)

    async def main() -> list[Look | None]:
        source: asyncio.Queue[int] = asyncio.Queue()
        out: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        await out.put(0)
        task = asyncio.create_task(work(source, out))
        subject = CoroutineSubject(task, TASK_MARKERS)
        await asyncio.sleep(0)
        seen = [subject.look({})]
        await source.put(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append(subject.look({}))
        await out.get()
        await task
        return [*seen, subject.look({})]

    assert asyncio.run(main()) == [Look.WAITS_FOR_INPUT, Look.HELD_BACK, None]


def test_an_asyncio_task_that_runs_at_this_moment_is_busy() -> None:
    async def main() -> Look | None:
        me = asyncio.current_task()
        assert me is not None
        return CoroutineSubject(me, TASK_MARKERS).look({})

    assert asyncio.run(main()) is Look.NEITHER


def test_an_asyncio_task_that_is_done_cannot_be_watched() -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(0), name="short")
        await task
        with pytest.raises(ConfigurationError, match="task 'short' has ended"):
            CoroutineSubject(task, TASK_MARKERS)

    asyncio.run(main())
