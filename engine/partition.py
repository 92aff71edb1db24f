"""A partition: flow control in front of a log, and everybody's positions in it.

This is where the siblings meet. Who stands outside (tasks, gateway, other partitions) speaks to it in plain
data: here is a unit, here is an acknowledgement, give me what follows this position, give me a snapshot.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from threading import Condition, Lock
from typing import TYPE_CHECKING

from engine.always_allowed import NOTHING, AlwaysAllowed
from engine.clock import NS_PER_SECOND, Clock
from engine.errors import AppendError, StoppedError
from engine.flow.gate import FlowControl, Permit, Refusal
from engine.flow.overrides import Override, SettingsInForce
from engine.flow.settings import FlowControlSettings
from engine.flow_journal import FlowJournal
from engine.log.partition_log import PartitionLog
from engine.log.storage import LogStorage
from engine.measures import AGE_BOUNDS_SECONDS, Histogram
from engine.records import Record, RecordBatch, RecordType, WriteSource, decode_record
from engine.retention import DiskSpace, Retention
from engine.snapshot import (
    BlockReason,
    EngineState,
    ExporterSnapshot,
    ExporterState,
    PartitionSnapshot,
)
from engine.storing import Storing
from engine.tasks.subtask import Failed
from engine.unit import Acknowledgement, Message, ProgressBySource, Recovered, SourceProgress, Unit

if TYPE_CHECKING:
    from engine.processing.in_hand import RecordInHand

log = logging.getLogger("penstock.partition")

# An acknowledgement rides on the next commit, and on one of its own after this time.
_RIDERS_WAIT_NS = NS_PER_SECOND // 5
# Retention waits until this much can go, and goes in steps of so many batches, so many at a tick.
_RETENTION_STEP_RECORDS = 1000
_RETENTION_BATCHES_PER_STEP = 100
_RETENTION_STEPS_PER_TICK = 10
_APPEND_RETRY_NS = NS_PER_SECOND // 2
ENGINE_VALUE_TYPE = "penstock"

Blocked = Callable[[BlockReason], None]


class ExporterCell:
    """What is known of one record exporter on this partition. Its task's thread writes all but `position`."""

    __slots__ = (
        "duration",
        "errors",
        "exported",
        "last_error",
        "last_error_wall_ns",
        "name",
        "pace_per_second",
        "position",
        "retries",
        "skipped",
        "state",
    )

    def __init__(self, name: str, position: int, pace_per_second: float | None) -> None:
        self.name = name
        # Guarded by the partition's lock.
        self.position = position
        self.state = ExporterState.EXPORTING
        self.exported = 0
        self.skipped = 0
        self.errors = 0
        self.retries = 0
        self.last_error: str | None = None
        self.last_error_wall_ns: int | None = None
        self.duration = Histogram()
        # Records per second at most; None is no limit. May be set from any thread.
        self.pace_per_second = pace_per_second


class Partition:
    """One partition. Any thread may call any method.

    Lock order: `_changed` before the gate's own lock; neither is held while waiting for a permit or a commit.
    """

    def __init__(
        self,
        number: int,
        storage: LogStorage,
        clock: Clock,
        *,
        flow_control: FlowControlSettings,
        exporters: Sequence[str],
        has_processor: bool,
        progressed: Callable[[], None],
        retained_records: int | None = None,
        always_allowed: AlwaysAllowed = NOTHING,
        override: Override | None = None,
    ) -> None:
        """`override`: what was set by hand in an earlier run and shall go on."""
        self.number = number
        self._clock = clock
        self._has_processor = has_processor
        self._progressed = progressed
        self.always_allowed = always_allowed
        self._journal = FlowJournal(number, self.write_internal)
        # Held until a change of the settings is in force and told; it guards what `in_force` holds.
        self._overriding = Lock()
        self.in_force = SettingsInForce(clock, flow_control)
        self.in_force.put(override)
        self.gate = FlowControl(
            clock,
            self.in_force.settings,
            partition=number,
            has_exporters=bool(exporters),
            overridden=self.in_force.override is not None,
        )
        self._log = PartitionLog(
            number,
            storage,
            clock,
            committed=self._on_committed,
            take_riders=self._take_riders,
            give_back_riders=self._give_back_riders,
        )
        self._recovered = self._log.open()
        self._changed = Condition(Lock())
        # Guarded by _changed.
        self._last_written = self._recovered.last_position
        self._processed = self._recovered.processed_position if has_processor else self._last_written
        self._accepted: deque[tuple[int, int, int]] = deque()
        self._riders = Unit(source=WriteSource.INTERNAL)
        self._riders_since_ns: int | None = None
        self._outbox_records = len(self._recovered.outbox)
        self._source_progress = dict(self._recovered.progress)
        # The last message stored of each partition that sends any.
        self._received = dict(self._recovered.received)
        # Positions as they are stored, which is later than they are known; retention goes by them.
        self._stored_processed: int | None = self._recovered.processed_position if has_processor else None
        self._stored_acknowledged = {
            name: known.position for name, known in self._recovered.acknowledged.items() if name in exporters
        }
        self._retention = Retention(retained_records)
        self._kept_from = self._recovered.oldest_position
        self._disk_space = DiskSpace.ENOUGH
        self.state = EngineState.RUNNING
        self.exporters: dict[str, ExporterCell] = {}
        # Where the messages of a committed unit go; set when the partition is wired.
        self.on_messages: Callable[[Sequence[Message]], None] = lambda _: None
        self.storing = Storing(number, clock)
        # Set by the processing task, if there is one.
        self.in_hand: RecordInHand | None = None
        self.command_duration = Histogram()
        self.processing_duration = Histogram()
        self.end_to_end_duration = Histogram(AGE_BOUNDS_SECONDS)
        # The longest of the command durations that the processor's last step ended; guarded by _changed.
        self._command_ns: int | None = None

    # -- opening and closing ---

    @property
    def recovered(self) -> Recovered:
        """What the log held when it was opened."""
        return self._recovered

    @property
    def source_progress(self) -> ProgressBySource:
        """How far each source is stored."""
        with self._changed:
            return dict(self._source_progress)

    def add_exporter(self, name: str, *, from_end: bool, pace_per_second: float | None) -> Acknowledgement:
        """Gives an exporter its place: where it stood, else the oldest retained record (or the end)."""
        known = self._recovered.acknowledged.get(name)
        if known is not None and known.position < self._recovered.oldest_position - 1:
            # It was configured, then not, then again: what lies between is gone.
            log.warning(
                "exporter %s on partition %d stood at position %d and goes on at %d: what lies between is not kept",
                name,
                self.number,
                known.position,
                self._recovered.oldest_position,
            )
            known = Acknowledgement(name, self._recovered.oldest_position - 1, known.cursor)
        if known is None:
            start = self._recovered.last_position if from_end else self._recovered.oldest_position - 1
            known = Acknowledgement(name, start, None)
        self.exporters[name] = ExporterCell(name, known.position, pace_per_second)
        return known

    def warn_of_removed_exporters(self) -> None:
        """Says which exporters of earlier runs are not configured any more: they hold nothing back."""
        for name in sorted(set(self._recovered.acknowledged) - set(self.exporters)):
            log.warning(
                "exporter %s is no longer configured: partition %d keeps no records for it and counts no backlog",
                name,
                self.number,
            )

    def opened(self) -> None:
        """Writes the record that says so; call when everything stands."""
        self.write_internal("opened", {"partition": self.number, "lastPosition": self._recovered.last_position})
        if self.in_force.override is not None:
            self._journal.overridden(self.in_force.override, again=True)

    def stop(self) -> None:
        """Frees everyone who waits here, with `StoppedError`."""
        self.gate.stop()
        with self._changed:
            if self.state is not EngineState.FAILED:
                self.state = EngineState.STOPPING
            self._changed.notify_all()

    def failing(self, failed: Failed) -> Failed:
        """For a task of this partition: its failure fails the partition and is told to `failed`, which ends the run."""

        def fail(task: str, error: BaseException) -> None:
            with self._changed:
                self.state = EngineState.FAILED
            failed(task, error)

        return fail

    def close(self) -> None:
        """Stores what is still riding, then closes the log; call when all tasks have ended."""
        try:
            self.flush_riders()
        except Exception as error:
            # They are stored later or counted again; what is written stays whole.
            log.warning("partition %d: positions were not stored at the end: %s", self.number, error)
        # What has changed since the last tick.
        self.storing.look(at_end=True)
        if self.in_hand is not None:
            self.in_hand.look()
        self._log.close()

    # -- writing ---

    def try_acquire(self, source: WriteSource, records: int, *, always_allowed: bool = False) -> Permit | Refusal:
        return self.gate.try_acquire(source, records, always_allowed=always_allowed)

    def wait_acquire(
        self,
        source: WriteSource,
        records: int,
        *,
        blocked: Blocked | None = None,
        always_allowed: bool = False,
        is_canceled: Callable[[], bool] | None = None,
    ) -> Permit:
        return self.gate.wait_acquire(
            source, records, blocked=blocked, always_allowed=always_allowed, is_canceled=is_canceled
        )

    def append(self, unit: Unit, permit: Permit | None = None) -> int:
        """Stores a unit and returns its last position; permits are taken before, nothing waits for one in here.

        Raises `AppendError` when nothing of it was stored; the permit is given back then.
        """
        has_processor = self._has_processor
        is_command = unit.source is WriteSource.USER_COMMAND
        accepted_ns = self._clock.monotonic_ns() if is_command and has_processor else 0

        def stored(last_position: int) -> None:
            if permit is not None and has_processor:
                permit.appended(last_position)
            if accepted_ns:
                with self._changed:
                    self._accepted.append((last_position, accepted_ns, len(unit.records)))

        try:
            self._log.append(unit, stored)
        except BaseException as error:
            if permit is not None:
                permit.failed()
            if isinstance(error, AppendError):
                self.storing.failed(error)
            raise
        if self.storing.is_troubled:
            self.storing.stored()
        if permit is not None and not has_processor:
            # Nobody will process it: durable is done.
            permit.completed()
        return unit.last_position

    def suggested_batch_records(self) -> int:
        """How many records a writer had better put into one batch just now."""
        return self.gate.suggested_batch_records()

    def receive(self, sender: int, messages: Sequence[Message]) -> None:
        """Stores what another partition sends, in the order of its sequences; what was stored before is dropped.

        One caller at a time for each sender. Waits for permits. Raises `AppendError` when nothing of it was stored.
        """
        with self._changed:
            stored = self._received.get(sender, 0)
        fresh = [message for message in messages if message.sequence > stored]
        if fresh:
            permit = self.wait_acquire(WriteSource.INTER_PARTITION, len(fresh))
            unit = Unit(
                source=WriteSource.INTER_PARTITION,
                records=[decode_record(message.command) for message in fresh],
                received={sender: fresh[-1].sequence},
            )
            self.append(unit, permit)

    def write_internal(self, intent: str, value: object) -> None:
        """Writes an engine's own record (opened, a limit changed); a failure is logged, never raised."""
        record = Record(RecordType.EVENT, ENGINE_VALUE_TYPE, intent, "", value)
        unit = Unit(source=WriteSource.INTERNAL, records=[record])
        try:
            # Internal writes are never refused, and pass also while the gate is stopping.
            permit = self.gate.try_acquire(WriteSource.INTERNAL, 1)
            assert isinstance(permit, Permit)
            self.append(unit, permit)
        except AppendError as error:
            log.error("partition %d: record %r was not written: %s", self.number, intent, error)

    # -- riders: small facts that need no commit of their own ---

    # They are taken by the commit itself, in front of its units: who adds a rider and then hands over a unit can
    # rely on that order, so no position ever goes back.

    def _take_riders(self) -> Unit | None:
        with self._changed:
            if self._riders_since_ns is None:
                return None
            riders, self._riders = self._riders, Unit(source=WriteSource.INTERNAL)
            self._riders_since_ns = None
            return riders

    def _give_back_riders(self, riders: Unit) -> None:
        """Puts back what could not be stored, unless something newer waits already."""
        with self._changed:
            waiting = self._riders
            waiting.acknowledged = {**riders.acknowledged, **waiting.acknowledged}
            waiting.delivered = {**riders.delivered, **waiting.delivered}
            newer = {progress.source for progress in waiting.progress}
            waiting.progress += [progress for progress in riders.progress if progress.source not in newer]
            if waiting.processed_position is None:
                waiting.processed_position = riders.processed_position
            self._riders_since_ns = self._riders_since_ns or self._clock.monotonic_ns()

    def _riding(self) -> Unit:
        """The unit to add a rider to; call under `_changed`."""
        if self._riders_since_ns is None:
            self._riders_since_ns = self._clock.monotonic_ns()
        return self._riders

    def flush_riders(self, *, older_than_ns: int = 0) -> None:
        """Commits the riders alone if the oldest waits longer than that."""
        with self._changed:
            since_ns = self._riders_since_ns
        if since_ns is not None and self._clock.monotonic_ns() - since_ns >= older_than_ns:
            self.append(Unit(source=WriteSource.INTERNAL))

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """An exporter says that everything up to a position is safe. Counts at once, is stored soon."""
        with self._changed:
            cell = self.exporters[acknowledgement.exporter]
            assert acknowledgement.position >= cell.position, "acknowledged positions never go back"
            cell.position = acknowledgement.position
            self._riding().acknowledged[acknowledgement.exporter] = acknowledgement
        self._progressed()

    def source_passed(self, progress: SourceProgress) -> None:
        """A source has gone on, and brought this partition nothing."""
        with self._changed:
            riding = self._riding()
            riding.progress = [p for p in riding.progress if p.source != progress.source] + [progress]

    def delivered(self, receiver: int, sequence: int, count: int) -> None:
        """A receiver has stored this partition's messages up to `sequence`, `count` of them just now."""
        with self._changed:
            self._riding().delivered[receiver] = sequence
            self._outbox_records -= count
            self._changed.notify_all()
        self._progressed()

    def mark_processed(self, position: int) -> None:
        """Everything up to `position` is processed and needed no unit (events, mostly)."""
        with self._changed:
            self._riding().processed_position = position
            self._advance_processed(position)
        self.gate.processed(position)
        self._progressed()

    # -- what follows a commit ---

    def _on_committed(self, units: Sequence[Unit]) -> None:
        processed = None
        with self._changed:
            for unit in units:
                if unit.records:
                    self._last_written = unit.last_position
                if unit.processed_position is not None:
                    if unit.processed_position > self._processed:
                        processed = unit.processed_position
                        self._advance_processed(processed)
                    if self._has_processor:
                        self._stored_processed = unit.processed_position
                self._outbox_records += len(unit.outbox)
                for progress in unit.progress:
                    self._source_progress[progress.source] = progress
                self._received.update(unit.received)
                for name, stored in unit.acknowledged.items():
                    self._stored_acknowledged[name] = stored.position
            if not self._has_processor:
                self._processed = self._last_written
            self._changed.notify_all()
        for unit in units:
            if unit.outbox:
                self.on_messages(unit.outbox)
        if processed is not None:
            self.gate.processed(processed)
        self._progressed()

    def _advance_processed(self, position: int) -> None:
        self._processed = position
        if self._accepted and self._accepted[0][0] <= position:
            now_ns = self._clock.monotonic_ns()
            self._command_ns = now_ns - self._accepted[0][1]
            while self._accepted and self._accepted[0][0] <= position:
                _, accepted_ns, count = self._accepted.popleft()
                self.command_duration.observe(now_ns - accepted_ns, count)

    def take_command_duration(self) -> int | None:
        """The longest command duration that was counted since the last call. For the processing task."""
        with self._changed:
            taken, self._command_ns = self._command_ns, None
        return taken

    @property
    def append_duration(self) -> Histogram:
        return self._log.append_duration

    # -- reading ---

    @property
    def last_written(self) -> int:
        return self._last_written

    @property
    def processed(self) -> int:
        return self._processed

    def read(self, position: int, max_records: int) -> list[RecordBatch]:
        return self._log.read(position, max_records)

    def wait_for_record(self, position: int, timeout_ns: int) -> bool:
        """Waits until the record at `position` is written, the partition stops, or the time is over."""
        with self._changed:
            if self._last_written < position and self.state is EngineState.RUNNING:
                self._changed.wait(timeout_ns / NS_PER_SECOND)
            return self._last_written >= position

    def pause_after_failure(self) -> bool:
        """Waits a moment before a failed append is tried again; False when the partition stops meanwhile."""
        deadline_ns = self._clock.monotonic_ns() + _APPEND_RETRY_NS
        with self._changed:
            while not self.is_stopping and (rest_ns := deadline_ns - self._clock.monotonic_ns()) > 0:
                self._changed.wait(rest_ns / NS_PER_SECOND)
        return not self.is_stopping

    def wait_for_outbox(self, records_max: int, timeout_ns: int) -> bool:
        """Waits until fewer than `records_max` messages are on their way."""
        with self._changed:
            if self._outbox_records >= records_max and self.state is EngineState.RUNNING:
                self._changed.wait(timeout_ns / NS_PER_SECOND)
            return self._outbox_records < records_max

    @property
    def is_stopping(self) -> bool:
        return self.state is not EngineState.RUNNING

    def wake(self) -> None:
        """Lets everyone who waits for records look again, at a stop for instance."""
        with self._changed:
            self._changed.notify_all()

    def state_get(self, key: str) -> bytes | None:
        return self._log.state_get(key)

    def state_scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        return self._log.state_scan(prefix)

    # -- room ---

    def set_disk_space(self, space: DiskSpace) -> None:
        """The ticker's word on the disk that this partition lies on."""
        with self._changed:
            self._disk_space = space
            self._changed.notify_all()

    @property
    def disk_space(self) -> DiskSpace:
        return self._disk_space

    def wait_for_room(
        self, *, up_to: DiskSpace, blocked: Blocked, is_canceled: Callable[[], bool] = lambda: False
    ) -> None:
        """Waits while less room than `up_to` is left.

        Raises `StoppedError` when the partition stops meanwhile, or `is_canceled()` holds at a `wake`.
        """
        told = False
        while self._disk_space.value > up_to.value:
            if not told:
                blocked(BlockReason.DISK_FULL)
                told = True
            with self._changed:
                if self.is_stopping or is_canceled():
                    raise StoppedError(f"partition {self.number} is stopping, or its writer")
                if self._disk_space.value > up_to.value:
                    self._changed.wait(1.0)

    def retain(self) -> None:
        """Deletes what nobody needs, in steps that hold no writer up for long."""
        with self._changed:
            done = [self._stored_acknowledged.get(name) for name in self.exporters]
            if self._has_processor:
                done.append(self._stored_processed)
            keep_from = self._retention.keep_from(done)
        if keep_from is None or keep_from < self._kept_from + _RETENTION_STEP_RECORDS:
            return
        for _ in range(_RETENTION_STEPS_PER_TICK):
            if self._log.delete_before(keep_from, _RETENTION_BATCHES_PER_STEP) < _RETENTION_BATCHES_PER_STEP:
                self._kept_from = keep_from
                return

    # -- flow control ---

    def tick(self) -> None:
        """The ticker's call: measures rates, evaluates the throttle, stores riders that waited long enough.

        Takes away an override whose time is over.
        """
        if self.in_force.is_over:
            self._end_override()
        if self._clock.monotonic_ns() >= self.gate.next_tick_ns():
            self._evaluate()
        try:
            self.flush_riders(older_than_ns=_RIDERS_WAIT_NS)
            self.retain()
        except AppendError as error:
            # The next tick tries again.
            self.storing.failed(error)
        self.storing.look()
        if self.in_hand is not None:
            self.in_hand.look()

    def _evaluate(self, *, force: bool = False) -> None:
        with self._changed:
            written, lowest = self._last_written, self._lowest_acknowledged()
        for event in self.gate.tick(last_written=written, lowest_acknowledged=lowest, force=force):
            self._journal.report(event)

    def override(self, override: Override | None, *, by: str | None = None) -> None:
        """Puts limits over the configured ones or, with None, brings these back: at once, the throttle included."""
        with self._overriding:
            self._override(override, why=f"brought back by {by or 'hand'}")

    def _end_override(self) -> None:
        with self._overriding:
            # Somebody may have set another one just before.
            if self.in_force.is_over:
                self._override(None, why="the time of what was set by hand is over")

    def _override(self, override: Override | None, *, why: str) -> None:
        before = self.in_force.override
        self.in_force.put(override)
        now = self.in_force.override
        for event in self.gate.configure(self.in_force.settings, overridden=now is not None):
            self._journal.report(event)
        self._evaluate(force=True)
        if now is not None and now != before:
            self._journal.overridden(now)
        elif now is None and before is not None:
            self._journal.reverted(self.in_force.settings, why=why)

    def _lowest_acknowledged(self) -> int | None:
        return min((cell.position for cell in self.exporters.values()), default=None)

    # -- looking ---

    def is_quiescent(self) -> bool:
        """Whether everything written is processed, delivered and acknowledged."""
        with self._changed:
            lowest = self._lowest_acknowledged()
            return (
                self._processed >= self._last_written
                and self._outbox_records == 0
                and (lowest is None or lowest >= self._last_written)
            )

    def snapshot(self, *, disk_free_bytes: int | None) -> PartitionSnapshot:
        wall_ns = self._clock.wall_ns()
        in_hand = self.in_hand
        with self._changed:
            written, processed, lowest = self._last_written, self._processed, self._lowest_acknowledged()
            positions = {name: cell.position for name, cell in self.exporters.items()}
            outbox_records = self._outbox_records
            flow = self.gate.snapshot(last_written=written, lowest_acknowledged=lowest)
        return PartitionSnapshot(
            partition=self.number,
            state=self.state,
            last_written_position=written,
            last_processed_position=processed if self._has_processor else None,
            lowest_acknowledged_position=lowest,
            backlog_records=None if lowest is None else written - lowest,
            oldest_unexported_wall_ns=None if lowest is None else self._oldest_unexported(lowest, written, wall_ns),
            flow=flow,
            exporters=tuple(
                self._exporter_snapshot(cell, positions[name], written, wall_ns)
                for name, cell in self.exporters.items()
            ),
            append_duration=self._log.append_duration.snapshot(),
            command_duration=self.command_duration.snapshot(),
            processing_duration=self.processing_duration.snapshot(),
            end_to_end_duration=self.end_to_end_duration.snapshot(),
            append_failures=dict(self._log.append_failures),
            outbox_records=outbox_records,
            disk_free_bytes=disk_free_bytes,
            append_error=self.storing.error,
            processing_position=None if in_hand is None else in_hand.position,
            processing_ns=None if in_hand is None else in_hand.age_ns(),
        )

    def _exporter_snapshot(self, cell: ExporterCell, position: int, written: int, wall_ns: int) -> ExporterSnapshot:
        return ExporterSnapshot(
            exporter=cell.name,
            state=cell.state,
            acknowledged_position=position,
            backlog_records=written - position,
            oldest_unexported_wall_ns=self._oldest_unexported(position, written, wall_ns),
            exported_records=cell.exported,
            skipped_records=cell.skipped,
            errors=cell.errors,
            retries=cell.retries,
            last_error=cell.last_error,
            last_error_wall_ns=cell.last_error_wall_ns,
            export_duration=cell.duration.snapshot(),
        )

    def _oldest_unexported(self, acknowledged: int, written: int, wall_ns: int) -> int:
        if acknowledged >= written:
            return wall_ns
        timestamp_ns = self._log.timestamp_of(acknowledged + 1)
        # Never in the future, whatever the wall clock did since.
        return wall_ns if timestamp_ns is None else min(timestamp_ns, wall_ns)
