"""The log writer of one partition: puts what sources bring through flow control into the log, once."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from engine.core.clock import NS_PER_SECOND
from engine.core.columns import Columns
from engine.core.errors import AppendError, StoppedError
from engine.core.records import Record, RecordType, WriteSource, encode_record
from engine.core.storable import UNSTORABLE
from engine.core.unit import ProgressBySource, SourceProgress, Unit
from engine.partition.partition import Partition
from engine.partition.retention import DiskSpace
from engine.tasks.buffers import Buffer, InputGate, Parts, SourcePlace
from engine.tasks.subtask import Subtask

SOURCE_INTENT = "create"
# Tells of values that the log cannot hold, each with why, and how far some source is then; raises itself where
# the policy says stop.
Unstorable = Callable[[SourceProgress, Sequence[tuple[object, Exception]]], None]
# A plain string: looking up and encoding a member of an enumeration costs more than the record around it.
_COMMAND = RecordType.COMMAND.value


class _Held:
    """What came of one source before its turn. Invariant: between two pushes all of it has a sequence above `turn`."""

    __slots__ = ("places", "turn", "values")

    def __init__(self) -> None:
        # The sequence that comes next.
        self.turn = 0
        # By sequence; and a heap of what was brought, by sequence.
        self.places: dict[int, SourcePlace] = {}
        self.values: list[tuple[int, list[Any]]] = []

    def add(self, buffer: Buffer, parts: Parts) -> None:
        begin = 0
        for sequence, end in parts.ends:
            heapq.heappush(self.values, (sequence, buffer.values[begin:end]))
            begin = end
        self.places.update(parts.places)

    def take(self) -> tuple[SourcePlace | None, list[Any]]:
        """The last place whose turn has come, and all values up to there."""
        newest: SourcePlace | None = None
        turn, places = self.turn, self.places
        while (place := places.pop(turn, None)) is not None:
            newest = place
            turn += 1
        self.turn = turn
        values: list[Any] = []
        while self.values and self.values[0][0] < turn:
            values += heapq.heappop(self.values)[1]
        return newest, values


class BufferOrder:
    """Restores the order of each source's buffers behind parallel tasks.

    Works on parts: a buffer that came by itself is one. A buffer of which some part is early gives its place in the
    producer's pool back while that is held: the part that is missing may be stuck behind it in the same pool. Few are
    ever held, for a source gives its buffers out in turn: no lane can run further ahead than the slowest lane's pools
    are long.
    """

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def push(self, buffer: Buffer) -> Buffer | None:
        """Everything whose turn has come, in order, as one buffer."""
        held = self._held.get(buffer.source)
        if held is None:
            held = self._held[buffer.source] = _Held()
        if buffer.parts is None and buffer.sequence == held.turn and not held.places:
            held.turn += 1
            return buffer
        parts = buffer.parts or _alone(buffer)
        held.add(buffer, parts)
        newest, values = held.take()
        if max(parts.places) >= held.turn:
            buffer.recycle()
        if newest is None:
            return None
        buffer.sequence = held.turn - 1
        buffer.last_offset, buffer.cursor = newest
        buffer.values, buffer.parts = values, None
        return buffer


def _alone(buffer: Buffer) -> Parts:
    place = SourcePlace(buffer.last_offset, buffer.cursor)
    return Parts({buffer.sequence: place}, [(buffer.sequence, len(buffer.values))] if buffer.values else [])


class _SourceCursor:
    """Where one source stands on this partition, and how much of what comes next is already stored."""

    __slots__ = ("extra", "offset", "place", "skip", "source")

    def __init__(self, stored: SourceProgress) -> None:
        self.source = stored.source
        self.offset = stored.offset
        # What the source handed out with `offset`.
        self.place = stored.cursor
        # Values behind `offset` that an earlier run stored; dropped as they come again.
        self.skip = stored.extra
        # Values behind `offset` that are stored, those still to be dropped included.
        self.extra = stored.extra

    def passed(self, buffer: Buffer) -> None:
        """All of `buffer` is dealt with; what is still to be skipped lies behind it now."""
        self.offset, self.place, self.extra = buffer.last_offset, buffer.cursor, self.skip

    def progress(self) -> SourceProgress:
        return SourceProgress(self.source, self.offset, self.extra, self.place)


class LogWriterTask:
    """Turns buffers into units of `user_command` records, cut to what the write limit allows in 100 ms.

    Each unit carries how far its sources have come, so that records and progress become true together. It waits for
    both limits, in line with all other writers; an append that fails (disk full) is tried again until it succeeds.
    """

    def __init__(
        self,
        partition: Partition,
        gate: InputGate,
        producers: int,
        subtask: Subtask,
        *,
        stored: ProgressBySource,
        in_order: bool,
        batch_records: int,
        value_type: str,
        unstorable: Unstorable,
    ) -> None:
        """`stored` is how far the sources are, as their tasks are told too."""
        self._partition = partition
        self._gate = gate
        self._producers = producers
        self._timer = subtask.timer
        self._meter = subtask.meter
        self._order = None if in_order else BufferOrder()
        self._batch_records = batch_records
        self._value_type = value_type
        # What all of its records have in common.
        self._heads = [(_COMMAND, value_type, SOURCE_INTENT)]
        self._always_allowed = partition.always_allowed.covers_kind(value_type, SOURCE_INTENT)
        self._unstorable = unstorable
        self._cursors = {name: _SourceCursor(progress) for name, progress in stored.items()}
        # Buffers whose values are not all stored, in order, and how far the first one is.
        self._pending: deque[Buffer] = deque()
        self._pending_values = 0
        self._index = 0
        self._ended = 0
        self._canceled = False

    def cancel(self) -> None:
        """Ends the task at the next unit, also while it waits for a limit or for room; from any thread."""
        self._canceled = True
        self._gate.wake()
        self._partition.gate.wake_waiting()
        self._partition.wake()

    def _is_canceled(self) -> bool:
        return self._canceled

    def run(self) -> None:
        while self._ended < self._producers or self._pending:
            if not self._pending:
                self._accept(self._gate.take(NS_PER_SECOND))
            self._gather()
            if self._canceled:
                raise StoppedError("the task is canceled")
            self._store_some()

    # -- taking in ---

    def _gather(self) -> None:
        """Takes what else has come, up to a batch."""
        while self._pending_values < self._batch_records and (buffer := self._gate.poll()) is not None:
            self._accept(buffer)

    def _accept(self, buffer: Buffer | None) -> None:
        if buffer is None:
            return
        if buffer.end:
            self._ended += 1
            buffer.recycle()
            return
        ready = buffer if self._order is None else self._order.push(buffer)
        if ready is not None:
            self._meter.records_in += len(ready.values)
            self._take_in_turn(ready)

    def _take_in_turn(self, buffer: Buffer) -> None:
        cursor = self._cursors.get(buffer.source)
        if cursor is None:
            cursor = self._cursors[buffer.source] = _SourceCursor(SourceProgress(buffer.source, 0))
        if buffer.last_offset <= cursor.offset and not self._is_pending(buffer.source):
            # An earlier run stored all of it (or it says nothing new).
            buffer.recycle()
            return
        self._pending.append(buffer)
        self._pending_values += len(buffer.values)

    def _is_pending(self, source: str) -> bool:
        return any(buffer.source == source for buffer in self._pending)

    # -- storing ---

    def _store_some(self) -> None:
        """Stores one unit's worth of what is pending."""
        room = min(self._batch_records, self._partition.gate.suggested_batch_records())
        keyed: list[tuple[str, Any]] = []
        done: list[Buffer] = []
        progress: dict[str, SourceProgress] = {}
        while self._pending and (len(keyed) < room or not self._pending[0].values):
            buffer = self._pending[0]
            cursor = self._cursors[buffer.source]
            self._skip(buffer, cursor)
            taken = buffer.values[self._index : self._index + room - len(keyed)]
            keyed += taken
            self._index += len(taken)
            if self._index == len(buffer.values):
                cursor.passed(buffer)
                done.append(self._pending.popleft())
                self._index = 0
            else:
                cursor.extra += len(taken)
            progress[buffer.source] = cursor.progress()
        self._store(keyed, list(progress.values()))
        for buffer in done:
            self._pending_values -= len(buffer.values)
            buffer.recycle()

    def _skip(self, buffer: Buffer, cursor: _SourceCursor) -> None:
        """Passes over values that an earlier run has stored."""
        if cursor.skip and self._index < len(buffer.values):
            count = min(cursor.skip, len(buffer.values) - self._index)
            self._index += count
            cursor.skip -= count

    def _columns(self, keyed: Sequence[tuple[str, Any]]) -> Columns:
        keys, values = [key for key, _ in keyed], [value for _, value in keyed]
        return Columns(heads=self._heads, keys=keys, values=values)

    def _store(self, keyed: list[tuple[str, Any]], progress: list[SourceProgress]) -> None:
        if not keyed:
            for passed in progress:
                self._partition.source_passed(passed)
            return
        unit = Unit(source=WriteSource.USER_COMMAND, records=self._columns(keyed), progress=progress)
        while True:
            self._partition.wait_for_room(
                up_to=DiskSpace.ENOUGH, blocked=self._timer.blocked, is_canceled=self._is_canceled
            )
            permit = self._partition.wait_acquire(
                WriteSource.USER_COMMAND,
                len(keyed),
                blocked=self._timer.blocked,
                always_allowed=self._always_allowed,
                is_canceled=self._is_canceled,
            )
            self._timer.busy()
            try:
                self._partition.append(unit, permit)
            except UNSTORABLE:
                keyed = self._storable(keyed, progress[0])
                if not keyed:
                    self._store(keyed, progress)
                    return
                unit.records = self._columns(keyed)
            except AppendError:
                if self._canceled or not self._partition.pause_after_failure():
                    raise StoppedError("the task is canceled") from None
            else:
                self._meter.records_out += len(keyed)
                return

    def _storable(self, keyed: list[tuple[str, Any]], progress: SourceProgress) -> list[tuple[str, Any]]:
        """Those that the log can hold; the others are set aside. Some source's place stands for that of them."""
        good: list[tuple[str, Any]] = []
        bad: list[tuple[object, Exception]] = []
        for key, value in keyed:
            try:
                encode_record(Record(_COMMAND, self._value_type, SOURCE_INTENT, key, value))
            except UNSTORABLE as error:
                bad.append((value, error))
            else:
                good.append((key, value))
        if not bad:
            raise AssertionError("each record can be stored, and all of them cannot")
        self._unstorable(progress, bad)
        return good
