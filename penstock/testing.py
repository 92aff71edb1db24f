"""Tests of processors and pipelines on manual time: no threads, no disk, and each value checked as the log would.

    harness = ProcessorHarness(CountByAirport)
    harness.process({"delay": 5}, key="JFK")
    assert harness.emitted("count") == [{"count": 1}]

What a processor emits, sends, schedules and remembers is what the engine would make of it: values are stored and read
again, messages reach the partition that owns their key, timers fire when the clock is moved, a record that fails leaves
nothing behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.errors import ConfigurationError
from engine.core.identity import partition_of
from engine.core.records import Record, RecordType, decode_record, encode_record
from engine.core.unit import Timer, Unit
from engine.pipeline import PipelineDescription, StepKind
from engine.processing.commands import Commands
from engine.processing.context import Rejected, UnitContext
from engine.processing.protocol import BatchProcessor, Processor, ProcessorFactory
from engine.processing.state import StateOverlay
from engine.processing.timers import TimerQueue
from engine.runtime.front import key_text
from engine.sources.protocol import SourceStart
from engine.sources.unreadable import Unreadable

__all__ = ["Outcome", "PipelineHarness", "ProcessorHarness", "Scheduled", "SetAside"]

# A processor that sends to itself for ever would never come to rest.
_COMMANDS_MAX = 100_000
_SOURCE_VALUES = 1000


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A command that waits for its time."""

    timer: int
    # From the moment at which the harness was made.
    due_seconds: float
    command: Record


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command led to. Records have the positions that they have in the log of `partition`."""

    partition: int
    command: Record
    emitted: tuple[Record, ...] = ()
    # Commands to any partition, this one included; they are processed before the call returns.
    sent: tuple[Record, ...] = ()
    scheduled: tuple[Scheduled, ...] = ()
    # Why the command was rejected; None where it was not.
    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A value that a source, a step or the key could not do anything with."""

    where: str
    value: Any
    reason: str


class _Partition:
    """Log, state and timers of one partition, and the processor at work on it."""

    def __init__(self, number: int, partitions: int, clock: ManualClock) -> None:
        self.number = number
        self.log: list[Record] = []
        self.state: dict[str, bytes] = {}
        self.waiting: deque[Record] = deque()
        self._overlay = StateOverlay(self.state.get, self._scan)
        self.timers = TimerQueue(clock)
        self.pending: dict[int, Timer] = {}
        self.context = UnitContext(number, partitions, clock, self._overlay, next_timer_id=1, next_sequence=1)

    def _scan(self, prefix: str) -> Any:
        return iter(sorted((key, value) for key, value in self.state.items() if key.startswith(prefix)))

    def append(self, record: Record) -> Record:
        """As it is read from the log again. Raises what an engine would meet in a value that cannot be stored."""
        stored = decode_record(encode_record(record))
        stored.position = len(self.log) + 1
        self.log.append(stored)
        if stored.record_type == RecordType.COMMAND:
            self.waiting.append(stored)
        return stored

    def commit(self, unit: Unit) -> None:
        for key, value in unit.state.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self._overlay.committed()
        self.timers.add(unit.timers_added, self.context.wall_ahead_ns)
        self.timers.cancel(unit.timers_fired)
        self.pending.update((timer.timer_id, timer) for timer in unit.timers_added)
        for timer_id in unit.timers_fired:
            self.pending.pop(timer_id, None)

    def fire(self) -> bool:
        due = self.timers.due(1)
        for timer in due:
            self.append(decode_record(timer.command))
            del self.pending[timer.timer_id]
        self.timers.fired(len(due))
        return bool(due)


class ProcessorHarness:
    """Drives a processor over partitions of its own, command by command. For one thread."""

    def __init__(
        self,
        processor: ProcessorFactory,
        *,
        partitions: int = 1,
        value_type: str = "record",
        on_error: Literal["raise", "reject"] = "raise",
    ) -> None:
        """`on_error` is what becomes of an exception of the processor: the test sees it, or the command is rejected."""
        self._factory = processor
        self._value_type = value_type
        self._on_error = on_error
        self.clock = ManualClock()
        self._began_ns = self.clock.monotonic_ns()
        self._partitions = {n: _Partition(n, partitions, self.clock) for n in range(1, partitions + 1)}
        self._processors: dict[int, Processor | BatchProcessor] = {}
        self.restart()

    # -- what happens ---

    def process(self, value: Any, *, key: str = "", value_type: str | None = None, intent: str = "create") -> Outcome:
        """One command, and all that follows from it at once; the outcome of the command itself.

        Raises what the processor raises, unless `on_error` is reject.
        """
        outcomes = self.process_all([value], key=key, value_type=value_type, intent=intent)
        return outcomes[0]

    def process_all(
        self,
        values: Iterable[Any],
        *,
        key: str | Callable[[Any], str] = "",
        value_type: str | None = None,
        intent: str = "create",
    ) -> list[Outcome]:
        """Several commands, one after the other; what followed from them stands behind them all."""
        for value in values:
            text = key(value) if callable(key) else key
            record = Record(RecordType.COMMAND, value_type or self._value_type, intent, text, value)
            self._partitions[partition_of(text, len(self._partitions))].append(record)
        return self._settle()

    def advance(self, seconds: float) -> list[Outcome]:
        """Moves the clock; timers whose time comes fire one by one, each at its own time."""
        end_ns = self.clock.monotonic_ns() + round(seconds * NS_PER_SECOND)
        outcomes: list[Outcome] = []
        while True:
            dues = [(due, n) for n, p in self._partitions.items() if (due := p.timers.next_due_ns()) is not None]
            due_ns, number = min(dues, default=(end_ns + 1, 0))
            if due_ns > end_ns:
                break
            self._move_to(due_ns)
            self._partitions[number].fire()
            outcomes += self._settle()
        self._move_to(end_ns)
        return outcomes

    def restart(self) -> None:
        """As after a crash: new processors over the same state and timers. What one kept in itself is gone."""
        self._processors = {number: self._factory() for number in self._partitions}
        for processor in self._processors.values():
            if not any(callable(getattr(processor, name, None)) for name in ("process", "process_batch")):
                raise ConfigurationError(
                    "a processor has a method process(record, context) or process_batch(commands, context); "
                    f"{type(processor).__name__} has none"
                )

    # -- what came of it ---

    def log(self, partition: int = 1) -> list[Record]:
        """All records of a partition: commands, events and rejections."""
        return list(self._partitions[partition].log)

    def emitted(self, value_type: str | None = None) -> list[Any]:
        """The values of all events so far, partition by partition; of one value type, or of all."""
        return [
            record.value
            for partition in self._partitions.values()
            for record in partition.log
            if record.record_type == RecordType.EVENT and value_type in (None, record.value_type)
        ]

    def rejected(self) -> list[str]:
        """Why commands were rejected, partition by partition."""
        return [
            record.value["reason"]
            for partition in self._partitions.values()
            for record in partition.log
            if record.record_type == RecordType.REJECTION
        ]

    def state(self, partition: int | None = None) -> Mapping[str, Any]:
        """What is remembered, of one partition or of all together."""
        chosen = self._partitions.values() if partition is None else [self._partitions[partition]]
        return {key: msgspec.msgpack.decode(value) for one in chosen for key, value in sorted(one.state.items())}

    def scheduled(self) -> list[Scheduled]:
        """What waits for its time, the next one first."""
        waiting = [self._scheduled(timer) for one in self._partitions.values() for timer in one.pending.values()]
        return sorted(waiting, key=lambda one: (one.due_seconds, one.timer))

    # -- how ---

    def _scheduled(self, timer: Timer) -> Scheduled:
        ahead_ns = self.clock.wall_ns() - self.clock.monotonic_ns()
        due = (timer.due_wall_ns - ahead_ns - self._began_ns) / NS_PER_SECOND
        return Scheduled(timer.timer_id, due, decode_record(timer.command))

    def _move_to(self, monotonic_ns: int) -> None:
        if (step := monotonic_ns - self.clock.monotonic_ns()) > 0:
            self.clock.advance(step / NS_PER_SECOND)

    def _settle(self) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while any(partition.waiting for partition in self._partitions.values()):
            for partition in self._partitions.values():
                if partition.waiting:
                    outcomes.append(self._one(partition, partition.waiting.popleft()))
            if len(outcomes) > _COMMANDS_MAX:
                raise AssertionError(
                    f"{_COMMANDS_MAX} commands followed from each other and it goes on: the processor sends without end"
                )
        return outcomes

    def _one(self, partition: _Partition, command: Record) -> Outcome:
        context, before = partition.context, partition.context.counters
        rejected = None
        try:
            self._work(partition.number, command, context)
            unit = context.take_unit(command.position)
            for record in _records(unit):
                # What the log could not hold is the command's own failure.
                encode_record(record)
        except Exception as error:
            context.discard(*before)
            if isinstance(error, Rejected):
                rejected = str(error)
            elif self._on_error == "reject":
                rejected = f"{type(error).__name__}: {error}"
            else:
                raise
            context.begin(command)
            context.refuse(rejected)
            unit = context.take_unit(command.position)
        partition.commit(unit)
        stored = [partition.append(record) for record in _records(unit)]
        sent = [record for record in stored if record.record_type == RecordType.COMMAND]
        for message in unit.outbox:
            sent.append(self._partitions[message.receiver].append(decode_record(message.command)))
        return Outcome(
            partition=partition.number,
            command=command,
            emitted=tuple(record for record in stored if record.record_type == RecordType.EVENT),
            sent=tuple(sent),
            scheduled=tuple(
                self._scheduled(timer) for timer in unit.timers_added if timer.timer_id not in unit.timers_fired
            ),
            rejected=rejected,
        )

    def _work(self, number: int, command: Record, context: UnitContext) -> None:
        processor: Any = self._processors[number]
        context.begin(command)
        if hasattr(processor, "process"):
            processor.process(command, context)
            return
        context.begin_batch(commands := Commands.of(command))
        processor.process_batch(commands, context)
        context.end_batch()


def _records(unit: Unit) -> list[Record]:
    return unit.records if isinstance(unit.records, list) else unit.records.records()


class PipelineHarness:
    """Drives a whole pipeline: values through steps and key into the processor, and what exporters would get."""

    def __init__(self, pipeline: PipelineDescription, *, on_error: Literal["raise", "reject"] = "raise") -> None:
        """`on_error` is what becomes of an exception of a step, the key or the processor: the test sees it, or the
        value is set aside as in a run."""
        self._pipeline = pipeline
        self._on_error = on_error
        processor = pipeline.processor
        self.processor = ProcessorHarness(
            _Nothing if processor is None else processor.factory,
            partitions=pipeline.partitions,
            value_type=pipeline.value_type,
            on_error=on_error,
        )
        self._key = key_text(pipeline.key)
        self.set_aside: list[SetAside] = []

    def feed(self, *values: Any) -> list[Outcome]:
        """Values as a source gives them, through everything; outcomes of the commands that came of them."""
        outcomes: list[Outcome] = []
        for value in values:
            for passed in self._through_steps(value):
                try:
                    key = self._key(passed)
                except Exception as error:
                    self._failed("key", passed, error)
                    continue
                outcomes += self.processor.process_all([passed], key=key)
        return outcomes

    def run(self) -> list[Outcome]:
        """Everything that the sources give, one source after the other; they must have an end."""
        outcomes: list[Outcome] = []
        for spec in self._pipeline.sources:
            spec.source.check()
            spec.source.open(SourceStart(0, None))
            try:
                while (batch := spec.source.read(_SOURCE_VALUES)) is not None:
                    for value in batch.values:
                        if isinstance(value, Unreadable):
                            self.set_aside.append(SetAside(spec.name, value.excerpt, value.reason))
                        else:
                            outcomes += self.feed(value)
            finally:
                spec.source.close()
        return outcomes

    def advance(self, seconds: float) -> list[Outcome]:
        return self.processor.advance(seconds)

    def exported(self, exporter: str) -> list[Record]:
        """What this exporter would have been handed by now, partition by partition."""
        for spec in self._pipeline.exporters:
            if spec.name == exporter:
                partitions = range(1, self._pipeline.partitions + 1)
                return [r for number in partitions for r in self.processor.log(number) if spec.filter.wants(r)]
        known = ", ".join(repr(spec.name) for spec in self._pipeline.exporters) or "none"
        raise ConfigurationError(f"there is no exporter {exporter!r}; there is {known}")

    def _through_steps(self, value: Any) -> list[Any]:
        values = [value]
        for step in self._pipeline.steps:
            following: list[Any] = []
            for one in values:
                try:
                    following += _applied(step.kind, step.function, one)
                except Exception as error:
                    self._failed(step.name, one, error)
            values = following
        return values

    def _failed(self, where: str, value: Any, error: Exception) -> None:
        if self._on_error == "raise":
            raise error
        self.set_aside.append(SetAside(where, value, f"{type(error).__name__}: {error}"))


class _Nothing:
    """Stands where a pipeline has no processor."""

    def process(self, record: Record, context: object) -> None:
        return


def _applied(kind: StepKind, function: Callable[[Any], Any], value: Any) -> list[Any]:
    match kind:
        case StepKind.MAP:
            return [function(value)]
        case StepKind.FILTER:
            return [value] if function(value) else []
        case StepKind.FLAT_MAP:
            return list(function(value))
        case StepKind.MAP_BATCH:
            return list(function([value]))
