"""The log of one partition: positions, group commit, and readers that follow the tail."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Event, Lock

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import AppendError, LogCorruptedError, PartitionLostError
from engine.core.measures import Histogram
from engine.core.record_batch import RecordBatch
from engine.core.records import WriteSource
from engine.core.unit import Recovered, Unit
from engine.log.codec import EncodedBatch, checksum_of, decode_batch, opened
from engine.log.load import Load, Stored, Ticket, loads
from engine.log.storage import (
    CONCERNING_ALL,
    FAILURE_REASONS,
    DeletedError,
    Entry,
    LogStorage,
    LostPartitionError,
    StorageError,
)
from engine.log.tail import TailCache

# Bounds of one shared commit: enough for any number of writers to share a sync, small enough to stay quick.
_UNITS_PER_COMMIT_MAX = 256
# A commit of so many records waits for no company.
_WORTH_A_COMMIT_RECORDS = 1000
_NO_UNIT = Unit(source=WriteSource.INTERNAL)
# A log elsewhere that has not answered for so long is away.
_AWAY_NS = 5 * NS_PER_SECOND
_TAIL_BYTES_MAX = 16 * 1024 * 1024

Committed = Callable[[Sequence[Unit]], None]


class PartitionLog:
    """Appends units and reads batches; any number of threads may call either.

    Writers share a sync without a thread of its own: the first to come leads, commits what has gathered (its
    own unit included), wakes those it served, and hands the lead to the next in line. A single writer therefore
    commits on its own thread, with no switch.
    """

    def __init__(
        self,
        partition: int,
        storage: LogStorage,
        clock: Clock,
        *,
        committed: Committed,
        take_riders: Callable[[], Unit | None] = lambda: None,
        give_back_riders: Callable[[Unit], None] = lambda _: None,
        tail_bytes: int = _TAIL_BYTES_MAX,
    ) -> None:
        self._partition = partition
        # What it knows besides batches (the small state, the inbox, its cluster) whoever wants it asks it itself.
        self.storage = storage
        self._clock = clock
        # Called by the leader after each commit, in the order of the log, before anyone reads the records.
        self._committed = committed
        # Called by the leader for a unit without records that goes in front of each commit.
        self._take_riders = take_riders
        self._give_back_riders = give_back_riders
        self._queue_lock = Lock()
        self._queue: deque[Ticket] = deque()
        # Invariant: where nobody leads, nobody waits in the line.
        self._leading = False
        # Records in the line, and what tells a leader who waits for company that there are enough.
        self._waiting_records = 0
        self._has_company = Event()
        self._tail = TailCache(tail_bytes)
        self._last_position = 0
        # When the commit that is under way was asked for.
        self._committing_since_ns: int | None = None
        self.append_duration = Histogram()
        self.append_failures = dict.fromkeys(FAILURE_REASONS, 0)
        self._timestamp_asked = (-1, 0)

    def open(self) -> Recovered:
        """Reads what is there. Call first and once."""
        recovered = self.storage.recover()
        self._last_position = recovered.last_position
        return recovered

    def stop(self) -> None:
        """The end is near: nobody waits here any more for something outside of the machine."""
        self._has_company.set()
        self.storage.stop()

    def close(self) -> None:
        self.storage.close()

    @property
    def last_position(self) -> int:
        return self._last_position

    @property
    def why_away(self) -> str | None:
        """Why whoever writes now would wait for long; None where the log is on this machine, or answers."""
        since_ns = self._committing_since_ns
        if since_ns is None or not self.storage.pace.is_remote:
            return None
        waited_ns = self._clock.monotonic_ns() - since_ns
        if waited_ns < _AWAY_NS:
            return None
        return f"partition {self._partition}: the log has not answered for {waited_ns // NS_PER_SECOND} s"

    # -- appending ---

    def append(self, unit: Unit, stored: Stored | None = None) -> None:
        """Makes `unit` durable; gives it its `first_position`.

        `stored(last_position)` is called before any reader can see the records. Raises `AppendError` when
        nothing of the unit was stored, `TypeError` or `OverflowError` for a value that cannot be encoded.
        """
        self._await_turn(Ticket(unit, stored))

    def _await_turn(self, ticket: Ticket) -> None:
        ticket.started_ns = self._clock.monotonic_ns()
        wake = None
        with self._queue_lock:
            if self._leading:
                wake = ticket.wake = Lock()
                wake.acquire()
                self._queue.append(ticket)
                self._waiting_records += len(ticket.unit.records)
                if self._waiting_records >= _WORTH_A_COMMIT_RECORDS:
                    self._has_company.set()
            else:
                self._leading = True
        if wake is None:
            self._lead([ticket, *self._company_of(ticket)])
        else:
            wake.acquire()
            if not ticket.done:
                self._lead(self._waiting())
        if ticket.error is not None:
            raise ticket.error

    def _company_of(self, ticket: Ticket) -> list[Ticket]:
        """Where a commit costs much, a leader whom nobody waits for waits a moment for others."""
        linger_ns = self.storage.pace.linger_ns
        if not linger_ns or len(ticket.unit.records) >= _WORTH_A_COMMIT_RECORDS:
            return []
        self._has_company.wait(linger_ns / NS_PER_SECOND)
        return self._waiting(_UNITS_PER_COMMIT_MAX - 1)

    def _waiting(self, units_max: int = _UNITS_PER_COMMIT_MAX) -> list[Ticket]:
        """Takes from the line what one commit may hold."""
        with self._queue_lock:
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), units_max))]
            self._waiting_records -= sum(len(ticket.unit.records) for ticket in taken)
            if self._waiting_records < _WORTH_A_COMMIT_RECORDS:
                self._has_company.clear()
            return taken

    def _lead(self, tickets: list[Ticket]) -> None:
        try:
            units = [ticket for ticket in tickets if ticket.operation is None]
            if units:
                self._commit(units)
            for ticket in tickets:
                if ticket.operation is not None:
                    self._operate(ticket, ticket.operation)
        except BaseException as error:
            # A fault of our own must not look like success to those who wait.
            for ticket in tickets:
                ticket.error = ticket.error or AppendError(
                    f"partition {self._partition} could not store a write: {error!r}"
                )
            raise
        finally:
            self._committing_since_ns = None
            # Before the lead is handed on, so that those who are served now may share the next commit.
            for ticket in tickets:
                ticket.done = True
                if ticket.wake is not None:
                    ticket.wake.release()
            with self._queue_lock:
                if self._queue:
                    successor = self._queue[0].wake
                    assert successor is not None, "who came while another led has a lock to sleep on"
                    successor.release()
                else:
                    self._leading = False

    def _commit(self, tickets: list[Ticket]) -> None:
        together = loads(tickets)
        if not together:
            return
        riders = self._take_riders()
        timestamp_ns = self._clock.wall_ns()
        position = self._last_position + 1
        entries: list[Entry] = []
        for load in together:
            batch = None
            if load.blob is not None:
                count = len(load.unit.records)
                batch = EncodedBatch(
                    position,
                    count,
                    timestamp_ns,
                    load.unit.source,
                    checksum_of(load.blob, position, count, load.kinds),
                    load.blob,
                    load.kinds,
                )
                position += count
            entries.append(Entry(load.unit, batch))
        self._committing_since_ns = tickets[0].started_ns
        try:
            self.storage.commit(entries if riders is None else [Entry(riders, None), *entries])
        except StorageError as error:
            if riders is not None:
                self._give_back_riders(riders)
            self._refused([ticket for load in together for ticket in load.tickets], error)
            return
        now_ns = self._clock.monotonic_ns()
        for load, entry in zip(together, entries, strict=True):
            if entry.batch is not None:
                load.unit.first_position = entry.batch.first_position
                self._tail.append(entry.batch)
                self._tell(load, now_ns)
        self._last_position = position - 1
        units = [load.unit for load in together]
        self._committed(units if riders is None else [riders, *units])

    def _tell(self, load: Load, now_ns: int) -> None:
        """Each owner where its records are, and how long it took."""
        position = load.unit.first_position
        for ticket in load.tickets:
            unit = ticket.unit
            unit.append_ns = now_ns - ticket.started_ns
            self.append_duration.observe(unit.append_ns)
            unit.first_position = position
            position += len(unit.records)
            if ticket.stored is not None:
                ticket.stored(position - 1)

    def _operate(self, ticket: Ticket, operation: Callable[[], None]) -> None:
        try:
            operation()
        except StorageError as error:
            self._refused([ticket], error)

    def _refused(self, tickets: list[Ticket], error: StorageError) -> None:
        """One unit alone bears its own error; of several each is tried alone, so that none suffers for another."""
        if len(tickets) > 1 and error.reason not in CONCERNING_ALL:
            for ticket in tickets:
                self._commit([ticket])
            return
        self.append_failures[error.reason] += 1
        for ticket in tickets:
            ticket.error = (
                PartitionLostError(str(error))
                if isinstance(error, LostPartitionError)
                else AppendError(
                    f"partition {self._partition} could not store a write: {error}",
                    passing=error.reason in CONCERNING_ALL,
                    too_large=error.reason == "too_large",
                )
            )

    # -- reading ---

    def read(self, position: int, max_records: int) -> list[RecordBatch]:
        """Batches from the one that holds `position` on, until `max_records` are covered; empty past the end.

        The first batch may begin before `position`, and none is missing. Raises `LogCorruptedError` with the place of a
        damaged one, `DeletedError` where retention has deleted `position`.
        """
        if position > self._last_position:
            return []
        ours = self._tail.read(position, max_records)
        if ours is not None:
            # This process made them: there is nothing that a checksum could find.
            return [opened(batch) for batch in ours]
        return [self._decode(batch) for batch in self.storage.read(position, max_records)]

    def _decode(self, batch: EncodedBatch) -> RecordBatch:
        try:
            return decode_batch(batch)
        except ValueError as error:
            raise LogCorruptedError(self._partition, batch.first_position, str(error)) from error

    def timestamp_of(self, position: int) -> int | None:
        """Wall time at which the record at `position` was written; None when it is not there, or nobody can tell."""
        asked, answer = self._timestamp_asked
        if asked == position:
            return answer
        if position > self._last_position:
            return None
        try:
            encoded = self._tail.read(position, 1) or self.storage.read(position, 1)
        except (StorageError, DeletedError):
            # Somebody looks at an engine that has ended, or at what retention has deleted.
            return None
        if not encoded or not encoded[0].blob:
            return None
        self._timestamp_asked = (position, encoded[0].timestamp_ns)
        return encoded[0].timestamp_ns

    def delete_before(self, position: int, max_batches: int) -> int:
        """Deletes old batches in the line of the writers; ask for few at a time, so that none of them stalls.

        Beside them where a call takes long. Raises `AppendError`.
        """
        if self.storage.pace.is_remote:
            try:
                return self.storage.delete_before(position, max_batches)
            except LostPartitionError as error:
                raise PartitionLostError(str(error)) from error
            except StorageError as error:
                raise AppendError(f"partition {self._partition} could not delete old records: {error}") from error
        deleted = 0

        def delete() -> None:
            nonlocal deleted
            deleted = self.storage.delete_before(position, max_batches)

        self._await_turn(Ticket(_NO_UNIT, operation=delete))
        return deleted
