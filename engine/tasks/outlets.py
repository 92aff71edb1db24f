"""How a task hands on its buffers: spread over the next task's subtasks, or split by key over partitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from engine.clock import NS_PER_SECOND, Clock
from engine.identity import partition_of
from engine.tasks.buffers import Buffer, Gate, LocalBufferPool

# A partition that a source brings nothing learns at least this often how far the source has come.
_WATERMARK_NS = NS_PER_SECOND


class Outlet(Protocol):
    """The way out of a producing subtask, whose thread alone calls it."""

    def send(self, buffer: Buffer) -> None:
        """Hands on a buffer; waits while the pool is empty."""
        ...

    def end(self) -> None:
        """Tells every consumer that nothing more will come from here."""
        ...


class _Channels:
    """A pool and the gates behind it, one channel each."""

    __slots__ = ("gates", "pool")

    def __init__(self, pool: LocalBufferPool, gates: Sequence[Gate]) -> None:
        self.pool = pool
        self.gates = gates

    def put(self, channel: int, buffer: Buffer) -> None:
        self.pool.request(channel)
        buffer.pool = self.pool
        buffer.channel = channel
        self.gates[channel].put(buffer)

    def put_end(self) -> None:
        for channel in range(len(self.gates)):
            self.put(channel, Buffer("", 0, 0, 0, [], end=True))


class BalancedOutlet:
    """Whole buffers, in turn: FORWARD where both sides have as many subtasks, else REBALANCE."""

    def __init__(self, pool: LocalBufferPool, gates: Sequence[Gate]) -> None:
        self._channels = _Channels(pool, gates)

    def send(self, buffer: Buffer) -> None:
        self._channels.put(buffer.sequence % len(self._channels.gates), buffer)

    def end(self) -> None:
        self._channels.put_end()


class KeyedOutlet:
    """HASH: each value to the partition that owns its key.

    `in_order` says that one task produces all buffers of a source, in their sequence. Otherwise every partition gets
    a buffer for each, empty or not, so that it can restore the order.
    """

    def __init__(
        self,
        pool: LocalBufferPool,
        gates: Sequence[Gate],
        clock: Clock,
        *,
        key_text: Callable[[Any], str],
        failed: Callable[[Buffer, int, Exception], None],
        in_order: bool,
    ) -> None:
        self._channels = _Channels(pool, gates)
        self._clock = clock
        self._key_text = key_text
        self._failed = failed
        self._in_order = in_order
        self._channel_by_key: dict[str, int] = {}
        # Per source: the last buffer's place, and when each channel last heard of it.
        self._seen: dict[str, Buffer] = {}
        self._told_ns: dict[tuple[str, int], int] = {}

    def send(self, buffer: Buffer) -> None:
        now_ns = self._clock.monotonic_ns()
        for channel, part in enumerate(self._split(buffer)):
            place = (buffer.source, channel)
            if part.values or not self._in_order or now_ns - self._told_ns.get(place, 0) >= _WATERMARK_NS:
                self._told_ns[place] = now_ns
                self._channels.put(channel, part)
        self._seen[buffer.source] = buffer

    def end(self) -> None:
        if self._in_order:
            for last in self._seen.values():
                for channel in range(len(self._channels.gates)):
                    self._channels.put(channel, _empty_like(last))
        self._channels.put_end()

    def _split(self, buffer: Buffer) -> list[Buffer]:
        parts = [_empty_like(buffer) for _ in self._channels.gates]
        key_text, channels = self._key_text, self._channel_by_key
        if len(parts) == 1:
            try:
                parts[0].values = [(key_text(value), value) for value in buffer.values]
                return parts
            except Exception:
                # Some value has no key: one by one, to find out which.
                pass
        for index, value in enumerate(buffer.values):
            try:
                key = key_text(value)
            except Exception as error:
                self._failed(buffer, index, error)
                continue
            channel = channels.get(key)
            if channel is None:
                channel = self._remember(key)
            parts[channel].values.append((key, value))
        return parts

    def _remember(self, key: str) -> int:
        # Keys come from the data: the memory of them is bounded.
        if len(self._channel_by_key) >= 100_000:
            self._channel_by_key.clear()
        channel = self._channel_by_key[key] = partition_of(key, len(self._channels.gates)) - 1
        return channel


def _empty_like(buffer: Buffer) -> Buffer:
    return Buffer(buffer.source, buffer.sequence, buffer.first_offset, buffer.last_offset, [], cursor=buffer.cursor)
