"""The task of one record exporter on one partition: read, hand over, acknowledge, retry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from random import Random
from threading import Event
from typing import TYPE_CHECKING

from engine.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from engine.core.errors import (
    ConfigurationError,
    PenstockError,
    RefusedRecordsError,
    RetryLaterError,
    StoppedError,
    TaskFailedError,
)
from engine.core.pause import Pause
from engine.core.record_batch import RecordBatch
from engine.core.records import Record
from engine.core.snapshot import ExporterState
from engine.core.unit import Acknowledgement
from engine.exporting.hand_over import HandedOver, Part
from engine.exporting.portions import Portion, portions
from engine.exporting.protocol import (
    Exporter,
    ExporterContext,
    ExporterFactory,
    LaterExporter,
    RecordFilter,
    reads_columns,
    takes_again,
)
from engine.exporting.refusals import OnRefusal, Refusals
from engine.exporting.reins import Reins
from engine.exporting.retry import BackOff, RetryPolicy
from engine.exporting.run import Run

if TYPE_CHECKING:
    from engine.partition.exporter_cells import ExporterCell
    from engine.partition.partition import Partition
    from engine.tasks.subtask import Subtask

log = logging.getLogger("penstock.exporting")

_IDLE_WAIT_NS = NS_PER_SECOND
# How often an exporter that acknowledges later is asked while something is open.
_LATER_WAIT_NS = 50 * NS_PER_MS
# How many records that come for the first time go with many that are tried again, and how many of these wait at most.
_WITNESSES = 10
_WAITING_BATCHES_MAX = 10
# In pauses of the retry policy: how long who acknowledges later may name other records than the one that is replayed.
_REPLAY_PAUSES = 300
_ENDING = (StoppedError, ConfigurationError, TaskFailedError)

# Keeps records aside, each with the reason; raises `OSError` and keeps none.
KeepAside = Callable[[Sequence[tuple[Record, str]]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRules:
    """What one exporter gets, how fast, and what happens when it fails."""

    wanted: RecordFilter = field(default_factory=RecordFilter)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    # For records that are to blame for being refused, after so many attempts.
    on_error: OnRefusal = "reject"
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
        self._keep_aside = keep_aside
        self._refusals = Refusals(
            attempts=rules.attempts, policy=rules.on_error, pause_ns=rules.retry.first_ns, random=Random()
        )
        # What the exporter returned last.
        self._cursor = stored.cursor
        # A record that was taken, for one that takes it again without harm.
        self._witness: Record | None = None
        # Records that were set aside and are to be handed over once more, between two calls.
        self._replays: SimpleQueue[tuple[Sequence[Record], Event]] = SimpleQueue()
        self._place = f"exporter {cell.name} on partition {partition.number}"
        self._reins = Reins(self._place, cell, clock, partition.wake)

    @property
    def partition(self) -> int:
        return self._partition.number

    # -- from other threads ---

    def replay(self, records: Sequence[Record]) -> Event:
        """Hands over records that were set aside, once more; what is refused again is set aside again.

        The event says that all of it is done.
        """
        done = Event()
        self._replays.put((records, done))
        self._partition.wake()
        return done

    def stop(self) -> None:
        """Ends the task when it has caught up with the log."""
        self._reins.stop()

    def abandon(self) -> None:
        """Ends the task after the call in hand; what is not exported stays for the next run."""
        self._reins.stop(at_once=True)

    def set_pause(self, pause: Pause | None) -> None:
        """Holds the task where it is, or with a soft pause what it has acknowledged; None lets it go on."""
        self._reins.pause(pause)

    def set_pace(self, records_per_second: float | None) -> None:
        """Limits how fast records are handed over, from now on; None takes the limit away."""
        self._reins.pace(records_per_second)

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
        while not self._reins.is_abandoned:
            if self._reins.is_paused:
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
        while not self._reins.is_abandoned:
            if self._handed_over:
                self._settle(exporter)
            awaits = self._handed_over and isinstance(exporter, LaterExporter)
            if self._reins.is_paused and not awaits:
                self._wait_out_pause()
                continue
            if not self._reins.is_paused and not self._handed_over and not self._replays.empty():
                self._replay(exporter, *self._replays.get())
            batches = [] if self._reins.is_paused or self._holds_for_replay(exporter) else self._read()
            if batches:
                self._export(exporter, batches)
            elif not self._reins.is_paused and (again := self._due()):
                self._deliver(exporter, self._with_witness(again))
                self._settle(exporter)
            elif self._reins.is_stopping and (not self._handed_over or self._reins.is_soft):
                # What a soft pause holds back comes again in the next run.
                return
            else:
                self._wait_for_news()

    def _read(self) -> list[RecordBatch]:
        """What follows; where much is refused, a few only, and with others that are tried again: they show whose fault
        it is.
        """
        if self._waits_much and (len(self._refusals) >= _WAITING_BATCHES_MAX * self._most or not self._due()):
            return []
        return self._partition.read(self._next_position, self._batch_size())

    @property
    def _most(self) -> int:
        return self._rules.batch_records

    @property
    def _waits_much(self) -> bool:
        return len(self._refusals) >= self._most

    def _due(self) -> list[Record]:
        """Refused records that are to be tried again."""
        if not len(self._refusals):
            return []
        return self._refusals.due(self._clock.monotonic_ns(), self._most)

    def _with_witness(self, again: list[Record]) -> list[Record]:
        """With one that was taken before, where it does no harm: whether it is taken again says whose fault it is."""
        return again if self._witness is None else [*again, self._witness]

    def _wait_for_news(self) -> None:
        """Waits for a record, for an exporter that has taken all there is, or until refused ones are due."""
        due_ns = self._refusals.next_due_ns()
        if self._reins.is_soft:
            wait_ns = _IDLE_WAIT_NS
        elif due_ns is not None:
            wait_ns = max(0, due_ns - self._clock.monotonic_ns())
        else:
            wait_ns = _LATER_WAIT_NS if self._handed_over else _IDLE_WAIT_NS
        if not self._handed_over or self._reins.is_soft:
            self._timer.idle()
            self._partition.wait_for_record(self._next_position, wait_ns)
        elif self._reins.is_stopping or self._reins.is_paused or self._waits_much or not self._replays.empty():
            self._reins.rest(wait_ns)
        else:
            self._partition.wait_for_record(self._next_position, wait_ns)
        self._timer.busy()

    def _batch_size(self) -> int:
        """Under a pace, what a tenth of a second allows, so that a change of pace is felt at once."""
        pace, most = self._cell.pace_per_second, _WITNESSES if self._waits_much else self._most
        return most if pace is None else max(1, min(most, int(pace / 10)))

    def _export(self, exporter: Exporter, batches: list[RecordBatch]) -> None:
        """Hands over what was read, cut to the batch size, and acknowledges each part."""
        reins = self._reins
        for portion in portions(batches, self._next_position, self._batch_size(), self._rules.wanted):
            if not reins.wait_for_pace(portion.count) or not self._hand_over(exporter, portion) or reins.is_paused:
                return
            if self._waits_much:
                return

    def _hand_over(self, exporter: Exporter, portion: Portion) -> bool:
        """False when the task was ended before, or when records must be read again."""
        wanted = portion.wanted
        if wanted:
            self._last_wanted = wanted.last_position
        part = Part(
            count=portion.count,
            last_position=portion.last_position,
            wanted=len(wanted),
            last_wanted_position=self._last_wanted,
            written=portion.written,
        )
        self._next_position = part.last_position + 1
        self._handed_over.add(part)
        if wanted and not self._deliver_fresh(exporter, wanted):
            return False
        self._settle(exporter)
        # Not so where the exporter has just forgotten what it had, and all of it must be read again.
        return self._next_position == part.last_position + 1

    def _deliver_fresh(self, exporter: Exporter, wanted: Run) -> bool:
        again = self._due()
        self._refusals.fresh(self._clock.monotonic_ns())
        if again:
            return self._deliver(exporter, [*again, *wanted.records])
        return self._deliver(exporter, wanted if reads_columns(exporter) else wanted.records)

    def _deliver(self, exporter: Exporter, records: Sequence[Record]) -> bool:
        """Hands over until all is taken or refused; False when there is to be no more."""
        while not self._reins.is_abandoned:
            try:
                self._cursor = self._timed(exporter, records)
            except _ENDING:
                raise
            except RefusedRecordsError as error:
                # None from who stores no cursor, or stored none with this call: then an earlier one holds.
                self._cursor = error.cursor if type(error.cursor) is bytes else self._cursor
                self._judge(records, error)
                return not self._reins.is_abandoned
            except Exception as error:
                self._stumbled(error)
                if self._handed_over and isinstance(exporter, LaterExporter):
                    self._begin_again()
                    return False
            else:
                self._refusals.took(records)
                if takes_again(exporter):
                    self._witness = records[-1]
                self._recovered()
                return True
            if self._reins.is_paused:
                self._wait_out_pause()
        return False

    def _holds_for_replay(self, exporter: Exporter) -> bool:
        """Whether what is open is to be acknowledged first: then it is clear what an acknowledgement is of."""
        return isinstance(exporter, LaterExporter) and not self._replays.empty()

    def _replay(self, exporter: Exporter, records: Sequence[Record], done: Event) -> None:
        refused: dict[int, str] = {}
        while left := [record for record in records if record.position not in refused]:
            if self._reins.is_abandoned:
                return
            try:
                cursor = self._timed(exporter, left)
                self._cursor = self._replayed_cursor(exporter, left[-1].position, cursor)
                break
            except _ENDING:
                raise
            except RefusedRecordsError as error:
                self._cursor = error.cursor if type(error.cursor) is bytes else self._cursor
                refused |= error.reasons
                if not isinstance(exporter, LaterExporter):
                    break
            except Exception as error:
                self._stumbled(error)
        if self._reins.is_abandoned:
            return
        if refused:
            self._set_aside([(record, refused[record.position]) for record in records if record.position in refused])
        self._recovered()
        self._cell.exported += len(records) - len(refused)
        if self._cursor != self._stored.cursor:
            self._stored = Acknowledgement(self._cell.name, self._stored.position, self._cursor)
            self._partition.acknowledge(self._stored)
        done.set()

    def _replayed_cursor(self, exporter: Exporter, position: int, cursor: bytes | None) -> bytes | None:
        """Waits until one that acknowledges later names the last record of a replay; the cursor from then on."""
        if not isinstance(exporter, LaterExporter):
            return cursor
        began_ns = self._clock.monotonic_ns()
        other = 0
        while not self._reins.is_abandoned:
            safe = exporter.acknowledged()
            if safe is not None and not _is_cursor(safe.cursor):
                raise _no_cursor(safe.cursor)
            if safe is not None and safe.position == position:
                return self._stored.cursor if safe.cursor is None else safe.cursor
            if safe is not None and safe.position > position:
                other = safe.position
            if other and self._clock.monotonic_ns() - began_ns >= _REPLAY_PAUSES * self._rules.retry.first_ns:
                raise RefusedRecordsError(
                    {position: f"acknowledged() says {other} and never {position}, so nobody knows if it is safe"}
                )
            self._reins.rest(_LATER_WAIT_NS)
        return self._stored.cursor

    def _judge(self, records: Sequence[Record], error: RefusedRecordsError) -> None:
        """Some records of a call were refused: finds out whose fault that is, and does what has to be done."""
        verdict = self._refusals.refused(records, error, self._clock.monotonic_ns())
        if verdict.target_at_fault:
            self._stumbled(error)
            return
        self._noted(error)
        self._recovered()
        if not verdict.to_blame:
            return
        if self._rules.on_error == "stop":
            record, reason = verdict.to_blame[0]
            raise TaskFailedError(f"{self._place} refuses the record at position {record.position}: {reason}")
        self._set_aside(verdict.to_blame)

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
            self._acknowledge_up_to(safe.position, safe.cursor)

    def _settle(self, exporter: Exporter) -> None:
        """Acknowledges what is safe after a call."""
        if isinstance(exporter, LaterExporter):
            if self._last_wanted <= self._stored.position:
                # Nothing of it was wanted: there is nothing to wait for.
                self._acknowledge_up_to(self._last_wanted, self._stored.cursor)
            self._take_acknowledged(exporter)
        else:
            self._acknowledge_up_to(self._last_wanted, self._cursor)

    def _acknowledge_up_to(self, position: int, cursor: bytes | None) -> None:
        if self._reins.is_soft:
            return
        for part in self._handed_over.safe(position, self._refusals.first_position):
            self._acknowledge(part, cursor)

    def _begin_again(self) -> None:
        """Everything behind the last acknowledged record is handed over again."""
        self._handed_over.forget()
        self._refusals.forget()
        self._last_wanted = self._stored.position
        self._next_position = self._stored.position + 1

    def _acknowledge(self, part: Part, cursor: bytes | None) -> None:
        acknowledgement = Acknowledgement(self._cell.name, part.last_position, cursor)
        self._stored = acknowledgement
        exported = part.wanted - part.set_aside
        self._cell.exported += exported
        self._cell.skipped += part.count - exported
        self._meter.records_in += part.count
        self._meter.records_out += exported
        # Written → acknowledged, once for all records that were written together.
        now_ns = self._clock.wall_ns()
        for timestamp_ns, count in part.written:
            self._partition.end_to_end_duration.observe(max(0, now_ns - timestamp_ns), count)
        self._partition.acknowledge(acknowledgement)

    # -- waiting ---

    def _wait_out_pause(self) -> None:
        state, self._cell.state = self._cell.state, ExporterState.PAUSED
        self._timer.idle()
        self._reins.wait_out_pause()
        self._timer.busy()
        self._cell.state = state

    # -- failing ---

    def _noted(self, error: Exception) -> None:
        cell = self._cell
        cell.errors += 1
        cell.last_error = str(error) if isinstance(error, PenstockError) else f"{type(error).__name__}: {error}"
        cell.last_error_wall_ns = self._clock.wall_ns()

    def _stumbled(self, error: Exception) -> None:
        """Counts a failure, says the first one, and waits before the next try."""
        cell = self._cell
        self._noted(error)
        if not self._back_off.is_failing:
            # Where the outside is to blame, its own words say all; a bug needs its trace.
            trace = None if isinstance(error, PenstockError | OSError) else error
            what = (self._place, self._stored.position + 1, cell.last_error)
            log.warning("%s fails at position %d and is retried: %s", *what, exc_info=trace)
        cell.state = ExporterState.RETRYING
        self._reins.rest(self._back_off.next_ns(error.after_ns if isinstance(error, RetryLaterError) else 0))
        cell.retries += 1

    def _recovered(self) -> None:
        if self._back_off.is_failing:
            log.warning("%s works again at position %d", self._place, self._stored.position + 1)
            self._back_off.reset()
        self._cell.state = ExporterState.EXPORTING

    def _set_aside(self, to_blame: Sequence[tuple[Record, str]]) -> None:
        """Keeps records aside, and goes on only when that is done."""
        while True:
            try:
                self._keep_aside(to_blame)
            except OSError as error:
                self._stumbled(error)
                if self._reins.is_abandoned:
                    raise StoppedError(f"{self._place} is stopping") from error
            else:
                break
        for record, _ in to_blame:
            self._handed_over.set_aside(record.position)
            self._meter.reject("error")
        self._recovered()


def _is_cursor(cursor: object) -> bool:
    """What no log can store would keep everything else from being stored, too."""
    return cursor is None or type(cursor) is bytes


def _no_cursor(cursor: object) -> TypeError:
    return TypeError(f"the cursor of an exporter is bytes or None, not {type(cursor).__name__}")
