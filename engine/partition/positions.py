"""Where everybody stands in a partition: written, processed, acknowledged, on its way; and who waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Condition, Lock

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import StoppedError
from engine.core.snapshot import BlockReason, FlowSnapshot, PartitionState
from engine.core.unit import Acknowledgement, ProgressBySource, Recovered, Unit
from engine.partition.command_times import CommandTimes
from engine.partition.exporter_cells import ExporterCells
from engine.partition.retention import DiskSpace

Blocked = Callable[[BlockReason], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All of it at one moment. `processed` counts also where there is no processor; then all that is written is."""

    written: int
    processed: int
    lowest: int | None
    exporters: Mapping[str, int]
    outbox_records: int
    flow: FlowSnapshot


class Positions:
    """Of one partition, under one lock. Any thread may call any method.

    The exporters' cells and the command times are guarded by the same lock. Where a callback is called the lock is
    held; it may take the gate's lock and no other.
    """

    def __init__(
        self,
        number: int,
        recovered: Recovered,
        exporters: Sequence[str],
        clock: Clock,
        *,
        has_processor: bool,
        has_outbox: bool = True,
    ) -> None:
        """Without an outbox messages are at their receiver's with the commit, and never on their way."""
        self._has_outbox = has_outbox
        self._number = number
        self._clock = clock
        self._has_processor = has_processor
        self._changed = Condition(Lock())
        # Guarded by _changed.
        self._written = recovered.last_position
        self._processed = recovered.processed_position if has_processor else recovered.last_position
        self.commands = CommandTimes(clock)
        self.exporters = ExporterCells(number, recovered, exporters)
        self._outbox_records = len(recovered.outbox)
        self._source_progress = dict(recovered.progress)
        # The last message stored of each partition that sends any.
        self._received = dict(recovered.received)
        # As it is stored, which is later than it is known; retention goes by it.
        self._stored_processed: int | None = recovered.processed_position if has_processor else None
        self._disk_space = DiskSpace.ENOUGH
        self.state = PartitionState.RUNNING
        # Whether `stop` was called; a partition that failed goes on until then.
        self._is_stopped = False

    # -- looking ---

    @property
    def written(self) -> int:
        return self._written

    @property
    def processed(self) -> int:
        return self._processed

    @property
    def is_stopping(self) -> bool:
        return self.state is not PartitionState.RUNNING

    @property
    def source_progress(self) -> ProgressBySource:
        """How far each source is stored."""
        with self._changed:
            return dict(self._source_progress)

    def received_from(self, sender: int) -> int:
        """The sequence of the last message of that partition that is stored here."""
        with self._changed:
            return self._received.get(sender, 0)

    def written_and_lowest(self) -> tuple[int, int | None]:
        """The last written position and the lowest that is acknowledged; None without exporters."""
        with self._changed:
            return self._written, self.exporters.lowest()

    def stored(self) -> list[int | None]:
        """What exporters and processor are done with for good, of each; None of one of which nothing is known."""
        with self._changed:
            done = self.exporters.stored_positions()
            return [*done, self._stored_processed] if self._has_processor else done

    def is_quiescent(self) -> bool:
        """Whether everything written is processed, delivered and acknowledged."""
        with self._changed:
            lowest = self.exporters.lowest()
            return (
                self._processed >= self._written
                and self._outbox_records == 0
                and (lowest is None or lowest >= self._written)
            )

    def standing(self, flow: Callable[[int, int | None], FlowSnapshot]) -> Standing:
        """`flow` gives the gate's part, from the written and the lowest acknowledged position."""
        with self._changed:
            written, lowest = self._written, self.exporters.lowest()
            return Standing(
                written=written,
                processed=self._processed,
                lowest=lowest,
                exporters=self.exporters.positions(),
                outbox_records=self._outbox_records,
                flow=flow(written, lowest),
            )

    # -- what happens ---

    def committed(self, units: Sequence[Unit]) -> int | None:
        """These are stored, in this order; returns the processed position if that has risen."""
        processed = None
        with self._changed:
            for unit in units:
                if unit.records:
                    self._known_to_be_written(unit.last_position)
                if unit.processed_position is not None:
                    if unit.processed_position > self._processed:
                        self._processed = processed = unit.processed_position
                        self._known_to_be_written(processed)
                        self.commands.processed(processed)
                    if self._has_processor:
                        self._stored_processed = unit.processed_position
                if self._has_outbox:
                    self._outbox_records += len(unit.outbox)
                for progress in unit.progress:
                    self._source_progress[progress.source] = progress
                self._received.update(unit.received)
                if unit.acknowledged:
                    self.exporters.stored(unit.acknowledged)
            if not self._has_processor:
                self._processed = self._written
            self._changed.notify_all()
        return processed

    def _known_to_be_written(self, position: int) -> None:
        """Whoever is done with a record shows that it is: readers may see a commit before it is told of here."""
        self._written = max(self._written, position)

    def commands_stored(self, last_position: int, accepted_ns: int, count: int) -> None:
        with self._changed:
            self.commands.stored((last_position, accepted_ns, count))

    def mark_processed(self, position: int) -> None:
        """Everything up to `position` is processed and needed no unit."""
        with self._changed:
            self._processed = position
            self._known_to_be_written(position)
            self.commands.processed(position)

    def take_command_duration(self) -> int | None:
        """The longest command duration that was counted since the last call."""
        with self._changed:
            return self.commands.take_longest_ns()

    def acknowledged(self, acknowledgement: Acknowledgement) -> None:
        with self._changed:
            self.exporters.acknowledged(acknowledgement)
            self._known_to_be_written(acknowledgement.position)

    def delivered(self, count: int) -> None:
        """So many messages are no longer on their way."""
        with self._changed:
            self._outbox_records -= count
            self._changed.notify_all()

    def set_disk_space(self, space: DiskSpace) -> None:
        with self._changed:
            self._disk_space = space
            self._changed.notify_all()

    @property
    def disk_space(self) -> DiskSpace:
        return self._disk_space

    def fail(self) -> None:
        with self._changed:
            self.state = PartitionState.FAILED

    def stop(self) -> None:
        """Frees everyone who waits here."""
        with self._changed:
            self._is_stopped = True
            if self.state is not PartitionState.FAILED:
                self.state = PartitionState.CLOSING
            self._changed.notify_all()

    # -- waiting ---

    def wake(self) -> None:
        """Lets everyone who waits look again, at a stop for instance."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_record(self, position: int, timeout_ns: int) -> bool:
        """Waits until the record at `position` is written, the partition is stopped, or the time is over."""
        with self._changed:
            # Also where a task has failed: until the run ends the others have nothing else to do.
            if self._written < position and not self._is_stopped:
                self._changed.wait(timeout_ns / NS_PER_SECOND)
            return self._written >= position

    def pause(self, ns: int) -> bool:
        """Waits for so long; False when the partition stops meanwhile."""
        deadline_ns = self._clock.monotonic_ns() + ns
        with self._changed:
            while not self.is_stopping and (rest_ns := deadline_ns - self._clock.monotonic_ns()) > 0:
                self._changed.wait(rest_ns / NS_PER_SECOND)
        return not self.is_stopping

    def wait_for_outbox(self, records_max: int, timeout_ns: int) -> bool:
        """Waits until fewer than `records_max` messages are on their way."""
        with self._changed:
            if self._outbox_records >= records_max and self.state is PartitionState.RUNNING:
                self._changed.wait(timeout_ns / NS_PER_SECOND)
            return self._outbox_records < records_max

    def wait_for_room(self, *, up_to: DiskSpace, blocked: Blocked, is_canceled: Callable[[], bool]) -> None:
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
                    raise StoppedError(f"partition {self._number} is stopping, or its writer")
                if self._disk_space.value > up_to.value:
                    self._changed.wait(1.0)
