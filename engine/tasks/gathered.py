"""What a task has split by key and not handed on yet: the values of one source, a list for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.clock import NS_PER_SECOND
from engine.tasks.buffers import Buffer, Part

# A partition that a source brings nothing learns at least this often how far the source has come.
_WATERMARK_NS = NS_PER_SECOND

# Keys and values of one channel.
Keyed = list[tuple[str, Any]]


class _Lists:
    """The values by channel. One thread: it takes `lists` for each buffer, adds what it brings, and then says `saw`.

    `stored` is how far each channel's partition had stored the source when the tasks were made. It needs nothing of
    what lies up to there: as no buffer reaches across such a place, nothing in a part is stored already.
    """

    __slots__ = ("_furthest", "_stored", "values")

    def __init__(self, stored: Sequence[int]) -> None:
        self.values: list[Keyed] = [[] for _ in stored]
        self._stored = stored
        self._furthest = max(stored)

    def lists(self, buffer: Buffer) -> Sequence[Keyed]:
        """Where what the buffer brings goes, by channel."""
        if buffer.last_offset > self._furthest:
            return self.values
        nowhere: Keyed = []
        return [
            values if buffer.last_offset > stored else nowhere
            for values, stored in zip(self.values, self._stored, strict=True)
        ]

    def _taken(self, channel: int) -> Keyed:
        values = self.values[channel]
        self.values[channel] = []
        return values


class GatheredInOrder(_Lists):
    """All buffers of the source come here, in their sequence: a part stands for all that was seen before it."""

    __slots__ = ("_last", "_told", "_told_ns")

    def __init__(self, stored: Sequence[int]) -> None:
        super().__init__(stored)
        self._last: Buffer | None = None
        # By channel: the last offset that it knows of, and since when.
        self._told = [0] * len(stored)
        self._told_ns = [0] * len(stored)

    def saw(self, buffer: Buffer) -> None:
        """All that it brings is in the lists."""
        self._last = buffer

    def part(self, channel: int, now_ns: int) -> Buffer | None:
        """Takes out what there is for a channel; None when it need not be told anything now."""
        last = self._last
        if last is None:
            return None
        if not self.values[channel] and (
            self._told[channel] == last.last_offset or now_ns - self._told_ns[channel] < _WATERMARK_NS
        ):
            return None
        self._told[channel], self._told_ns[channel] = last.last_offset, now_ns
        return last.with_values(self._taken(channel))

    def all_told(self) -> None:
        """Every channel has had its part."""

    def last_word(self) -> Buffer | None:
        """For every channel at the end of the stream: how far the source has come."""
        return None if self._last is None else self._last.with_values([])


class GatheredInParts(_Lists):
    """Buffers of the source also go through other tasks: a part says which ones it stands for, also empty ones."""

    __slots__ = ("_lengths", "_seen", "_source", "_told")

    def __init__(self, source: str, stored: Sequence[int]) -> None:
        super().__init__(stored)
        self._source = source
        # Each buffer that some channel does not know of, and how long all the lists were behind it.
        self._seen: list[tuple[int, int, bytes | None]] = []
        self._lengths: list[list[int]] = []
        # By channel: how many of these it knows.
        self._told = [0] * len(stored)

    def saw(self, buffer: Buffer) -> None:
        """All that it brings is in the lists."""
        self._seen.append((buffer.sequence, buffer.last_offset, buffer.cursor))
        self._lengths.append([len(values) for values in self.values])

    def part(self, channel: int, now_ns: int) -> Buffer | None:
        """Takes out what there is for a channel; None when it need not be told anything now."""
        told = self._told[channel]
        seen, lengths = self._seen[told:], self._lengths[told:]
        if not seen:
            return None
        self._told[channel] += len(seen)
        sequence, last_offset, cursor = seen[-1]
        made = Buffer(self._source, sequence, 0, last_offset, self._taken(channel), cursor=cursor)
        if len(seen) > 1:
            made.parts = [Part(*place, ends[channel]) for place, ends in zip(seen, lengths, strict=True)]
        return made

    def all_told(self) -> None:
        """Every channel has had its part."""
        self._seen.clear()
        self._lengths.clear()
        self._told = [0] * len(self._told)

    def last_word(self) -> Buffer | None:
        """Nothing: every channel knows of every buffer."""
        return None


Gathered = GatheredInOrder | GatheredInParts
