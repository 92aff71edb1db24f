"""Time held back, by the downstream channel that was waited for."""

from __future__ import annotations

import threading

from engine.core.clock import ManualClock
from engine.core.snapshot import BlockReason
from engine.tasks.buffers import BUFFERS_PER_CHANNEL_MAX, LocalBufferPool
from engine.tasks.timers import TaskTimer
from tests.support.waiting import WAIT_SECONDS, wait_until


class Producer:
    """A pool of some channels, and a thread that waits for a buffer of one of them."""

    def __init__(self, channels: int) -> None:
        self.clock = ManualClock()
        self.timer = TaskTimer(self.clock)
        self.timer.start()
        self.pool = LocalBufferPool(channels, self.timer)
        self._thread: threading.Thread | None = None

    def fill(self, channel: int, buffers: int) -> None:
        for _ in range(buffers):
            assert self.pool.request_buffer(channel)

    def wait_for(self, channel: int) -> None:
        self._thread = threading.Thread(target=self.pool.request_buffer_blocking, args=(channel,), daemon=True)
        self._thread.start()
        assert wait_until(lambda: self.timer.read().state is BlockReason.BUFFER)

    def go_on(self, recycled: int) -> None:
        assert self._thread is not None
        self.pool.recycle(recycled)
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()

    def by_channel(self) -> tuple[int, ...]:
        return self.pool.blocked_by_channel_ns(self.timer.read().back_pressured_ns[BlockReason.BUFFER])


def test_nobody_was_waited_for_before_anybody_waited() -> None:
    assert Producer(3).by_channel() == (0, 0, 0)


def test_a_full_channel_is_what_was_waited_for_also_while_the_wait_lasts() -> None:
    producer = Producer(3)
    producer.fill(1, BUFFERS_PER_CHANNEL_MAX)
    producer.wait_for(1)
    producer.clock.advance_ns(5)
    assert producer.by_channel() == (0, 5, 0)
    producer.clock.advance_ns(2)
    producer.go_on(recycled=1)
    producer.clock.advance_ns(100)
    assert producer.by_channel() == (0, 7, 0)


def test_of_an_empty_pool_the_channel_that_holds_most_of_it_is_blamed_whichever_is_asked_for() -> None:
    producer = Producer(2)
    producer.fill(0, 3)
    producer.fill(1, 9)
    assert producer.pool.in_use == producer.pool.capacity
    producer.wait_for(0)
    producer.clock.advance_ns(5)
    assert producer.by_channel() == (0, 5)
    producer.go_on(recycled=1)
    assert producer.by_channel() == (0, 5)


def test_the_channels_sum_to_the_time_that_the_timer_knows() -> None:
    producer = Producer(2)
    for channel, wait_ns in ((0, 3), (1, 4), (0, 5)):
        taken = 0
        while producer.pool.request_buffer(channel):
            taken += 1
        producer.wait_for(channel)
        producer.clock.advance_ns(wait_ns)
        producer.go_on(recycled=channel)
        for _ in range(taken):
            producer.pool.recycle(channel)
    assert producer.by_channel() == (8, 4)
    assert sum(producer.by_channel()) == producer.timer.read().back_pressured_ns[BlockReason.BUFFER]
