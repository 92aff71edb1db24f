"""What a processor writes while it has a record in hand, gathered until the unit is handed over."""

from __future__ import annotations

from engine.clock import NS_PER_SECOND, Clock
from engine.identity import partition_of
from engine.processing.state import StateOverlay
from engine.records import Record, RecordType, WriteSource, encode_record
from engine.unit import Message, Timer, Unit

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
        self._partition = partition
        self._partitions = partitions
        self._clock = clock
        self._state = state
        self._next_timer_id = next_timer_id
        self._next_sequence = next_sequence
        self._record: Record = Record(RecordType.COMMAND, "", "", "", None)
        self._results: list[Record] = []
        self._timers: list[Timer] = []
        self._outbox: list[Message] = []
        self._mark = (0, 0, 0, next_timer_id, next_sequence)

    # -- what the processor calls ---

    @property
    def partition(self) -> int:
        return self._partition

    @property
    def state(self) -> StateOverlay:
        return self._state

    def emit(self, value_type: str, value: object, *, intent: str = "emitted", key: str | None = None) -> None:
        record = self._record
        self._results.append(
            Record(_EVENT, value_type, intent, record.key if key is None else key, value, record.position)
        )

    def send(self, key: str, value_type: str, value: object, *, intent: str = "receive") -> None:
        command = Record(RecordType.COMMAND, value_type, intent, key, value, self._record.position)
        receiver = partition_of(key, self._partitions)
        if receiver == self._partition:
            self._results.append(command)
        else:
            self._outbox.append(Message(self._next_sequence, receiver, encode_record(command)))
            self._next_sequence += 1

    def schedule(
        self, delay_seconds: float, value_type: str, value: object, *, intent: str = "fire", key: str = ""
    ) -> None:
        if not 0 <= delay_seconds < 10 * 365 * 86400:
            raise ValueError(f"delay_seconds must lie between 0 and ten years, not {delay_seconds}")
        command = Record(RecordType.COMMAND, value_type, intent, key, value, self._record.position)
        due_ns = self._clock.wall_ns() + round(delay_seconds * NS_PER_SECOND)
        self._timers.append(Timer(self._next_timer_id, due_ns, encode_record(command)))
        self._next_timer_id += 1

    def reject(self, reason: str) -> None:
        raise Rejected(reason)

    # -- what the processing task calls ---

    def begin(self, record: Record) -> None:
        self._record = record
        self._mark = (
            len(self._results),
            len(self._timers),
            len(self._outbox),
            self._next_timer_id,
            self._next_sequence,
        )

    def keep_record(self) -> None:
        self._state.keep_record()

    def undo_record(self) -> None:
        """Takes back everything since `begin`."""
        results, timers, outbox, self._next_timer_id, self._next_sequence = self._mark
        del self._results[results:]
        del self._timers[timers:]
        del self._outbox[outbox:]
        self._state.undo_record()

    def refuse(self, reason: str) -> None:
        """Writes the rejection of the record in hand."""
        record = self._record
        self._results.append(
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
    def results(self) -> int:
        return len(self._results)

    @property
    def messages(self) -> int:
        return len(self._outbox)

    def take_unit(self, processed_position: int) -> Unit:
        """Everything gathered, as a unit; the context is empty after."""
        unit = Unit(
            source=WriteSource.PROCESSING_RESULT,
            records=self._results,
            state=self._state.changes,
            timers_added=self._timers,
            outbox=self._outbox,
            processed_position=processed_position,
        )
        self._results, self._timers, self._outbox = [], [], []
        return unit

    def discard(self, next_timer_id: int, next_sequence: int) -> None:
        """Forgets everything gathered; the counters go back to what the caller remembers."""
        self._results, self._timers, self._outbox = [], [], []
        self._next_timer_id, self._next_sequence = next_timer_id, next_sequence
        self._state.discard()

    @property
    def counters(self) -> tuple[int, int]:
        return self._next_timer_id, self._next_sequence
