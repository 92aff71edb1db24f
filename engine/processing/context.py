"""What a processor writes while it has a record in hand, gathered until the unit is handed over."""

from __future__ import annotations

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.identity import partition_of
from engine.core.records import Record, RecordType, WriteSource, encode_record
from engine.core.unit import Message, Timer, Unit
from engine.processing.state import StateOverlay
from engine.processing.timers import wall_ahead_ns

# A plain string: an attribute of an enumeration costs more than the record around it.
_EVENT = RecordType.EVENT.value


class Rejected(Exception):
    """Raised by `context.reject` to leave the processor; its text is the reason."""


class UnitContext:
    """Implements `ProcessingContext`; one for the life of a processing task, whose thread alone uses it."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        clock: Clock,
        state: StateOverlay,
        *,
        next_timer_id: int,
        next_sequence: int,
    ) -> None:
        # Plain attributes, for processors ask for the state once a record or more.
        self.partition = partition
        self.state = state
        self._partitions = partitions
        self._clock = clock
        self._next_timer_id = next_timer_id
        self._next_sequence = next_sequence
        # The record in hand, or the last one.
        self.record: Record = Record(RecordType.COMMAND, "", "", "", None)
        # What the unit in hand has gathered; the processing task looks at how much that is.
        self.results: list[Record] = []
        self.messages: list[Message] = []
        self._timers: list[Timer] = []
        # Of the unit in hand; None until somebody asks.
        self._wall_ahead_ns: int | None = None
        # The first timer and message of a record that has any, noted when it writes the first of them: most have none.
        # Both are numbered without a gap, so that their numbers tell how many there are.
        self._numbered: Record | None = None
        self._timer_id_before = next_timer_id
        self._sequence_before = next_sequence

    # -- what the processor calls ---

    def emit(self, value_type: str, value: object, *, intent: str = "emitted", key: str | None = None) -> None:
        record = self.record
        self.results.append(
            Record(_EVENT, value_type, intent, record.key if key is None else key, value, record.position)
        )

    def send(self, key: str, value_type: str, value: object, *, intent: str = "receive") -> None:
        command = Record(RecordType.COMMAND, value_type, intent, key, value, self.record.position)
        receiver = partition_of(key, self._partitions)
        if receiver == self.partition:
            self.results.append(command)
        else:
            self._note_numbers()
            self.messages.append(Message(self._next_sequence, receiver, encode_record(command)))
            self._next_sequence += 1

    def schedule(
        self, delay_seconds: float, value_type: str, value: object, *, intent: str = "fire", key: str = ""
    ) -> None:
        if not 0 <= delay_seconds < 10 * 365 * 86400:
            raise ValueError(f"delay_seconds must lie between 0 and ten years, not {delay_seconds}")
        command = Record(RecordType.COMMAND, value_type, intent, key, value, self.record.position)
        self._note_numbers()
        due_ns = self._clock.monotonic_ns() + self.wall_ahead_ns + round(delay_seconds * NS_PER_SECOND)
        self._timers.append(Timer(self._next_timer_id, due_ns, encode_record(command)))
        self._next_timer_id += 1

    def reject(self, reason: str) -> None:
        raise Rejected(reason)

    # -- what the processing task calls ---

    def begin(self, record: Record) -> None:
        """Takes `record` in hand; what the one before has written is kept."""
        self.record = record
        self.state.keep_record()

    def undo_record(self) -> None:
        """Takes back everything since `begin`."""
        results, position = self.results, self.record.position
        while results and results[-1].source_position == position:
            results.pop()
        if self._numbered is self.record:
            del self._timers[len(self._timers) - (self._next_timer_id - self._timer_id_before) :]
            del self.messages[len(self.messages) - (self._next_sequence - self._sequence_before) :]
            self._next_timer_id, self._next_sequence = self._timer_id_before, self._sequence_before
        self.state.undo_record()

    def _note_numbers(self) -> None:
        if self._numbered is not self.record:
            self._numbered = self.record
            self._timer_id_before, self._sequence_before = self._next_timer_id, self._next_sequence

    def refuse(self, reason: str) -> None:
        """Writes the rejection of the record in hand."""
        record = self.record
        self.results.append(
            Record(
                RecordType.REJECTION,
                record.value_type,
                record.intent,
                record.key,
                {"reason": reason, "value": record.value},
                record.position,
            )
        )

    @property
    def position(self) -> int:
        """Of the record in hand, or the last one."""
        return self.record.position

    @property
    def wall_ahead_ns(self) -> int:
        """Wall minus monotonic time, read once a unit: its timers are stored by the one and waited for by the other.

        Read again at the commit, a jump of the wall clock in between would move them.
        """
        if self._wall_ahead_ns is None:
            self._wall_ahead_ns = wall_ahead_ns(self._clock)
        return self._wall_ahead_ns

    def take_unit(self, processed_position: int) -> Unit:
        """Everything gathered, as a unit; the context is empty after."""
        self.state.keep_record()
        unit = Unit(
            source=WriteSource.PROCESSING_RESULT,
            records=self.results,
            state=self.state.changes,
            timers_added=self._timers,
            outbox=self.messages,
            processed_position=processed_position,
        )
        self._empty()
        return unit

    def discard(self, next_timer_id: int, next_sequence: int) -> None:
        """Forgets everything gathered; the counters go back to what the caller remembers."""
        self._empty()
        self._next_timer_id, self._next_sequence = next_timer_id, next_sequence
        self.state.discard()

    def _empty(self) -> None:
        self.results, self._timers, self.messages = [], [], []
        self._numbered = None
        self._wall_ahead_ns = None

    @property
    def counters(self) -> tuple[int, int]:
        return self._next_timer_id, self._next_sequence
