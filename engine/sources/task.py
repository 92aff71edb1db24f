"""The task of one source: reads values, cuts them into buffers, hands them on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from threading import Event
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import DamagedInputError
from engine.core.snapshot import InputSnapshot
from engine.core.unit import SourceProgress
from engine.sources.protocol import (
    Source,
    SourceBatch,
    SourceStart,
    SplitSource,
    SplitStart,
    input_of,
    is_prompt,
    split_name,
)
from engine.sources.unreadable import Unreadable, UnreadableError
from engine.tasks.buffers import Buffer
from engine.tasks.outlets import Outlet

if TYPE_CHECKING:
    from engine.tasks.subtask import Subtask

# How long a source that had nothing is left alone: short at first, so that a pipe is never starved.
_PAUSE_MIN_SECONDS = 0.001
_PAUSE_MAX_SECONDS = 0.02
_OFFSET_MAX = (1 << 63) - 1

# Tells of a value that could not be read; raises itself where the policy says stop.
Failed = Callable[[Buffer, int, Exception], None]


class _Way:
    """A source, or one of its splits: where it stands."""

    __slots__ = ("boundaries", "name", "offset", "sequence")

    def __init__(self, name: str, offset: int, boundaries: Collection[int]) -> None:
        self.name = name
        self.offset = offset
        self.sequence = 0
        self.boundaries = sorted(boundary for boundary in boundaries if boundary > offset)

    def room(self, offset: int, most: int) -> int:
        """How many values a buffer may take that begins behind `offset`."""
        boundaries = self.boundaries
        while boundaries and boundaries[0] <= self.offset:
            boundaries.pop(0)
        for boundary in boundaries:
            if boundary > offset:
                return min(most, boundary - offset)
        return most


class SourceTask:
    """Reads a source from where the partitions stand.

    `boundaries` are the offsets that partitions have stored: a buffer never reaches across one, so that a partition
    can drop whole buffers that it has. `splits` are the places of a source that has splits, on all partitions.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        start: SourceStart,
        boundaries: Collection[int],
        outlet: Outlet,
        subtask: Subtask,
        failed: Failed,
        *,
        buffer_records: int,
        splits: Mapping[str, Sequence[SourceProgress]] = MappingProxyType({}),
    ) -> None:
        self._name = name
        self._source = source
        self._is_prompt = is_prompt(source)
        self._start = start
        self._whole = _Way(name, start.offset, boundaries)
        self._split_starts = {split: _split_start(places) for split, places in splits.items()}
        self._ways = {
            split: _Way(split_name(name, split), self._split_starts[split].offset, {place.offset for place in places})
            for split, places in splits.items()
        }
        self._outlet = outlet
        self._meter = subtask.meter
        self._timer = subtask.timer
        self._failed = failed
        self._buffer_records = buffer_records
        self._stopping = Event()
        # Values read and lines passed, of all splits.
        self._offset = start.offset + sum(way.offset for way in self._ways.values())
        subtask.input = self._input

    def stop(self) -> None:
        """Ends the task after the buffer in hand; from any thread."""
        self._stopping.set()

    def run(self) -> None:
        pause_seconds = _PAUSE_MIN_SECONDS
        if isinstance(self._source, SplitSource):
            self._source.open_splits(self._split_starts)
        else:
            self._source.open(self._start)
        try:
            while not self._stopping.is_set():
                batch = self._read()
                if batch is None:
                    break
                _check_place(batch)
                way = self._way(batch.split) if batch.split else self._whole
                if batch.values or (batch.split and batch.cursor is not None and batch.last_offset > way.offset):
                    room = way.room(way.offset, self._buffer_records)
                    self._send(batch, way)
                    pause_seconds = _PAUSE_MIN_SECONDS
                    if not batch.values or (len(batch.values) < room and not self._is_prompt):
                        # It may wait inside of the next read; or what follows relies on what this says.
                        self._outlet.flush()
                else:
                    self._pause(min(pause_seconds, self._outlet.look() / NS_PER_SECOND))
                    pause_seconds = min(2 * pause_seconds, _PAUSE_MAX_SECONDS)
                if batch.last_offset > way.offset:
                    self._offset += batch.last_offset - way.offset
                    way.offset = batch.last_offset
        except DamagedInputError:
            # All in front of it is good, and is to get through before the run ends.
            self._outlet.end()
            raise
        finally:
            self._source.close()
        self._outlet.end()

    def _read(self) -> SourceBatch | None:
        if isinstance(self._source, SplitSource):
            return self._source.read_split(self._room)
        return self._source.read(self._whole.room(self._whole.offset, self._buffer_records))

    def _room(self, split: str, offset: int) -> int:
        return self._way(split).room(offset, self._buffer_records)

    def _way(self, split: str) -> _Way:
        way = self._ways.get(split)
        if way is None:
            way = self._ways[split] = _Way(split_name(self._name, split), 0, ())
        return way

    def _input(self) -> InputSnapshot | None:
        """From any thread."""
        known = input_of(self._source)
        return None if known is None else replace(known, offset=self._offset)

    def _pause(self, seconds: float) -> None:
        """Nothing has come: idle for a moment, or until the task is stopped."""
        self._timer.idle()
        self._stopping.wait(seconds)
        self._timer.busy()

    def _send(self, batch: SourceBatch, way: _Way) -> None:
        self._meter.records_in += len(batch.values)
        buffer = Buffer(
            way.name, way.sequence, batch.first_offset, batch.last_offset, batch.values, batch.offsets, batch.cursor
        )
        way.sequence += 1
        if Unreadable in {*map(type, batch.values)}:
            self._leave_out_unreadable(buffer)
        count = len(buffer.values)
        self._outlet.send(buffer)
        self._meter.records_out += count

    def _leave_out_unreadable(self, buffer: Buffer) -> None:
        """Gives what could not be read to the source's policy, and keeps the offsets of the rest."""
        values: list[Any] = []
        offsets: list[int] = []
        for index, value in enumerate(buffer.values):
            if type(value) is Unreadable:
                self._failed(buffer, index, UnreadableError(value.reason))
            else:
                values.append(value)
                offsets.append(buffer.offset_at(index))
        buffer.values, buffer.offsets = values, offsets


def _split_start(places: Sequence[SourceProgress]) -> SplitStart:
    furthest_back = min(places, key=lambda place: place.offset)
    newest = max(places, key=lambda place: place.offset)
    return SplitStart(furthest_back.offset, furthest_back.cursor, newest.cursor or b"")


def _check_place(batch: SourceBatch) -> None:
    """What no log can store would never be stored, however often it is tried."""
    first, cursor = batch.first_offset, batch.cursor
    if type(first) is not int or not 0 <= first <= _OFFSET_MAX - len(batch.values):
        raise ValueError(f"an offset of a source is a whole number from 1 to {_OFFSET_MAX}, not {first!r}")
    if batch.offsets is not None and len(batch.offsets) != len(batch.values):
        raise ValueError(f"a source gave {len(batch.values)} values and {len(batch.offsets)} offsets")
    if cursor is not None and type(cursor) is not bytes:
        raise TypeError(f"the cursor of a source is bytes or None, not {type(cursor).__name__}")
