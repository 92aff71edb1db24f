"""A partition: flow control in front of a log, and everybody's positions in it.

This is where the siblings meet. Who stands outside (tasks, gateway, other partitions) speaks to it in plain
data: here is a unit, here is an acknowledgement, give me what follows this position, give me a snapshot.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import AppendError, PartitionLostError
from engine.core.measures import AGE_BOUNDS_SECONDS, Histogram
from engine.core.record_batch import RecordBatch
from engine.core.records import ENGINE_VALUE_TYPE, Record, RecordType, WriteSource, decode_record
from engine.core.snapshot import PartitionSnapshot, PartitionState
from engine.core.unit import Acknowledgement, Arrival, Message, ProgressBySource, Recovered, SourceProgress, Unit
from engine.flow.gate import FlowControl, Permit, Refusal
from engine.flow.overrides import Override, SettingsInForce
from engine.flow.settings import FlowControlSettings
from engine.log.partition_log import PartitionLog
from engine.log.storage import Inbox, LogStorage, StorageError
from engine.partition.always_allowed import NOTHING, AlwaysAllowed
from engine.partition.exporter_cells import ExporterCell
from engine.partition.flow_journal import FlowJournal
from engine.partition.flow_memory import FlowMemory
from engine.partition.gate_keeper import GateKeeper
from engine.partition.in_hand import RecordInHand
from engine.partition.positions import Blocked, Positions
from engine.partition.retention import DiskSpace, OldRecords, Retention
from engine.partition.riders import Riders
from engine.partition.storing import Storing
from engine.partition.upkeep import Upkeep
from engine.tasks.subtask import Failed

log = logging.getLogger("penstock.partition")

# The progress of whoever takes messages out of the inbox, by the name of a source that nobody can configure.
INBOX = "penstock/inbox"
_APPEND_RETRY_NS = NS_PER_SECOND // 2


class Partition:
    """One partition. Any thread may call any method.

    Locks: the positions, the gate, the riders and the keeper of the gate have each one of their own. Order: the
    keeper's, the positions', the gate's; the riders' stands alone. None of the positions' and those behind it is held
    while waiting for a permit or a commit.
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
        self.in_force = SettingsInForce(clock, flow_control)
        self.in_force.put(override)
        self.gate = FlowControl(
            clock,
            self.in_force.settings,
            partition=number,
            has_exporters=bool(exporters),
            overridden=self.in_force.override is not None,
        )
        self._keeper = GateKeeper(
            self.gate, self.in_force, FlowJournal(number, self.write_internal), clock, self._written_and_lowest
        )
        self._riders = Riders(clock)
        self._log = PartitionLog(
            number,
            storage,
            clock,
            committed=self._on_committed,
            take_riders=self._riders.take,
            give_back_riders=self._riders.give_back,
        )
        self._recovered = self._log.open()
        self._positions = Positions(
            number,
            self._recovered,
            exporters,
            clock,
            has_processor=has_processor,
            has_outbox=self._log.storage.inbox is None,
        )
        self._old_records = OldRecords(
            Retention(retained_records), self._recovered.oldest_position, self._log.delete_before
        )
        self._flow_memory = FlowMemory(self.gate, clock, self._riders.passed, is_kept=self._log.storage.pace.is_remote)
        # Where the messages of a committed unit go; set when the partition is wired.
        self.on_messages: Callable[[Sequence[Message]], None] = lambda _: None
        # Whether everything that was sent to this partition is in its log; set when the inbox is wired.
        self.inbox_is_empty: Callable[[], bool] = lambda: True
        self._upkeep = Upkeep(number, self._look_after, aside=self._log.storage.pace.is_remote)
        self._retain_due_ns = 0
        self._failed: Failed | None = None
        self._opened_wall_ns: int | None = None
        self.storing = Storing(number, clock)
        # Set by the processing task, if there is one.
        self.in_hand: RecordInHand | None = None
        self.command_duration = self._positions.commands.duration
        self.processing_duration = Histogram()
        self.end_to_end_duration = Histogram(AGE_BOUNDS_SECONDS)

    # -- opening and closing ---

    @property
    def recovered(self) -> Recovered:
        """What the log held when it was opened."""
        return self._recovered

    @property
    def source_progress(self) -> ProgressBySource:
        """How far each source is stored."""
        return self._positions.source_progress

    @property
    def exporters(self) -> Mapping[str, ExporterCell]:
        return self._positions.exporters.by_name

    def add_exporter(self, name: str, *, from_end: bool, pace_per_second: float | None) -> Acknowledgement:
        """Gives an exporter its place: where it stood, else the oldest retained record (or the end)."""
        return self._positions.exporters.add(name, from_end=from_end, pace_per_second=pace_per_second)

    def warn_of_removed_exporters(self) -> None:
        """Says which exporters of earlier runs are not configured any more: they hold nothing back."""
        self._positions.exporters.warn_of_removed()

    def opened(self) -> None:
        """Writes the record that says so; call when everything stands."""
        self.write_internal("opened", {"partition": self.number, "lastPosition": self._recovered.last_position})
        self._opened_wall_ns = self._clock.wall_ns()
        self._keeper.opened()
        if self._flow_memory.recall(self._recovered.progress, self._written_and_lowest()[1]):
            # Not at full speed until the first tick.
            self._keeper.tick()

    @property
    def opened_wall_ns(self) -> int | None:
        """Since when it runs here; None while it is being opened."""
        return self._opened_wall_ns

    def stop(self) -> None:
        """Frees everyone who waits here, with `StoppedError`."""
        self.gate.stop()
        self._positions.stop()
        self._log.stop()

    def failing(self, failed: Failed) -> Failed:
        """For a task of this partition: its failure fails the partition and is told to `failed`, which ends the run."""

        def fail(task: str, error: BaseException) -> None:
            self._positions.fail()
            failed(task, error)

        self._failed = fail
        return fail

    def close(self, *, stores_riders: bool = True) -> None:
        """Stores what is still riding, then closes the log; call when all tasks have ended.

        Who has lost the right to write stores nothing.
        """
        self._upkeep.end()
        try:
            if stores_riders:
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

    @property
    def why_away(self) -> str | None:
        """Why whoever writes now would wait for long; None where its log answers."""
        return self._log.why_away

    def append(self, unit: Unit, permit: Permit | None = None) -> int:
        """Stores a unit and returns its last position; permits are taken before, nothing waits for one in here.

        Raises `AppendError` when nothing of it was stored; the permit is given back then.
        """
        has_processor = self._has_processor
        is_command = unit.source is WriteSource.USER_COMMAND
        accepted_ns = self._clock.monotonic_ns() if is_command and has_processor else 0

        def stored(last_position: int) -> None:
            # By who leads, for all whom it serves: they have nothing left to do when they wake.
            if permit is not None:
                if has_processor:
                    permit.appended(last_position)
                else:
                    # Nobody will process it: durable is done.
                    permit.completed()
            if accepted_ns:
                self._positions.commands_stored(last_position, accepted_ns, len(unit.records))

        try:
            self._log.append(unit, stored)
        except BaseException as error:
            if permit is not None:
                permit.failed()
                self.gate.not_stored(unit.source, len(unit.records))
            if isinstance(error, AppendError):
                self.storing.failed(error)
            raise
        if self.storing.is_troubled:
            self.storing.stored()
        return unit.last_position

    def suggested_batch_records(self) -> int:
        """How many records a writer had better put into one batch just now."""
        return self.gate.suggested_batch_records()

    def receive(self, sender: int, messages: Sequence[Message]) -> None:
        """Stores what another partition sends, in the order of its sequences; what was stored before is dropped.

        One caller at a time for each sender. Waits for permits. Raises `AppendError` when nothing of it was stored.
        """
        stored = self._positions.received_from(sender)
        fresh = [message for message in messages if message.sequence > stored]
        if fresh:
            permit = self.wait_acquire(WriteSource.INTER_PARTITION, len(fresh))
            unit = Unit(
                source=WriteSource.INTER_PARTITION,
                records=[decode_record(message.command) for message in fresh],
                received={sender: fresh[-1].sequence},
            )
            try:
                self.append(unit, permit)
            except AppendError:
                # The sender asks again.
                self.storing.will_retry()
                raise

    @property
    def inbox(self) -> Inbox | None:
        """Where messages of other partitions lie; None where these bring them by `receive`."""
        return self._log.storage.inbox

    def arrivals(self, offset: int, max_messages: int, timeout_ns: int) -> list[Arrival]:
        """What lies in the inbox from an offset on; waits for it. Raises `AppendError` where it cannot be read."""
        assert self._log.storage.inbox is not None, "who has none does not ask"
        try:
            return self._log.storage.inbox.read(offset, max_messages, timeout_ns)
        except StorageError as error:
            raise AppendError(f"partition {self.number} could not read its inbox: {error}") from error

    def forget_arrivals(self, offset: int) -> None:
        """Those before it are stored. What cannot be deleted now is with the next."""
        assert self._log.storage.inbox is not None, "who has none does not ask"
        try:
            self._log.storage.inbox.forget_before(offset)
        except StorageError as error:
            log.warning("partition %d: its inbox keeps what is stored: %s", self.number, error)

    def take_in(self, arrivals: Sequence[Arrival], *, blocked: Blocked | None = None) -> None:
        """Stores what lies in the inbox, and with it how far that is read. Raises as `receive`."""
        permit = self.wait_acquire(WriteSource.INTER_PARTITION, len(arrivals), blocked=blocked)
        unit = Unit(
            source=WriteSource.INTER_PARTITION,
            records=[decode_record(arrival.command) for arrival in arrivals],
            progress=[SourceProgress(INBOX, arrivals[-1].offset)],
        )
        try:
            self.append(unit, permit)
        except AppendError:
            self.storing.will_retry()
            raise

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

    # -- what needs no commit of its own: it rides on the next one ---

    def flush_riders(self, *, older_than_ns: int = 0) -> None:
        """Commits the riders alone if the oldest waits longer than that."""
        if self._riders.are_due(older_than_ns):
            self.append(Unit(source=WriteSource.INTERNAL))

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """An exporter says that everything up to a position is safe. Counts at once, is stored soon."""
        self._positions.acknowledged(acknowledgement)
        self._riders.acknowledged(acknowledgement)
        self._progressed()

    def source_passed(self, progress: SourceProgress) -> None:
        """A source has gone on, and brought this partition nothing."""
        self._riders.passed(progress)

    def delivered(self, receiver: int, sequence: int, count: int) -> None:
        """A receiver has stored this partition's messages up to `sequence`, `count` of them just now."""
        self._riders.delivered(receiver, sequence)
        self._positions.delivered(count)
        self._progressed()

    def mark_processed(self, position: int) -> None:
        """Everything up to `position` is processed and needed no unit (events, mostly)."""
        self._positions.mark_processed(position)
        self._riders.processed(position)
        self.gate.processed(position)
        self._progressed()

    # -- what follows a commit ---

    def _on_committed(self, units: Sequence[Unit]) -> None:
        processed = self._positions.committed(units)
        for unit in units:
            if unit.outbox:
                self.on_messages(unit.outbox)
        if processed is not None:
            self.gate.processed(processed)
        self._progressed()

    def take_command_duration(self) -> int | None:
        """The longest command duration that was counted since the last call. For the processing task."""
        return self._positions.take_command_duration()

    @property
    def append_duration(self) -> Histogram:
        return self._log.append_duration

    # -- reading ---

    @property
    def last_written(self) -> int:
        return self._positions.written

    @property
    def processed(self) -> int:
        return self._positions.processed

    def read(self, position: int, max_records: int) -> list[RecordBatch]:
        return self._log.read(position, max_records)

    def written_ns(self, position: int) -> int | None:
        """Wall time at which the record at `position` was written; None where the log cannot say it."""
        return self._log.timestamp_of(position)

    def wait_for_record(self, position: int, timeout_ns: int) -> bool:
        """Waits until the record at `position` is written, the partition is stopped, or the time is over."""
        return self._positions.wait_for_record(position, timeout_ns)

    def pause_after_failure(self) -> bool:
        """Waits a moment before a failed append is tried again; False when the partition stops meanwhile."""
        self.storing.will_retry()
        return self._positions.pause(_APPEND_RETRY_NS)

    def wait_for_outbox(self, records_max: int, timeout_ns: int) -> bool:
        """Waits until fewer than `records_max` messages are on their way."""
        return self._positions.wait_for_outbox(records_max, timeout_ns)

    @property
    def is_stopping(self) -> bool:
        return self._positions.is_stopping

    @property
    def state(self) -> PartitionState:
        return self._positions.state

    def wake(self) -> None:
        """Lets everyone who waits for records look again, at a stop for instance."""
        self._positions.wake()

    def state_get(self, key: str) -> bytes | None:
        return self._log.storage.state_get(key)

    def state_scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        return self._log.storage.state_scan(prefix)

    # -- room ---

    def set_disk_space(self, space: DiskSpace) -> None:
        """The ticker's word on the disk that this partition lies on."""
        self._positions.set_disk_space(space)

    @property
    def disk_space(self) -> DiskSpace:
        return self._positions.disk_space

    def wait_for_room(
        self, *, up_to: DiskSpace, blocked: Blocked, is_canceled: Callable[[], bool] = lambda: False
    ) -> None:
        """Waits while less room than `up_to` is left.

        Raises `StoppedError` when the partition stops meanwhile, or `is_canceled()` holds at a `wake`.
        """
        self._positions.wait_for_room(up_to=up_to, blocked=blocked, is_canceled=is_canceled)

    def retain(self) -> None:
        """Deletes what nobody needs, in steps that hold no writer up for long."""
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._retain_due_ns:
            self._retain_due_ns = now_ns + self._log.storage.pace.retain_every_ns
            self._old_records.let_go(self._positions.stored())

    # -- flow control ---

    def tick(self) -> None:
        """The ticker's call: measures rates, evaluates the throttle, stores riders that waited long enough.

        Takes away an override whose time is over.
        """
        self._keeper.tick()
        self._upkeep.run()
        self.storing.look()
        if self.in_hand is not None:
            self.in_hand.look()

    def _look_after(self) -> None:
        self._log.storage.attend()
        self._flow_memory.store()
        try:
            self.flush_riders(older_than_ns=self._log.storage.pace.riders_wait_ns)
            self.retain()
        except AppendError as error:
            # The next tick tries again.
            self.storing.failed(error)
        except PartitionLostError as error:
            if self._failed is None:
                raise
            self._failed(f"partition {self.number}", error)

    def _written_and_lowest(self) -> tuple[int, int | None]:
        return self._positions.written_and_lowest()

    def override(self, override: Override | None, *, by: str | None = None) -> None:
        """Puts limits over the configured ones or, with None, brings these back: at once, the throttle included."""
        self._keeper.override(override, by=by)

    # -- looking ---

    def is_quiescent(self) -> bool:
        """Whether everything written is processed, delivered and acknowledged."""
        return self._positions.is_quiescent() and self.inbox_is_empty()

    def snapshot(self, *, disk_free_bytes: int | None) -> PartitionSnapshot:
        wall_ns = self._clock.wall_ns()
        in_hand = self.in_hand
        standing = self._positions.standing(
            lambda written, lowest: self.gate.snapshot(last_written=written, lowest_acknowledged=lowest)
        )
        written, lowest = standing.written, standing.lowest
        return PartitionSnapshot(
            partition=self.number,
            state=self.state,
            last_written_position=written,
            last_processed_position=standing.processed if self._has_processor else None,
            lowest_acknowledged_position=lowest,
            backlog_records=None if lowest is None else written - lowest,
            oldest_unexported_wall_ns=None if lowest is None else self._oldest_unexported(lowest, written, wall_ns),
            flow=standing.flow,
            exporters=self._positions.exporters.snapshots(
                standing.exporters, written, lambda position: self._oldest_unexported(position, written, wall_ns)
            ),
            append_duration=self._log.append_duration.snapshot(),
            command_duration=self.command_duration.snapshot(),
            processing_duration=self.processing_duration.snapshot(),
            end_to_end_duration=self.end_to_end_duration.snapshot(),
            append_failures=dict(self._log.append_failures),
            outbox_records=standing.outbox_records,
            disk_free_bytes=disk_free_bytes,
            append_error=self.storing.error,
            lacks_room=self.disk_space is not DiskSpace.ENOUGH,
            by_hand=self._keeper.by_hand,
            processing_position=None if in_hand is None else in_hand.position,
            processing_ns=None if in_hand is None else in_hand.age_ns(),
            cluster=self._log.storage.cluster(),
            opened_wall_ns=self._opened_wall_ns,
        )

    def _oldest_unexported(self, acknowledged: int, written: int, wall_ns: int) -> int | None:
        """None where the log cannot say it just now."""
        if acknowledged >= written:
            return wall_ns
        timestamp_ns = self._log.timestamp_of(acknowledged + 1)
        # Never in the future, whatever the wall clock did since.
        return None if timestamp_ns is None else min(timestamp_ns, wall_ns)
