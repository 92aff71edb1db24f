"""The task of one source: reads values, cuts them into buffers, hands them on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import DamagedInputError
from engine.core.snapshot import InputSnapshot
from engine.sources.protocol import Source, SourceBatch, SourceStart, input_of, is_prompt
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


class SourceTask:
    """Reads a source from where the partitions stand.

    `boundaries` are the offsets that partitions have stored: a buffer never reaches across one, so that a partition
    can drop whole buffers that it has.
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
    ) -> None:
        self._name = name
        self._source = source
        self._is_prompt = is_prompt(source)
        self._start = start
        self._boundaries = sorted(offset for offset in boundaries if offset > start.offset)
        self._outlet = outlet
        self._meter = subtask.meter
        self._timer = subtask.timer
        self._failed = failed
        self._buffer_records = buffer_records
        self._stopping = Event()
        self._offset = start.offset
        subtask.input = self._input

    def stop(self) -> None:
        """Ends the task after the buffer in hand; from any thread."""
        self._stopping.set()

    def run(self) -> None:
        offset, sequence = self._offset, 0
        pause_seconds = _PAUSE_MIN_SECONDS
        self._source.open(self._start)
        try:
            while not self._stopping.is_set():
                room = self._room(offset)
                batch = self._source.read(room)
                if batch is None:
                    break
                _check_place(batch)
                if batch.values:
                    self._send(batch, sequence)
                    sequence += 1
                    pause_seconds = _PAUSE_MIN_SECONDS
                    if len(batch.values) < room and not self._is_prompt:
                        # It may wait inside of the next read.
                        self._outlet.flush()
                else:
                    self._pause(min(pause_seconds, self._outlet.look() / NS_PER_SECOND))
                    pause_seconds = min(2 * pause_seconds, _PAUSE_MAX_SECONDS)
                offset = self._offset = max(offset, batch.last_offset)
        except DamagedInputError:
            # All in front of it is good, and is to get through before the run ends.
            self._outlet.end()
            raise
        finally:
            self._source.close()
        self._outlet.end()

    def _input(self) -> InputSnapshot | None:
        """From any thread."""
        known = input_of(self._source)
        return None if known is None else replace(known, offset=self._offset)

    def _pause(self, seconds: float) -> None:
        """Nothing has come: idle for a moment, or until the task is stopped."""
        self._timer.idle()
        self._stopping.wait(seconds)
        self._timer.busy()

    def _room(self, offset: int) -> int:
        """How many values the next buffer may take."""
        while self._boundaries and self._boundaries[0] <= offset:
            self._boundaries.pop(0)
        if self._boundaries:
            return min(self._buffer_records, self._boundaries[0] - offset)
        return self._buffer_records

    def _send(self, batch: SourceBatch, sequence: int) -> None:
        self._meter.records_in += len(batch.values)
        buffer = Buffer(
            self._name, sequence, batch.first_offset, batch.last_offset, batch.values, batch.offsets, batch.cursor
        )
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


def _check_place(batch: SourceBatch) -> None:
    """What no log can store would never be stored, however often it is tried."""
    first, cursor = batch.first_offset, batch.cursor
    if type(first) is not int or not 0 <= first <= _OFFSET_MAX - len(batch.values):
        raise ValueError(f"an offset of a source is a whole number from 1 to {_OFFSET_MAX}, not {first!r}")
    if batch.offsets is not None and len(batch.offsets) != len(batch.values):
        raise ValueError(f"a source gave {len(batch.values)} values and {len(batch.offsets)} offsets")
    if cursor is not None and type(cursor) is not bytes:
        raise TypeError(f"the cursor of a source is bytes or None, not {type(cursor).__name__}")
