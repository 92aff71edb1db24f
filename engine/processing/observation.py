"""What a processing task tells an observer of its batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.core.clock import Clock
from engine.core.observing import BatchObserver, BatchOutcome, Mark, ProcessedBatch
from engine.core.record_batch import RecordBatch
from engine.core.records import RecordType, WriteSource
from engine.core.unit import Unit

if TYPE_CHECKING:
    from engine.partition.partition import Partition
    from engine.tasks.subtask import Subtask

log = logging.getLogger("penstock.processing")


class Observation:
    """Gathers what is known of the batch in hand, tells it, and keeps the marks beside what was measured.

    The task's thread alone calls it, and only where there is an observer.
    """

    def __init__(self, observer: BatchObserver, partition: Partition, subtask: Subtask, clock: Clock) -> None:
        self._observer: BatchObserver | None = observer
        self._partition = partition
        self._task = subtask.vertex.task
        self._meter = subtask.meter
        self._clock = clock
        self._read: Sequence[RecordBatch] = ()
        self._since_ns = 0
        self._rejected_before = 0

    def began(self, read: Sequence[RecordBatch], now_ns: int) -> None:
        """The commands in `read` are processed from now on, in one batch or several."""
        self._read = read
        self._since_ns = now_ns

    def handed_over(self, commands: int, first: int, last: int, worked_ns: int, unit: Unit) -> None:
        """The batch is done: positions `first` to `last`. A batch without commands is none."""
        command_ns = self._partition.take_command_duration()
        if not commands:
            self._began_another()
            return
        rejected = self._rejected()
        mark = self._tell(
            first,
            last,
            commands,
            rejected,
            worked_ns,
            written=len(unit.records) + len(unit.outbox),
            outcome=BatchOutcome.REJECTED if rejected else BatchOutcome.PROCESSED,
        )
        if mark is not None:
            wall_ns = self._clock.wall_ns()
            partition = self._partition
            partition.processing_duration.mark(worked_ns // commands, mark, wall_ns)
            if unit.append_ns is not None:
                partition.append_duration.mark(unit.append_ns, mark, wall_ns)
            if command_ns is not None:
                partition.command_duration.mark(command_ns, mark, wall_ns)
        self._began_another()

    def failed(self, first: int, last: int, error: Exception) -> None:
        """The record at `last` stops the run, and with it the batch since `first`."""
        commands = sum(
            record.record_type == RecordType.COMMAND
            for batch in self._read
            for record in batch.records_from(first)
            if record.position <= last
        )
        self._tell(
            first,
            last,
            commands,
            self._rejected(),
            self._clock.monotonic_ns() - self._since_ns,
            outcome=BatchOutcome.FAILED,
            error=(type(error).__qualname__, str(error)),
        )

    def _tell(
        self,
        first: int,
        last: int,
        commands: int,
        rejected: int,
        worked_ns: int,
        *,
        outcome: BatchOutcome,
        written: int = 0,
        error: tuple[str, str] | None = None,
    ) -> Mark | None:
        if self._observer is None:
            return None
        ended_ns = self._clock.monotonic_ns()
        batch = ProcessedBatch(
            task=self._task,
            partition=self._partition.number,
            first_position=first,
            last_position=last,
            commands=commands,
            rejected=rejected,
            written=written,
            triggers=self._triggers(first, last),
            outcome=outcome,
            started_ns=self._since_ns,
            ended_ns=ended_ns,
            ended_wall_ns=self._clock.wall_ns(),
            worked_ns=worked_ns,
            error=error,
        )
        try:
            return self._observer.processed(batch)
        except Exception:
            log.exception("the observer of batches failed; %s is told of no more", self._task)
            self._observer = None
            return None

    def _began_another(self) -> None:
        self._since_ns = self._clock.monotonic_ns()
        self._rejected_before = sum(self._meter.rejected.values())

    def _rejected(self) -> int:
        return sum(self._meter.rejected.values()) - self._rejected_before

    def _triggers(self, first: int, last: int) -> tuple[WriteSource, ...]:
        seen = {
            batch.source: None
            for batch in self._read
            if batch.first_position <= last and batch.last_position >= first and batch.may_hold(RecordType.COMMAND)
        }
        return tuple(seen)
