"""Bounded buffers between tasks: a full pool blocks its producer, and so back pressure travels upstream.

After Flink's local buffer pools: a producing subtask owns `2 * channels + 8` buffers, at most 10 of them on one
channel; a consumer gives a buffer back when it has processed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import StoppedError
from engine.core.snapshot import BlockReason
from engine.tasks.timers import TaskTimer

BUFFERS_PER_CHANNEL = 2
FLOATING_BUFFERS = 8
BUFFERS_PER_CHANNEL_MAX = 10


class Credits(Protocol):
    """Whoever counts out the places of buffers, here or in another process."""

    def recycle(self, channel: int) -> None:
        """Takes one place back; from the consumer's thread."""
        ...


class SourcePlace(NamedTuple):
    """How far a buffer covers its source."""

    last_offset: int
    cursor: bytes | None


class Parts(NamedTuple):
    """The buffers that one was put together from, in the order in which they came."""

    # By sequence, also those that brought nothing. Other channels share it: nobody changes it.
    places: dict[int, SourcePlace]
    # Of those that brought something: the sequence, and the index that its values end in front of.
    ends: list[tuple[int, int]]


@dataclass(slots=True)
class Buffer:
    """A run of values on its way from one subtask to the next, with the place they come from.

    `values[i]` stands at offset `offsets[i]` of the source, or at `first_offset + i` while `offsets` is None.
    A buffer covers its source up to `last_offset`, also where nothing of it is left to carry.
    """

    source: str
    # Rises by 1 per buffer of a source; restores the order behind parallel tasks.
    sequence: int
    first_offset: int
    last_offset: int
    values: list[Any]
    offsets: list[int] | None = None
    cursor: bytes | None = None
    # True for the very last buffer of a source.
    end: bool = False
    # Set by the pool: whom to give it back to.
    pool: Credits | None = None
    channel: int = 0
    # Where it holds what several buffers brought, and others may come in between: which ones these are.
    parts: Parts | None = None

    def offset_at(self, index: int) -> int:
        return self.first_offset + index if self.offsets is None else self.offsets[index]

    def with_values(self, values: list[Any]) -> Buffer:
        """The same place of the source with other values, whose own offsets nobody asks for."""
        return Buffer(self.source, self.sequence, self.first_offset, self.last_offset, values, cursor=self.cursor)

    def recycle(self) -> None:
        """Gives the buffer's place back to its producer; the consumer's duty, once, when it is processed."""
        if self.pool is not None:
            self.pool.recycle(self.channel)
            self.pool = None


class LocalBufferPool:
    """Counts out the buffers of one producing subtask, as credits.

    The producer's thread alone requests; consumers recycle from theirs. Both kinds of credit lie in queues of C
    speed, so that an uncontended hand-over takes no lock of ours.
    Invariant: credits here + buffers in use = capacity, per channel and in all.

    `first_channel` is the number of the first channel's consumer among the subtasks of its vertex. `before` is the pool
    that this one takes the place of: its blocked time goes on here.
    """

    __slots__ = (
        "_blocked_by_channel_ns",
        "_blocked_on",
        "_channels",
        "_closed",
        "_first_channel",
        "_free",
        "_timer",
        "capacity",
    )

    def __init__(
        self, channels: int, timer: TaskTimer, *, first_channel: int = 0, before: LocalBufferPool | None = None
    ) -> None:
        assert channels >= 1
        self.capacity = BUFFERS_PER_CHANNEL * channels + FLOATING_BUFFERS
        self._timer = timer
        self._closed = False
        # Written by the producer's thread alone; periods that have ended, and whom the last one waited for.
        self._blocked_by_channel_ns = [0] * channels
        if before is not None:
            blocked_ns = timer.read().back_pressured_ns[BlockReason.BUFFER]
            self._blocked_by_channel_ns = before._by_channel_ns(blocked_ns)
        self._blocked_on = 0
        self._first_channel = first_channel
        self._free: SimpleQueue[bool] = SimpleQueue()
        self._channels: list[SimpleQueue[bool]] = [SimpleQueue() for _ in range(channels)]
        for _ in range(self.capacity):
            self._free.put(True)
        for credits in self._channels:
            for _ in range(BUFFERS_PER_CHANNEL_MAX):
                credits.put(True)

    @property
    def in_use(self) -> int:
        return max(0, self.capacity - self._free.qsize())

    def is_available(self) -> bool:
        """Whether a buffer is free and no channel is at its cap."""
        return self._free.qsize() > 0 and all(credits.qsize() > 0 for credits in self._channels)

    def request_buffer(self, channel: int) -> bool:
        """Takes a buffer for `channel` if there is one; never waits. Raises `StoppedError` when closed."""
        if self._closed:
            raise StoppedError("the buffer pool is closed")
        # Only this thread takes credits, so what is there now stays there.
        if self._channels[channel].qsize() > 0 and self._free.qsize() > 0:
            self._channels[channel].get()
            self._free.get()
            return True
        return False

    def request_buffer_blocking(self, channel: int) -> None:
        """Takes a buffer for `channel`, waiting until a consumer gives one back.

        The waiting is back pressure: this function on a thread's stack is what the sampler looks for. Raises
        `StoppedError` when the pool is closed meanwhile.
        """
        # Where this channel is not full, the pool is empty: whoever holds most of it is waited for.
        self._blocked_on = channel if self._channels[channel].qsize() == 0 else self._fullest_channel()
        self._timer.blocked(BlockReason.BUFFER)
        since_ns = self._timer.since_ns
        self._take(self._channels[channel])
        self._take(self._free)
        self._timer.busy()
        until_ns = self._timer.since_ns
        self._blocked_by_channel_ns[self._blocked_on] += until_ns - since_ns

    def _fullest_channel(self) -> int:
        return min(range(len(self._channels)), key=lambda channel: self._channels[channel].qsize())

    def blocked_by_channel_ns(self, blocked_ns: int) -> tuple[int, ...]:
        """All time spent blocked here, `blocked_ns` by the task's timer, by the consumer that was waited for."""
        return (0,) * self._first_channel + tuple(self._by_channel_ns(blocked_ns))

    def _by_channel_ns(self, blocked_ns: int) -> list[int]:
        by_channel = list(self._blocked_by_channel_ns)
        # What the timer knows and this does not yet is the period that runs now, or that the pool's end cut off.
        by_channel[self._blocked_on] += max(0, blocked_ns - sum(by_channel))
        return by_channel

    def request(self, channel: int) -> None:
        """Takes a buffer for `channel`, at once where there is one."""
        if not self.request_buffer(channel):
            self.request_buffer_blocking(channel)

    def _take(self, credits: SimpleQueue[bool]) -> None:
        if not credits.get() or self._closed:
            # Left for whoever asks next.
            credits.put(False)
            raise StoppedError("the buffer pool is closed")

    def recycle(self, channel: int) -> None:
        self._channels[channel].put(True)
        self._free.put(True)

    def close(self) -> None:
        """Wakes a waiting producer with `StoppedError`; later requests raise it too. From any thread."""
        self._closed = True
        self._free.put(False)
        for credits in self._channels:
            credits.put(False)


class Gate(Protocol):
    """The way into a consuming subtask, in this process or another."""

    def put(self, buffer: Buffer) -> None:
        """Hands a buffer over; never waits, for the producer holds a credit for it."""
        ...


class InputGate:
    """What a consuming subtask reads: the buffers of all its channels, in the order of their arrival.

    Producers put from their threads, the consumer alone takes. Bounded by the pools of the producers.
    """

    __slots__ = ("_queue", "_timer")

    def __init__(self, timer: TaskTimer) -> None:
        self._timer = timer
        # None wakes the consumer to look whether it should stop.
        self._queue: SimpleQueue[Buffer | None] = SimpleQueue()

    def put(self, buffer: Buffer) -> None:
        self._queue.put(buffer)

    def wake(self) -> None:
        self._queue.put(None)

    def poll(self) -> Buffer | None:
        """The next buffer if there is one; never waits."""
        try:
            return self._queue.get_nowait()
        except Empty:
            return None

    def take(self, timeout_ns: int) -> Buffer | None:
        """The next buffer; None after `timeout_ns` or when woken. Waiting here is idle time."""
        if self._queue.qsize() > 0:
            return self._queue.get()
        self._timer.idle()
        try:
            return self._queue.get(timeout=timeout_ns / NS_PER_SECOND)
        except Empty:
            return None
        finally:
            self._timer.busy()

    @property
    def queued(self) -> int:
        return self._queue.qsize()
