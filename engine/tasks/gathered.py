"""What a task has split by key and not handed on yet: the values of one source, a list for each channel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from engine.core.clock import NS_PER_SECOND
from engine.tasks.buffers import Buffer, Parts, SourcePlace

# A partition that a source brings nothing learns at least this often how far the source has come.
_WATERMARK_NS = NS_PER_SECOND

# Keys and values of one channel.
Keyed = list[tuple[str, Any]]


class _Lists:
    """The values by channel. One thread: it takes `lists` for each buffer, adds what it brings, and then says `saw`.

    `stored` is how far each channel's partition had stored the source when the tasks were made. It needs nothing of
    what lies up to there: as no buffer reaches across such a place, nothing in a part is stored already.
    """

    __slots__ = ("_stored", "values")

    def __init__(self, stored: Sequence[int]) -> None:
        self.values: list[Keyed] = [[] for _ in stored]
        self._stored = stored

    def _taken(self, channel: int) -> Keyed:
        values = self.values[channel]
        self.values[channel] = []
        return values


class GatheredInOrder(_Lists):
    """All buffers of the source come here, in their sequence: a part stands for all that was seen before it."""

    __slots__ = ("_furthest", "_last", "_told", "_told_ns")

    def __init__(self, stored: Sequence[int]) -> None:
        super().__init__(stored)
        self._furthest = max(stored)
        self._last: Buffer | None = None
        # By channel: the last offset that it knows of, and since when.
        self._told = [0] * len(stored)
        self._told_ns = [0] * len(stored)

    def lists(self, buffer: Buffer) -> Sequence[Keyed]:
        """Where what the buffer brings goes, by channel."""
        if buffer.last_offset > self._furthest:
            return self.values
        nowhere: Keyed = []
        return [
            values if buffer.last_offset > stored else nowhere
            for values, stored in zip(self.values, self._stored, strict=True)
        ]

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

    @property
    def is_told(self) -> bool:
        """Whether every channel knows all there is."""
        last = self._last
        return last is None or (not any(self.values) and all(told == last.last_offset for told in self._told))

    def last_word(self) -> Buffer | None:
        """For every channel at the end of the stream: how far the source has come."""
        return None if self._last is None else self._last.with_values([])


class GatheredInParts(_Lists):
    """Buffers of the source also go through other tasks: a part says which ones it stands for, also empty ones.

    All channels share the places of these, and a buffer costs only the channels that it brings something.
    """

    __slots__ = ("_brought", "_ends", "_places", "_seen", "_source", "_told")

    def __init__(self, source: str, stored: Sequence[int]) -> None:
        super().__init__(stored)
        self._source = source
        # What the buffer in hand brings, by channel.
        self._brought: defaultdict[int, Keyed] = defaultdict(list)
        # Each buffer that some channel does not know of.
        self._seen: list[tuple[int, SourcePlace]] = []
        # By channel: which buffers its values are of, and how many of the seen ones it knows.
        self._ends: list[list[tuple[int, int]]] = [[] for _ in stored]
        self._told = [0] * len(stored)
        # What was made of `_seen` from some number on, until another is seen.
        self._places: dict[int, dict[int, SourcePlace]] = {}

    def lists(self, buffer: Buffer) -> dict[int, Keyed]:
        """Where what the buffer brings goes, by channel."""
        return self._brought

    def saw(self, buffer: Buffer) -> None:
        """All that it brings is in the lists."""
        for channel, brought in self._brought.items():
            if buffer.last_offset > self._stored[channel]:
                values = self.values[channel]
                values += brought
                self._ends[channel].append((buffer.sequence, len(values)))
        self._brought.clear()
        self._seen.append((buffer.sequence, SourcePlace(buffer.last_offset, buffer.cursor)))
        self._places.clear()

    def part(self, channel: int, now_ns: int) -> Buffer | None:
        """Takes out what there is for a channel; None when it need not be told anything now."""
        told, count = self._told[channel], len(self._seen)
        if told == count:
            return None
        self._told[channel] = count
        sequence, place = self._seen[-1]
        ends, self._ends[channel] = self._ends[channel], []
        values = self._taken(channel)
        made = Buffer(self._source, sequence, 0, place.last_offset, values, cursor=place.cursor)
        if count - told > 1:
            made.parts = Parts(self._places_from(told), ends)
        return made

    def _places_from(self, told: int) -> dict[int, SourcePlace]:
        places = self._places.get(told)
        if places is None:
            places = self._places[told] = dict(self._seen[told:])
        return places

    def all_told(self) -> None:
        """Every channel has had its part."""
        self._seen.clear()
        self._places.clear()
        self._told = [0] * len(self._told)

    @property
    def is_told(self) -> bool:
        return not self._seen

    def last_word(self) -> Buffer | None:
        """Nothing: every channel knows of every buffer."""
        return None


Gathered = GatheredInOrder | GatheredInParts
