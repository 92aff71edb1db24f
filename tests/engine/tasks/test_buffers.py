from __future__ import annotations

import threading

import pytest

from engine.core.clock import NS_PER_SECOND, SystemClock
from engine.core.errors import StoppedError
from engine.core.snapshot import BlockReason
from engine.tasks.buffers import BUFFERS_PER_CHANNEL_MAX, Buffer, InputGate, LocalBufferPool
from engine.tasks.timers import TaskTimer
from tests.support.waiting import WAIT_SECONDS, wait_until


def a_pool(channels: int = 1) -> LocalBufferPool:
    timer = TaskTimer(SystemClock())
    timer.start()
    return LocalBufferPool(channels, timer)


def test_a_pool_holds_two_buffers_a_channel_and_eight_more() -> None:
    assert a_pool(1).capacity == 10
    assert a_pool(4).capacity == 16


def test_a_channel_at_its_cap_gets_no_more_while_others_do() -> None:
    pool = a_pool(3)
    for _ in range(BUFFERS_PER_CHANNEL_MAX):
        assert pool.request_buffer(0)
    assert not pool.request_buffer(0)
    assert not pool.is_available(), "one channel at its cap makes the whole task unavailable"
    assert pool.request_buffer(2)
    pool.recycle(2)
    assert not pool.is_available()
    pool.recycle(0)
    assert pool.is_available()
    assert pool.request_buffer(0)


def test_an_empty_pool_gives_nothing_and_counts_what_is_in_use() -> None:
    pool = a_pool(2)
    taken = 0
    while pool.request_buffer(taken % 2):
        taken += 1
    assert taken == pool.capacity == pool.in_use
    pool.recycle(0)
    assert pool.in_use == pool.capacity - 1


def test_a_blocked_producer_goes_on_when_a_buffer_comes_back_and_its_time_is_counted() -> None:
    timer = TaskTimer(SystemClock())
    timer.start()
    pool = LocalBufferPool(1, timer)
    while pool.request_buffer(0):
        pass
    thread = threading.Thread(target=pool.request_buffer_blocking, args=(0,), daemon=True)
    thread.start()
    assert wait_until(lambda: timer.read().state is BlockReason.BUFFER)
    pool.recycle(0)
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    times = timer.read()
    assert times.state == "busy"
    assert times.back_pressured_ns[BlockReason.BUFFER] > 0


def test_closing_frees_a_blocked_producer_with_an_error_and_refuses_later_ones() -> None:
    pool = a_pool()
    while pool.request_buffer(0):
        pass
    raised: list[BaseException] = []

    def produce() -> None:
        try:
            pool.request(0)
        except StoppedError as error:
            raised.append(error)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    pool.close()
    thread.join(WAIT_SECONDS)
    assert len(raised) == 1
    with pytest.raises(StoppedError):
        pool.request_buffer(0)


def test_a_gate_gives_buffers_in_order_of_arrival_and_recycling_returns_the_credit() -> None:
    pool = a_pool()
    gate = InputGate(TaskTimer(SystemClock()))
    for number in range(3):
        pool.request(0)
        gate.put(Buffer("s", number, 1, 1, [number], pool=pool))
    assert gate.queued == 3
    first = gate.take(NS_PER_SECOND)
    assert first is not None
    assert first.values == [0]
    first.recycle()
    first.recycle()
    assert pool.in_use == 2, "recycling twice gives back once"
    assert [b.values for b in (gate.poll(), gate.poll()) if b is not None] == [[1], [2]]
    assert gate.poll() is None


def test_waiting_at_an_empty_gate_is_idle_time_and_a_wake_ends_it() -> None:
    timer = TaskTimer(SystemClock())
    timer.start()
    gate = InputGate(timer)
    found: list[Buffer | None] = []
    thread = threading.Thread(target=lambda: found.append(gate.take(60 * NS_PER_SECOND)), daemon=True)
    thread.start()
    assert wait_until(lambda: timer.read().state == "idle")
    gate.wake()
    thread.join(WAIT_SECONDS)
    assert found == [None]
    assert timer.read().idle_ns > 0
