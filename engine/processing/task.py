"""The processing task of one partition: commands in, one unit out, at most a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import AppendError, ConfigurationError, StateReadError, StoppedError, TaskFailedError
from engine.core.observing import BatchObserver
from engine.core.record_batch import RecordBatch
from engine.core.records import Record, RecordType, WriteSource, decode_record
from engine.core.snapshot import BlockReason
from engine.core.storable import UNSTORABLE, any_too_deep, check_depth
from engine.core.unit import Unit
from engine.partition.in_hand import RecordInHand
from engine.partition.retention import DiskSpace
from engine.processing.commands import Commands, runs_of
from engine.processing.context import Rejected, UnitContext
from engine.processing.observation import Observation
from engine.processing.protocol import Aside, BatchContext, ProcessingContext, ProcessorFactory
from engine.processing.state import StateOverlay
from engine.processing.timers import TimerQueue

if TYPE_CHECKING:
    from engine.partition.partition import Partition
    from engine.tasks.subtask import Subtask

Process = Callable[[Record, ProcessingContext], None]
ProcessBatch = Callable[[Commands, BatchContext], None]

# How long an idle processor sleeps at most before it looks around.
_IDLE_WAIT_NS = NS_PER_SECOND
_TIMERS_AT_ONCE = 500
# A plain string: comparing each record's with a member of an enumeration costs four times as much.
_COMMAND = RecordType.COMMAND.value
_REJECTION = RecordType.REJECTION.value


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A command of the unit in hand is rejected."""

    record: Record
    reason: str
    # None where the processor itself rejects it.
    error: Exception | None


@dataclass(frozen=True, slots=True)
class _Taken:
    """The commands of a unit: how many, whether no limit holds their results, and on demand as they are in the log."""

    count: int
    always_allowed: bool
    commands: Callable[[], Sequence[Record]]


class ProcessingTask:
    """Reads commands in order, lets the processor work, and commits results, state and progress as one unit.

    Exactly once: a unit holds whole records only, and the position up to which they are processed. Events and
    rejections are passed over. A record whose processing raises is tried `attempts` times on its own, then
    rejected, or stops the pipeline. What is rejected is kept aside before its unit is stored.
    """

    def __init__(
        self,
        partition: Partition,
        partitions: int,
        factory: ProcessorFactory,
        subtask: Subtask,
        clock: Clock,
        *,
        aside: Aside,
        on_error: Literal["reject", "stop"],
        attempts: int,
        batch_records: int,
        outbox_records_max: int,
        observer: BatchObserver | None = None,
    ) -> None:
        recovered = partition.recovered
        self._partition = partition
        self._subtask = subtask
        self._timer = subtask.timer
        self._meter = subtask.meter
        self._clock = clock
        self._aside = aside
        self._on_error = on_error
        self._attempts = attempts
        self._batch_records = batch_records
        self._outbox_records_max = outbox_records_max
        self._next_position = recovered.processed_position + 1
        self._state = StateOverlay(partition.state_get, partition.state_scan)
        self._timers = TimerQueue(clock, recovered.timers)
        self._context = UnitContext(
            partition.number,
            partitions,
            clock,
            self._state,
            next_timer_id=recovered.next_timer_id,
            next_sequence=recovered.next_sequence,
        )
        self._in_hand = partition.in_hand = RecordInHand(partition.number, lambda: self._context.position, clock)
        processor = factory()
        self._process_batch: ProcessBatch | None = _method_of(processor, "process_batch")
        process: Process | None = _method_of(processor, "process")
        if process is None and self._process_batch is None:
            raise ConfigurationError(
                "a processor has a method process(record, context) or process_batch(commands, context); "
                f"{type(processor).__name__} has none"
            )
        self._process_one = process or self._as_batch
        self._observation = None if observer is None else Observation(observer, partition, subtask, clock)
        # A unit that comes to nothing rejects nobody.
        self._refused: list[_Refusal] = []
        self._stopping = False
        self._canceled = False
        self._timers_stopped = False

    def stop(self, *, at_once: bool = False) -> None:
        """Ends the task when it has caught up with the log, or after the unit in hand; from any thread."""
        self._canceled = self._canceled or at_once
        self._stopping = True
        self._partition.wake()

    def hold_timers(self) -> None:
        """No more timers fire in this run; they stay stored. From any thread."""
        self._timers_stopped = True

    def run(self) -> None:
        while not self._canceled:
            batches = self._partition.read(self._next_position, self._batch_records)
            if batches:
                self._fire_timers()
                if self._process_batch is None:
                    self._process(batches)
                else:
                    self._process_together(batches, self._process_batch)
            elif self._stopping:
                return
            elif not self._fire_timers():
                self._wait()

    def _wait(self) -> None:
        due_ns = None if self._timers_stopped else self._timers.next_due_ns()
        wait_ns = _IDLE_WAIT_NS if due_ns is None else min(_IDLE_WAIT_NS, due_ns - self._clock.monotonic_ns())
        if wait_ns > 0:
            self._timer.idle()
            self._partition.wait_for_record(self._next_position, wait_ns)
            self._timer.busy()

    # -- commands ---

    def _process(self, batches: list[RecordBatch]) -> None:
        """Processes what was read, unit by unit; a unit is cut to what 100 ms of the write limit allow.

        The results of commands that are always allowed are never held back: they share no unit with others.
        """
        commands = self._commands(batches, self._next_position)
        started_ns = self._clock.monotonic_ns()
        if self._observation is not None:
            self._observation.began(batches, started_ns)
        results_max = self._partition.gate.suggested_batch_records()
        self._in_hand.unit_since_ns = started_ns
        messages_max = self._outbox_records_max
        context = self._context
        before = context.counters
        borders = self._borders(commands)
        since = 0
        # What `_one` does, without a call: this is the path of each record.
        process, keep_record = self._process_one, self._state.keep_record
        results, messages = context.results, context.messages
        for index, command in enumerate(commands):
            context.record = command
            keep_record()
            try:
                process(command, context)
            except Exception as error:
                self._raised(command, error)
            if (
                len(results) >= results_max
                or (messages and len(messages) >= messages_max)
                or (borders and index in borders)
            ):
                self._hand_over(self._each(commands[since : index + 1]), command.position, before, started_ns)
                since = index + 1
                before = context.counters
                results, messages = context.results, context.messages
                self._in_hand.unit_since_ns = started_ns = self._clock.monotonic_ns()
                results_max = self._partition.gate.suggested_batch_records()
        if self._next_position <= batches[-1].last_position:
            self._hand_over(self._each(commands[since:]), batches[-1].last_position, before, started_ns)
        self._in_hand.unit_since_ns = None

    def _process_together(self, batches: list[RecordBatch], process_batch: ProcessBatch) -> None:
        """As `_process`, run by run: a run is a call of the processor's, and a unit has whole runs only."""
        context, always_allowed = self._context, self._partition.always_allowed
        runs_max = results_max = min(self._batch_records, self._partition.gate.suggested_batch_records())
        started_ns = self._clock.monotonic_ns()
        if self._observation is not None:
            self._observation.began(batches, started_ns)
        before, runs, covered = context.counters, list[Commands](), False
        for commands in runs_of(batches, self._next_position, runs_max):
            covers = always_allowed.covers_kind(commands.value_type, commands.intent)
            if runs and (
                covers != covered or context.written >= results_max or len(context.messages) >= self._outbox_records_max
            ):
                self._hand_over(self._taken(runs, covered), runs[-1].positions[-1], before, started_ns)
                before, runs, started_ns = context.counters, [], self._clock.monotonic_ns()
                results_max = self._partition.gate.suggested_batch_records()
            runs.append(commands)
            covered = covers
            self._in_hand.unit_since_ns = started_ns
            self._one_run(commands, process_batch)
        if self._next_position <= batches[-1].last_position:
            self._hand_over(self._taken(runs, covered), batches[-1].last_position, before, started_ns)
        self._in_hand.unit_since_ns = None

    def _one_run(self, commands: Commands, process_batch: ProcessBatch) -> None:
        """All of them at once or, where that fails, each alone."""
        context = self._context
        context.begin_batch(commands)
        try:
            process_batch(commands, context)
        except StoppedError:
            raise
        except Exception:
            context.undo_batch()
            for record in self._again([commands]):
                self._one(record)
        else:
            context.end_batch()

    def _taken(self, runs: list[Commands], always_allowed: bool) -> _Taken:
        return _Taken(sum(map(len, runs)), always_allowed, lambda: self._again(runs))

    def _again(self, runs: Sequence[Commands]) -> list[Record]:
        """The same from the log: who worked on their values may have changed them."""
        first, last = runs[0].positions[0], runs[-1].positions[-1]
        batches = self._partition.read(first, last - first + 1)
        return [record for record in self._commands(batches, first) if record.position <= last]

    def _each(self, commands: list[Record]) -> _Taken:
        return _Taken(len(commands), self._partition.always_allowed.covers_all(commands), lambda: commands)

    def _as_batch(self, record: Record, context: UnitContext) -> None:
        """One record, for a processor that knows batches alone."""
        assert self._process_batch is not None, "it has at least one of both"
        commands = Commands.of(record)
        context.begin_batch(commands)
        try:
            self._process_batch(commands, context)
        except Exception:
            context.undo_batch()
            raise
        context.end_batch()

    def _commands(self, batches: Sequence[RecordBatch], position: int) -> list[Record]:
        """Those of what was read, from a position on."""
        commands: list[Record] = []
        for batch in batches:
            if batch.may_hold(RecordType.COMMAND):
                records = batch.records_from(position)
                commands += (
                    records
                    if batch.holds_only(RecordType.COMMAND)
                    else [record for record in records if record.record_type == _COMMAND]
                )
        return commands

    def _borders(self, commands: Sequence[Record]) -> frozenset[int]:
        """After which commands the next ones are always allowed where these are not, or the other way round."""
        always_allowed = self._partition.always_allowed
        if not always_allowed.intents:
            return frozenset()
        kinds = [always_allowed.covers(command) for command in commands]
        return frozenset(index for index, (one, next_) in enumerate(pairwise(kinds)) if one is not next_)

    def _one(self, record: Record) -> None:
        """One command, until it succeeds or the policy decides."""
        self._context.begin(record)
        try:
            self._process_one(record, self._context)
        except Exception as error:
            self._raised(record, error)

    def _raised(self, record: Record, error: Exception) -> None:
        """The first attempt at a command ended so: tries again until it succeeds or the policy decides."""
        context, attempt = self._context, 1
        while True:
            if isinstance(error, StoppedError):
                raise error
            if isinstance(error, StateReadError):
                self._stop_run(record, f"cannot go on: {error}", error)
            context.undo_record()
            if isinstance(error, Rejected):
                self._refuse(record, str(error), None)
                return
            if attempt == self._attempts:
                self._failed(record, error)
                return
            attempt += 1
            context.begin(record)
            try:
                self._process_one(record, context)
            except Exception as again:
                error = again
            else:
                return

    def _failed(self, record: Record, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if self._on_error == "stop":
            self._stop_run(record, f"failed with {text}", error)
        self._refuse(record, text, error)

    def _refuse(self, record: Record, reason: str, error: Exception | None) -> None:
        self._refused.append(_Refusal(record, reason, error))
        self._context.refuse(reason)

    def _stop_run(self, record: Record, how: str, error: Exception) -> NoReturn:
        if self._observation is not None:
            self._observation.failed(self._next_position, record.position, error)
        raise TaskFailedError(f"processing of {self._place(record)} {how}") from error

    def _place(self, record: Record) -> str:
        return f"partition {self._partition.number}, position {record.position}"

    def _count_refused(self) -> None:
        """The unit is stored, its rejections count now."""
        for refusal in self._refused:
            self._meter.reject("processor" if refusal.error is None else "error")
        self._refused.clear()

    def _keep_refused(self) -> None:
        """Keeps aside what the unit in hand rejects, however long the disk takes."""
        refused = [(refusal.record, refusal.reason) for refusal in self._refused]
        while True:
            try:
                self._aside.keep(refused, self._refused[0].error)
            except OSError as error:
                if not self._partition.pause_after_failure():
                    raise StoppedError("the partition is stopping") from error
            else:
                return

    def _discard(self, before: tuple[int, int]) -> None:
        """The unit in hand comes to nothing."""
        self._context.discard(*before)
        if self._refused:
            self._aside.take_back([(refusal.record, refusal.reason) for refusal in self._refused])
            self._refused.clear()

    # -- handing over ---

    def _hand_over(self, taken: _Taken, position: int, before: tuple[int, int], started_ns: int) -> None:
        """Commits the unit of what was taken, and with it that everything up to `position` is processed.

        Falls back to one record a unit where a value cannot be encoded.
        """
        worked_ns = self._clock.monotonic_ns() - started_ns
        self._in_hand.unit_since_ns = None
        ahead_ns = self._context.wall_ahead_ns
        unit = self._context.take_unit(position)
        if not (unit.records or unit.state or unit.timers_added or unit.timers_fired or unit.outbox):
            self._partition.mark_processed(position)
        else:
            try:
                self._append(unit, always_allowed=taken.always_allowed)
            except UNSTORABLE:
                self._discard(before)
                self._one_by_one(taken.commands(), position)
            else:
                self._state.committed()
                self._timers.add(unit.timers_added, ahead_ns)
                self._timers.cancel(unit.timers_fired)
        self._count_refused()
        first_position, self._next_position = self._next_position, position + 1
        self._meter.records_in += position + 1 - first_position
        self._meter.records_out += len(unit.records) + len(unit.outbox)
        if taken.count:
            self._partition.processing_duration.observe(worked_ns // taken.count, taken.count)
        if self._observation is not None:
            self._observation.handed_over(taken.count, first_position, position, worked_ns, unit)

    def _one_by_one(self, commands: Sequence[Record], position: int) -> None:
        """A value of some record could not be encoded: finds out which, and lets the policy decide on it alone."""
        for record in commands:
            before = self._context.counters
            self._in_hand.unit_since_ns = self._clock.monotonic_ns()
            self._one(record)
            self._in_hand.unit_since_ns = None
            ahead_ns = self._context.wall_ahead_ns
            unit = self._context.take_unit(record.position)
            always_allowed = self._partition.always_allowed.covers(record)
            try:
                self._append(unit, always_allowed=always_allowed)
            except UNSTORABLE as error:
                self._discard(before)
                self._context.begin(record)
                self._failed(record, error)
                unit = self._context.take_unit(record.position)
                self._append(unit, always_allowed=always_allowed)
            self._count_refused()
            self._state.committed()
            self._timers.add(unit.timers_added, ahead_ns)
            self._timers.cancel(unit.timers_fired)
        self._partition.mark_processed(position)

    def _append(self, unit: Unit, *, always_allowed: bool = False) -> None:
        """Stores a unit; one that the log cannot store just now (disk full) is tried again until it can.

        Raises one of `UNSTORABLE` for a value that it never can.
        """
        records = unit.records
        if any_too_deep([record.value for record in records] if isinstance(records, list) else records.values):
            for record in records if isinstance(records, list) else records.records():
                # In a rejection, what came from the log is nested one level deeper.
                if record.record_type != _REJECTION:
                    check_depth(record.value)
        if self._refused:
            self._keep_refused()
        if unit.outbox:
            self._await_outbox()
        while True:
            self._partition.wait_for_room(up_to=DiskSpace.LOW, blocked=self._timer.blocked)
            self._timer.busy()
            permit = None
            if unit.records:
                permit = self._partition.wait_acquire(
                    unit.source, len(unit.records), blocked=self._timer.blocked, always_allowed=always_allowed
                )
                self._timer.busy()
            try:
                self._partition.append(unit, permit)
            except AppendError as error:
                if not self._partition.pause_after_failure():
                    raise StoppedError("the partition is stopping") from error
            else:
                return

    def _await_outbox(self) -> None:
        """A full outbox holds the processor back until messages have gone out."""
        while not self._partition.wait_for_outbox(self._outbox_records_max, 0):
            self._timer.blocked(BlockReason.INTER_PARTITION)
            if self._partition.is_stopping:
                raise StoppedError("the partition is stopping")
            self._partition.wait_for_outbox(self._outbox_records_max, NS_PER_SECOND)
        self._timer.busy()

    # -- timers ---

    def _fire_timers(self) -> bool:
        """Writes the commands whose time has come; True when there were any."""
        if self._timers_stopped:
            return False
        due = self._timers.due(min(_TIMERS_AT_ONCE, self._partition.gate.suggested_batch_records()))
        if not due:
            return False
        unit = Unit(
            source=WriteSource.SCHEDULED,
            records=[decode_record(timer.command) for timer in due],
            timers_fired=[timer.timer_id for timer in due],
        )
        self._append(unit)
        self._timers.fired(len(due))
        self._meter.records_out += len(due)
        return True


def _method_of(processor: object, name: str) -> Any:
    """None where it has none."""
    found = getattr(processor, name, None)
    return found if callable(found) else None
