"""The task of one record exporter on one partition: read, hand over, acknowledge, retry."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from threading import Condition, Lock
from typing import TYPE_CHECKING, Literal

from engine.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from engine.core.errors import (
    ConfigurationError,
    PenstockError,
    RefusedRecordsError,
    RetryLaterError,
    StoppedError,
    TaskFailedError,
)
from engine.core.records import Record, RecordBatch
from engine.core.snapshot import ExporterState
from engine.core.unit import Acknowledgement
from engine.exporting.hand_over import HandedOver, Part
from engine.exporting.pace import Pace
from engine.exporting.portions import Portion, portions
from engine.exporting.protocol import (
    Exporter,
    ExporterContext,
    ExporterFactory,
    LaterExporter,
    RecordFilter,
    Safe,
    reads_columns,
)
from engine.exporting.refusals import KeepAside, Refusals
from engine.exporting.retry import BackOff, RetryPolicy

if TYPE_CHECKING:
    from engine.partition.exporter_cells import ExporterCell
    from engine.partition.partition import Partition
    from engine.tasks.subtask import Subtask

log = logging.getLogger("penstock.exporting")

_IDLE_WAIT_NS = NS_PER_SECOND
# How often an exporter that acknowledges later is asked while something is open.
_LATER_WAIT_NS = 50 * NS_PER_MS
_ENDING = (StoppedError, ConfigurationError, TaskFailedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRules:
    """What one exporter gets, how fast, and what happens when it fails."""

    wanted: RecordFilter = field(default_factory=RecordFilter)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    # For records that the target refuses, after so many attempts.
    on_error: Literal["reject", "stop"] = "reject"
    attempts: int = 3
    batch_records: int = 1000


class ExportingTask:
    """Hands a partition's records to an exporter, in order and at least once.

    An exporter that raises is given the same records again, after a pause that grows. Time in the exporter's hands, in
    that pause, or held back by its own pace is busy time: it is what others wait for.
    """

    def __init__(
        self,
        partition: Partition,
        partitions: int,
        cell: ExporterCell,
        stored: Acknowledgement,
        factory: ExporterFactory,
        rules: ExportRules,
        keep_aside: KeepAside,
        subtask: Subtask,
        clock: Clock,
    ) -> None:
        self._partition = partition
        self._partitions = partitions
        self._cell = cell
        self._stored = stored
        self._factory = factory
        self._rules = rules
        self._timer = subtask.timer
        self._meter = subtask.meter
        self._clock = clock
        self._next_position = stored.position + 1
        # The last record that passed the filter, and what is open of an exporter that acknowledges later.
        self._last_wanted = stored.position
        self._handed_over = HandedOver()
        self._back_off = BackOff(rules.retry, Random())
        self._pace = Pace()
        self._keep_aside = keep_aside
        # Records that the target refused for good, in this run.
        self._kept_aside = 0
        self._refusals = Refusals(
            attempts=rules.attempts, policy=rules.on_error, keep_aside=self._rejected, place=self._place
        )
        # Held while waiting out a pause, a retry or the pace.
        self._control = Condition(Lock())
        self._paused = False
        self._stopping = False
        self._abandoned = False

    @property
    def _place(self) -> str:
        return f"exporter {self._cell.name} on partition {self._partition.number}"

    # -- from other threads ---

    def stop(self) -> None:
        """Ends the task when it has caught up with the log."""
        with self._control:
            self._stopping = True
            self._control.notify_all()
        self._partition.wake()

    def abandon(self) -> None:
        """Ends the task after the call in hand; what is not exported stays for the next run."""
        with self._control:
            self._stopping = self._abandoned = True
            self._control.notify_all()
        self._partition.wake()

    def pause(self, paused: bool) -> None:
        with self._control:
            if paused != self._paused:
                log.warning("%s is %s", self._place, "paused" if paused else "let go on")
            self._paused = paused
            self._control.notify_all()
        self._partition.wake()

    def set_pace(self, records_per_second: float | None) -> None:
        """Limits how fast records are handed over, from now on; None takes the limit away."""
        with self._control:
            self._cell.pace_per_second = records_per_second
            self._control.notify_all()

    # -- the task's thread ---

    def run(self) -> None:
        try:
            exporter = self._opened()
            if exporter is None:
                return
            try:
                self._export_all(exporter)
            finally:
                self._close(exporter)
        finally:
            self._cell.state = ExporterState.CLOSED

    def _opened(self) -> Exporter | None:
        """Opens the exporter, trying again until it succeeds; None when the task was ended meanwhile."""
        context = ExporterContext(
            self._cell.name,
            self._partition.number,
            self._partitions,
            self._stored.position,
            self._stored.cursor,
            self._partition.recovered.last_position,
            self._partition.written_ns,
        )
        while not self._abandoned:
            if self._paused:
                self._wait_out_pause()
                continue
            exporter = self._factory()
            try:
                exporter.open(context)
            except _ENDING:
                raise
            except Exception as error:
                self._close(exporter)
                self._stumbled(error)
            else:
                self._recovered()
                return exporter
        return None

    def _close(self, exporter: Exporter) -> None:
        try:
            exporter.close()
        except Exception:
            # What is acknowledged is safe, and the rest comes again: nothing hangs on it.
            log.exception("%s could not be closed", self._place)

    def _export_all(self, exporter: Exporter) -> None:
        while not self._abandoned:
            self._take_acknowledged(exporter)
            if self._paused and not self._handed_over:
                self._wait_out_pause()
                continue
            batches = [] if self._paused else self._partition.read(self._next_position, self._batch_size())
            if batches:
                self._export(exporter, batches)
            elif self._stopping and not self._handed_over:
                return
            else:
                self._wait_for_news()

    def _wait_for_news(self) -> None:
        """Waits for a record, or for an exporter that has taken all there is."""
        if not self._handed_over:
            self._timer.idle()
            self._partition.wait_for_record(self._next_position, _IDLE_WAIT_NS)
        elif self._stopping or self._paused:
            self._rest(_LATER_WAIT_NS)
        else:
            self._partition.wait_for_record(self._next_position, _LATER_WAIT_NS)
        self._timer.busy()

    def _batch_size(self) -> int:
        """Under a pace, what a tenth of a second allows, so that a change of pace is felt at once."""
        pace, most = self._cell.pace_per_second, self._rules.batch_records
        return most if pace is None else max(1, min(most, int(pace / 10)))

    def _export(self, exporter: Exporter, batches: list[RecordBatch]) -> None:
        """Hands over what was read, cut to the batch size, and acknowledges each part."""
        for portion in portions(batches, self._next_position, self._batch_size(), self._rules.wanted):
            if not self._wait_for_pace(portion.count) or not self._hand_over(exporter, portion) or self._paused:
                return

    def _hand_over(self, exporter: Exporter, portion: Portion) -> bool:
        """False when the task was ended before, or when records must be read again."""
        wanted = portion.wanted
        cursor = self._stored.cursor
        rejected = self._kept_aside
        if wanted:
            delivered = self._delivered(exporter, wanted if reads_columns(exporter) else wanted.records)
            if delivered is None:
                return False
            self._last_wanted = wanted.last_position
            cursor = delivered[0] if delivered else cursor
        part = Part(
            count=portion.count,
            last_position=portion.last_position,
            wanted=len(wanted) - (self._kept_aside - rejected),
            last_wanted_position=self._last_wanted,
            written=portion.written,
        )
        self._next_position = part.last_position + 1
        if isinstance(exporter, LaterExporter) and (wanted or self._handed_over):
            self._handed_over.add(part)
            self._take_acknowledged(exporter)
        else:
            self._acknowledge(part, cursor)
        # Not so where the exporter has just forgotten what it had, and all of it must be read again.
        return self._next_position == part.last_position + 1

    def _delivered(self, exporter: Exporter, records: Sequence[Record]) -> tuple[bytes | None, ...] | None:
        """What the exporter returned; nothing if only refused records were left; None when there is to be no more."""
        said: tuple[bytes, ...] = ()
        while not self._abandoned:
            try:
                cursor = self._timed(exporter, records)
            except _ENDING:
                raise
            except RefusedRecordsError as error:
                # None from who stores no cursor, or stored none with this call: then an earlier one holds.
                said = (error.cursor,) if type(error.cursor) is bytes else said
                records = self._refusals.remaining(records, error)
                if not records:
                    self._recovered()
                    return said
                self._stumbled(error)
            except Exception as error:
                self._stumbled(error)
                if self._handed_over:
                    self._begin_again()
                    return None
            else:
                self._recovered()
                return (cursor,)
            if self._paused:
                self._wait_out_pause()
        return None

    def _timed(self, exporter: Exporter, records: Sequence[Record]) -> bytes | None:
        started_ns = self._clock.monotonic_ns()
        try:
            cursor = exporter.export(records)
        finally:
            self._cell.duration.observe(self._clock.monotonic_ns() - started_ns)
        if not _is_cursor(cursor) and not isinstance(exporter, LaterExporter):
            raise _no_cursor(cursor)
        return cursor

    # -- acknowledging ---

    def _take_acknowledged(self, exporter: Exporter) -> None:
        """Asks an exporter that acknowledges later how far it is."""
        if not self._handed_over or not isinstance(exporter, LaterExporter):
            return
        try:
            safe = exporter.acknowledged()
            if safe is not None and not _is_cursor(safe.cursor):
                raise _no_cursor(safe.cursor)
        except _ENDING:
            raise
        except Exception as error:
            self._stumbled(error)
            self._begin_again()
            return
        if safe is not None:
            self._take_safe(safe)

    def _take_safe(self, safe: Safe) -> None:
        for part in self._handed_over.safe(safe):
            self._acknowledge(part, safe.cursor)

    def _begin_again(self) -> None:
        """Everything behind the last acknowledged record is handed over again."""
        self._handed_over.forget()
        self._last_wanted = self._stored.position
        self._next_position = self._stored.position + 1

    def _acknowledge(self, part: Part, cursor: bytes | None) -> None:
        acknowledgement = Acknowledgement(self._cell.name, part.last_position, cursor)
        self._stored = acknowledgement
        self._cell.exported += part.wanted
        self._cell.skipped += part.count - part.wanted
        self._meter.records_in += part.count
        self._meter.records_out += part.wanted
        # Written → acknowledged, once for all records that were written together.
        now_ns = self._clock.wall_ns()
        for timestamp_ns, count in part.written:
            self._partition.end_to_end_duration.observe(max(0, now_ns - timestamp_ns), count)
        self._partition.acknowledge(acknowledgement)

    # -- waiting ---

    def _wait_out_pause(self) -> None:
        state, self._cell.state = self._cell.state, ExporterState.PAUSED
        self._timer.idle()
        with self._control:
            while self._paused and not self._stopping:
                self._control.wait()
            if self._stopping:
                # A paused exporter holds its place; the next run goes on from there.
                self._abandoned = True
        self._timer.busy()
        self._cell.state = state

    def _wait_for_pace(self, records: int) -> bool:
        """Waits until the pace allows `records` more; False when the task was ended meanwhile."""
        with self._control:
            while not self._abandoned:
                now_ns = self._clock.monotonic_ns()
                wait_ns = self._pace.wait_ns(records, self._cell.pace_per_second, now_ns)
                if not wait_ns:
                    return True
                self._control.wait(wait_ns / NS_PER_SECOND)
            return False

    def _rest(self, wait_ns: int) -> None:
        """Waits so long, unless the task is abandoned meanwhile."""
        deadline_ns = self._clock.monotonic_ns() + wait_ns
        with self._control:
            while not self._abandoned and (rest_ns := deadline_ns - self._clock.monotonic_ns()) > 0:
                self._control.wait(rest_ns / NS_PER_SECOND)

    # -- failing ---

    def _stumbled(self, error: Exception) -> None:
        """Counts a failure, says the first one, and waits before the next try."""
        cell = self._cell
        cell.errors += 1
        cell.last_error = str(error) if isinstance(error, PenstockError) else f"{type(error).__name__}: {error}"
        cell.last_error_wall_ns = self._clock.wall_ns()
        if not self._back_off.is_failing:
            # Where the outside is to blame, its own words say all; a bug needs its trace.
            trace = None if isinstance(error, PenstockError | OSError) else error
            what = (self._place, self._next_position, cell.last_error)
            log.warning("%s fails at position %d and is retried: %s", *what, exc_info=trace)
        cell.state = ExporterState.RETRYING
        self._rest(self._back_off.next_ns(error.after_ns if isinstance(error, RetryLaterError) else 0))
        cell.retries += 1

    def _recovered(self) -> None:
        self._refusals.cleared()
        if self._back_off.is_failing:
            log.warning("%s works again at position %d", self._place, self._next_position)
            self._back_off.reset()
        self._cell.state = ExporterState.EXPORTING

    def _rejected(self, record: Record, reason: str) -> None:
        log.warning("%s: the record at position %d is kept aside: %s", self._place, record.position, reason)
        self._keep_aside(record, reason)
        self._kept_aside += 1
        self._meter.reject("error")


def _is_cursor(cursor: object) -> bool:
    """What no log can store would keep everything else from being stored, too."""
    return cursor is None or type(cursor) is bytes


def _no_cursor(cursor: object) -> TypeError:
    return TypeError(f"the cursor of an exporter is bytes or None, not {type(cursor).__name__}")
