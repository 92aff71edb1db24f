"""What a processor writes while it has a record in hand, gathered until the unit is handed over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.columns import Columns, Content
from engine.core.identity import partition_of
from engine.core.records import Record, RecordType, WriteSource, encode_record
from engine.core.unit import Message, Timer, Unit
from engine.processing.commands import Commands
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
        # What the unit in hand has gathered; the processing task looks at how much that is. What was emitted together
        # is a part of its own, with what was written before in front of it.
        self.results: list[Record] = []
        self._parts: list[Content] = []
        # Those of the batch in hand, and what the unit held before it: parts and counters.
        self._commands: Commands | None = None
        self._before_batch = (0, 0, next_timer_id, next_sequence)
        self.messages: list[Message] = []
        self._timers: list[Timer] = []
        # Numbers of timers, some perhaps of this unit, some perhaps past.
        self._canceled: list[int] = []
        # Of the unit in hand; None until somebody asks.
        self._wall_ahead_ns: int | None = None
        # The first timer and message of a record that has any, noted when it writes the first of them: most have none.
        # Both are numbered without a gap, so that their numbers tell how many there are.
        self._numbered: Record | None = None
        self._timer_id_before = next_timer_id
        self._sequence_before = next_sequence
        self._canceled_before = 0

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
    ) -> int:
        if not 0 <= delay_seconds < 10 * 365 * 86400:
            raise ValueError(f"delay_seconds must lie between 0 and ten years, not {delay_seconds}")
        command = Record(RecordType.COMMAND, value_type, intent, key, value, self.record.position)
        self._note_numbers()
        due_ns = self._clock.monotonic_ns() + self.wall_ahead_ns + round(delay_seconds * NS_PER_SECOND)
        timer_id = self._next_timer_id
        self._timers.append(Timer(timer_id, due_ns, encode_record(command)))
        self._next_timer_id += 1
        return timer_id

    def cancel(self, timer: int) -> None:
        if type(timer) is not int or not 0 < timer < self._next_timer_id:
            raise ValueError(f"there was never a timer {timer!r}; `schedule` returns its number")
        self._note_numbers()
        self._canceled.append(timer)

    def reject(self, reason: str) -> None:
        raise Rejected(reason)

    # -- what a processor of batches calls besides ---

    def take(self, index: int) -> None:
        self.record = self._batch.record(index)

    def emit_batch(
        self,
        value_type: str,
        values: Sequence[Any],
        *,
        intent: str | Sequence[str] = "emitted",
        keys: Sequence[str] | None = None,
        of: Sequence[int] | None = None,
    ) -> None:
        commands = self._batch
        places = range(len(commands)) if of is None else of
        intents = None if isinstance(intent, str) else intent
        for what, given in (("commands that they are of", places), ("keys", keys), ("intents", intents)):
            if given is not None and len(given) != len(values):
                raise ValueError(f"emit_batch got {len(values)} values and {len(given)} {what}; there must be as many")
        if not values:
            return
        self._close_part()
        words = [intent] if isinstance(intent, str) else [*intent]
        known = {word: place for place, word in enumerate(dict.fromkeys(words))}
        self._parts.append(
            Columns(
                heads=[(_EVENT, value_type, word) for word in known],
                head_of=None if len(known) == 1 else [known[word] for word in words],
                keys=[commands.keys[place] for place in places] if keys is None else [*keys],
                values=[*values],
                source_positions=[commands.positions[place] for place in places],
            )
        )

    @property
    def _batch(self) -> Commands:
        if self._commands is None:
            raise ValueError("there is no batch in hand: a record is processed alone")
        return self._commands

    # -- what the processing task calls ---

    def begin_batch(self, commands: Commands) -> None:
        """Takes `commands` in hand; what others have written before is kept."""
        self._close_part()
        self.state.keep_record()
        self._commands = commands
        self.record = commands.record(0)
        self._before_batch = (len(self._parts), len(self._canceled), *self.counters)

    def end_batch(self) -> None:
        self._commands = None

    def undo_batch(self) -> None:
        """Takes back everything since `begin_batch`."""
        parts, canceled, timer_id, sequence = self._before_batch
        del self._parts[parts:]
        del self._canceled[canceled:]
        self.results = []
        del self._timers[len(self._timers) - (self._next_timer_id - timer_id) :]
        del self.messages[len(self.messages) - (self._next_sequence - sequence) :]
        self._next_timer_id, self._next_sequence = timer_id, sequence
        self._numbered = None
        self.state.undo_record()
        self._commands = None

    def _close_part(self) -> None:
        if self.results:
            self._parts.append(self.results)
            self.results = []

    @property
    def written(self) -> int:
        """How many records the unit holds."""
        return len(self.results) + sum(map(len, self._parts))

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
            del self._canceled[self._canceled_before :]
        self.state.undo_record()

    def _note_numbers(self) -> None:
        if self._numbered is not self.record:
            self._numbered = self.record
            self._timer_id_before, self._sequence_before = self._next_timer_id, self._next_sequence
            self._canceled_before = len(self._canceled)

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
            records=Columns.joined([*self._parts, self.results]) if self._parts else self.results,
            state=self.state.changes,
            timers_added=self._timers,
            timers_fired=self._canceled,
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
        self.results, self._parts, self._timers, self._canceled, self.messages = [], [], [], [], []
        self._numbered = None
        self._wall_ahead_ns = None

    @property
    def counters(self) -> tuple[int, int]:
        return self._next_timer_id, self._next_sequence
