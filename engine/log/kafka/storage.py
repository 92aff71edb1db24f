"""The durable log in a Kafka cluster: a commit is one transaction over log, state and inbox topics."""

from __future__ import annotations

import logging
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import msgspec

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import DataFolderError, NewerFormatError
from engine.core.measures import Histogram
from engine.core.snapshot import ClusterSnapshot
from engine.core.unit import Recovered, Unit
from engine.kafka.client import Cluster, KafkaException, TopicPartition, copies_in_sync, error_of
from engine.kafka.settings import KafkaLogSettings
from engine.log.codec import EncodedBatch
from engine.log.kafka import rows
from engine.log.kafka.batches import HEADER, batch_of, header_of
from engine.log.kafka.cache import STALE_SECONDS, Cache
from engine.log.kafka.inbox import KafkaInbox, Sent, outgoing
from engine.log.kafka.index import OffsetIndex
from engine.log.kafka.reading import OffsetGoneError, TopicReader
from engine.log.kafka.topics import Topics
from engine.log.kafka.transactions import OutcomeUnknownError, Outgoing, Rows, Transactions
from engine.log.rows.changes import Changes
from engine.log.storage import DeletedError, Entry, LostPartitionError, Pace, StorageError

log = logging.getLogger("penstock.log")

_RIDERS_WAIT_NS = NS_PER_SECOND
_RETAIN_EVERY_NS = 10 * NS_PER_SECOND
# A rival says who it is with its first transaction: so long it gets before it is asked for.
_RIVAL_SECONDS = 1.0
_AGAIN_SECONDS = 0.5
# So few offsets are read through rather than searched.
_NEAR = 64
_READ_AT_ONCE = 500


class _CommitHead(NamedTuple):
    """As the applier wants it."""

    commit: int
    first_position: int
    records: int
    frame_bytes: int
    body_bytes: int


@dataclass(frozen=True, slots=True)
class _Restoring:
    """How far the state was read at the opening, as one value that other threads may look at."""

    rows: int = 0
    # Offsets up to the end of the topic: some hold no row of ours.
    remaining: int = 0
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.started

    def at(self, rows: int, remaining: int) -> _Restoring:
        return replace(self, rows=rows, remaining=remaining)

    def over(self) -> _Restoring:
        return replace(self, remaining=0, ended=time.monotonic())


class KafkaLogStorage:
    """Implements `LogStorage` over three topics and a cache on this machine.

    Whoever opens a partition fences the one before, then reads what is there. After a commit of which the outcome is
    not known, and where it was fenced, nothing is written before it is clear who has the partition and what became of
    it.
    """

    def __init__(
        self,
        cluster: Cluster,
        topics: Topics,
        partition: int,
        cache: Path,
        settings: KafkaLogSettings,
        *,
        topic_ids: dict[str, str],
        instance: str = "",
        sent: Sent | None = None,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        self._cluster = cluster
        self._topics = topics
        self._number = partition
        self._partition = partition - 1
        self._name = f"partition {partition}"
        self._settings = settings
        self._instance = instance
        self._sent = sent or Sent()
        self._me = uuid.uuid4().hex
        self._cache = Cache(cache, partition, topic_ids, lambda: self._head, stale_seconds=stale_seconds)
        self._transactions = Transactions(
            cluster,
            topics.transactional_id(partition),
            self._name,
            topic=topics.state,
            timeout_ns=settings.transaction_timeout_ns,
            commit_timeout_ns=settings.commit_timeout_ns,
        )
        self._log_reader = self._reader(topics.log)
        self._index = OffsetIndex()
        self._inbox = KafkaInbox(
            self._reader(topics.inbox, fetch_wait_ms=500),
            partition,
            self._sent,
            lambda offset: self._delete(topics.inbox, offset),
        )
        self.pace = Pace(
            linger_ns=settings.commit_linger_ns,
            riders_wait_ns=_RIDERS_WAIT_NS,
            is_remote=True,
            retain_every_ns=_RETAIN_EVERY_NS,
        )
        # Held by whoever writes.
        self._writing = Lock()
        self._head = rows.Head()
        # Behind the last row of ours in the state topic.
        self._state_offset = 0
        self._oldest_position = 1
        self._is_open = False
        self._is_lost: str | None = None
        # Of the opening: rows that were read, those still to be read, and seconds.
        self._restoring = _Restoring()
        self._commit_duration = Histogram()
        self.fenced = {"taken_over": 0, "timeout": 0}

    def _reader(self, topic: str, *, fetch_bytes: int = 1 << 20, fetch_wait_ms: int = 100) -> TopicReader:
        return TopicReader(
            self._cluster,
            topic,
            self._partition,
            timeout_ns=self._settings.commit_timeout_ns,
            gives_up=lambda: self._transactions.is_stopping,
            fetch_bytes=fetch_bytes,
            fetch_wait_ms=fetch_wait_ms,
        )

    @property
    def inbox(self) -> KafkaInbox:
        return self._inbox

    @property
    def transactions(self) -> Transactions:
        return self._transactions

    # -- opening ---

    def recover(self) -> Recovered:
        try:
            return self._recovered()
        except BaseException as error:
            self.close()
            if isinstance(error, StorageError):
                raise DataFolderError(f"{error}") from error
            if isinstance(error, sqlite3.Error | OSError):
                raise DataFolderError(f"{self._name}: the cache of the log cannot be opened: {error}") from error
            if isinstance(error, ValueError | OffsetGoneError):
                raise DataFolderError(f"{self._name}: the topics of the log cannot be read: {error}") from error
            raise

    def _recovered(self) -> Recovered:
        # Fence first, then read: from here on nobody else writes.
        self._transactions.begin_epoch(self._settings.start_timeout_ns / NS_PER_SECOND)
        self._say_who_has_it()
        self._restore()
        self._open_end()
        seen = self._restoring = self._restoring.over()
        log.info("%s runs: restored %s rows in %.1f s", self._name, f"{seen.rows:,}", seen.seconds)
        self._is_open = True
        self._cache.applier.recover(applied_commit=self._head.commit)
        found = self._cache.applier.recovered(
            last_position=self._head.last_position, oldest_position=self._oldest_position
        )
        # Of a cache that knows less than the head: numbers only rise.
        found.processed_position = self._head.processed_position
        found.next_timer_id, found.next_sequence = self._head.next_timer_id, self._head.next_sequence
        return found

    def _say_who_has_it(self) -> None:
        owner = rows.Owner(owner=self._me, instance=self._instance, since_wall_ns=time.time_ns())
        try:
            self._transactions.write([Outgoing(self._topics.state, self._partition, rows.OWNER_KEY, owner.packed())])
        except OutcomeUnknownError as error:
            if error.fenced:
                raise LostPartitionError(
                    f"{self._name}: another instance took it over while it was being opened here"
                ) from error
            raise StorageError("timeout", f"{self._name}: Kafka does not answer: {error}") from error

    def _restore(self) -> None:
        """Brings the cache to the end of the state topic."""
        reader = self._reader(self._topics.state, fetch_bytes=8 << 20)
        try:
            low, high = reader.bounds()
            self._state_offset = self._cache.open(low, high)
            count = 0
            self._restoring = self._restoring.at(count, high - self._state_offset)
            for messages in reader.all_from(self._state_offset):
                head, _ = self._cache.take_in(messages)
                self._take_head(head)
                self._state_offset = int(messages[-1].offset() or 0) + 1
                count += len(messages)
                self._restoring = self._restoring.at(count, max(0, high - self._state_offset))
            if self._head.commit == 0:
                self._head = self._head_in_cache()
        finally:
            reader.close()

    def _head_in_cache(self) -> rows.Head:
        """Nothing was committed since the cache was written: it has the head as of then."""
        return rows.head_in(self._cache.connections.writer)

    def _take_head(self, head: rows.Head | None) -> None:
        if head is None:
            return
        if head.format > rows.FORMAT:
            raise NewerFormatError(
                f"{self._name} was written by a newer Penstock (format {head.format}), this one reads {rows.FORMAT}; "
                "use the version that wrote it"
            )
        self._head = head

    def _open_end(self) -> None:
        """Looks whether the log topic ends where the state says."""
        low, high = self._log_reader.bounds()
        wanted = self._head.last_position
        if not wanted:
            if self._first_batch(low) is not None:
                raise DataFolderError(
                    f"{self._name}: there are records in topic {self._topics.log}, and {self._topics.state} says that "
                    "there are none: it was deleted; delete the log topic too to begin again"
                )
            return
        at = max(low, self._head.log_offset)
        last = 0
        if at > high:
            raise DataFolderError(
                f"{self._name}: topic {self._topics.log} ends at offset {high}, what is stored in {self._topics.state} "
                f"goes to {at}: the log is shorter than it was; records are lost"
            )
        for messages in self._log_reader.all_from(at):
            for m in messages:
                batch = self._batch(m.headers(), m.value())
                self._index.add(batch.first_position, int(m.offset() or 0))
                last = batch.last_position
        if last and last != wanted:
            raise DataFolderError(
                f"{self._name}: topic {self._topics.log} ends at position {last}, {self._topics.state} says {wanted}: "
                "the two are not of one log"
            )
        first = self._first_batch(low)
        if first is None and low == 0:
            raise DataFolderError(
                f"{self._name}: topic {self._topics.log} is empty, {self._topics.state} says that it has {wanted} "
                "records: it was deleted and made anew; delete the state topic too to begin again"
            )
        self._oldest_position = wanted + 1 if first is None else first.first_position

    def _first_batch(self, low: int) -> EncodedBatch | None:
        messages = self._log_reader.read(low, 1)
        if not messages:
            return None
        batch = self._batch(messages[0].headers(), messages[0].value())
        self._index.add(batch.first_position, int(messages[0].offset() or 0))
        return batch

    def _batch(self, headers: object, blob: bytes | None) -> EncodedBatch:
        try:
            return batch_of(headers, blob)  # type: ignore[arg-type]
        except ValueError as error:
            raise StorageError("storage_error", f"{self._name}: a message of {self._topics.log}: {error}") from error

    # -- writing ---

    def commit(self, entries: Sequence[Entry]) -> None:
        with self._writing:
            self._check_open()
            self._cache.applier.await_room()
            if not self._transactions.has_epoch:
                self._renew()
            units = [entry.unit for entry in entries]
            batches = [entry.batch for entry in entries if entry.batch is not None]
            head = rows.head_after(
                self._head,
                units,
                last_position=batches[-1].last_position if batches else self._head.last_position,
                owner=self._me,
            )
            ends: dict[int, int] = {}
            placed: list[int] = []
            state: list[int] = []
            messages, changes = self._messages(entries, batches, ends, placed)
            changed = sum(len(key) + len(value or b"") for key, value in changes.items())
            size = changed + sum(len(batch.blob) for batch in batches)
            started_ns = time.monotonic_ns()
            try:
                self._transactions.write(
                    messages,
                    Rows(self._topics.state, self._partition, changes),
                    Outgoing(self._topics.state, self._partition, rows.HEAD_KEY, head.packed(), placed=state.append),
                )
            except OutcomeUnknownError as error:
                self._resolve(head, error)
            except StorageError as error:
                raise self._explained(error) from error
            self._commit_duration.observe(time.monotonic_ns() - started_ns)
            self._stored(head, batches, placed, state, ends)
            self._cache.applier.add(
                [_kept(unit) for unit in units],
                _CommitHead(head.commit, self._first_position(head, batches), _count(batches), size, changed),
                self._state_offset,
            )

    def _explained(self, error: StorageError) -> StorageError:
        """Too few copies look like a broker that does not answer: the client asks again until its time is over."""
        wanted = self._settings.min_insync_replicas
        if error.reason != "timeout" or wanted < 2:
            return error
        in_sync = copies_in_sync(self._cluster, self._topics.log, self._partition)
        if in_sync is None or in_sync >= wanted:
            return error
        return StorageError(
            "not_enough_replicas",
            f"{self._name}: {in_sync} of {wanted} wanted copies of topic {self._topics.log} are in sync",
        )

    def _first_position(self, head: rows.Head, batches: list[EncodedBatch]) -> int:
        return batches[0].first_position if batches else head.last_position + 1

    def _messages(
        self,
        entries: Sequence[Entry],
        batches: list[EncodedBatch],
        ends: dict[int, int],
        placed: list[int],
    ) -> tuple[list[Outgoing], dict[bytes, bytes | None]]:
        """What goes to log and inboxes, and the rows that change."""
        try:
            changes = rows.rows_of(entries)
        except UnicodeEncodeError as error:
            raise StorageError("storage_error", f"{self._name}: a key cannot be stored: {error}") from error
        messages = [
            Outgoing(self._topics.log, self._partition, None, batch.blob, (HEADER, header_of(batch)))
            for batch in batches
        ]
        if messages:
            # All others lie in front of the last, without a hole: nobody else writes there.
            messages[-1] = messages[-1]._replace(placed=placed.append)
        for entry in entries:
            if entry.unit.outbox:
                messages += outgoing(self._topics.inbox, self._number, entry.unit.outbox, ends)
        return messages, changes

    def _stored(
        self, head: rows.Head, batches: list[EncodedBatch], placed: list[int], state: list[int], ends: dict[int, int]
    ) -> None:
        if placed:
            first = placed[0] - len(batches) + 1
            for i, batch in enumerate(batches):
                self._index.add(batch.first_position, first + i)
            # For the next commit to say.
            head = msgspec.structs.replace(head, log_offset=first)
        if state:
            self._state_offset = state[0] + 1
        for receiver, end in ends.items():
            self._sent.raise_to(receiver, end)
        self._head = head

    def _check_open(self) -> None:
        if not self._is_open:
            raise StorageError("storage_error", f"{self._name}: the log is closed")
        if self._is_lost is not None:
            raise LostPartitionError(self._is_lost)

    # -- when it is not clear what became of a commit ---

    def _renew(self) -> None:
        """A new epoch after one that was given up, of which nothing is in doubt. Raises `StorageError`."""
        self._transactions.begin_epoch(self._settings.commit_timeout_ns / NS_PER_SECOND)
        self._look_for_head()

    def _resolve(self, wanted: rows.Head, error: OutcomeUnknownError) -> None:
        """Returns when the commit is there, raises `StorageError` when it is not; takes as long as it must."""
        if error.fenced:
            # Not fenced in turn before it is known who it was.
            self._ask(error)
        told = False
        while True:
            try:
                self._renew()
                break
            except LostPartitionError:
                raise
            except StorageError as trouble:
                if self._transactions.is_stopping:
                    raise StorageError(
                        "timeout", f"{self._name}: whether a write was stored is not known; the next start looks"
                    ) from trouble
                if not told:
                    log.error("%s; whether commit %d was stored is not known until it does", trouble, wanted.commit)
                    told = True
                self._transactions.wait(_AGAIN_SECONDS)
        is_there = self._head.commit == wanted.commit and self._head.owner == wanted.owner
        log.warning(
            "%s: the outcome of commit %d was unknown: it is %s",
            self._name,
            wanted.commit,
            "there" if is_there else "not there",
        )
        if not is_there:
            reason = "fenced" if error.fenced else "timeout"
            raise StorageError(reason, f"{self._name}: a commit was not finished in time and was aborted: {error}")

    def _ask(self, error: OutcomeUnknownError) -> None:
        """Whether another instance has the partition: if not, Kafka aborted a transaction that took too long."""
        while True:
            if self._transactions.wait(_RIVAL_SECONDS):
                raise StorageError("fenced", f"{self._name}: the right to write is gone, and the log is being closed")
            try:
                self._look_for_head()
                break
            except LostPartitionError:
                raise
            except StorageError as trouble:
                log.warning("%s; who has the partition is not known until it does", trouble)
        self.fenced["timeout"] += 1
        log.warning(
            "%s: a commit was not finished in %g s and was aborted by Kafka; opened again",
            self._name,
            self._settings.transaction_timeout_ns / NS_PER_SECOND,
        )

    def _look_for_head(self) -> None:
        """What is in the state topic behind what is known. Raises `LostPartitionError`, `StorageError`."""
        reader = self._reader(self._topics.state)
        try:
            head = self._head
            owner: rows.Owner | None = None
            for messages in reader.all_from(self._state_offset):
                for m in messages:
                    if m.key() == rows.HEAD_KEY:
                        head = rows.head_of(m.value() or b"")
                    elif m.key() == rows.OWNER_KEY:
                        owner = rows.owner_of(m.value() or b"")
        finally:
            reader.close()
        if owner is not None and owner.owner != self._me:
            self.fenced["taken_over"] += 1
            self._is_lost = (
                f"{self._name} belongs to instance {owner.instance or 'unknown'} now; "
                "what was not committed here is dropped"
            )
            raise LostPartitionError(self._is_lost)
        self._head = head

    # -- deleting ---

    def delete_before(self, position: int, max_batches: int) -> int:
        self._check_open()
        end = min(position, self._head.last_position + 1)
        starts = self._index.starts(self._oldest_position, max_batches + 1)
        # Where each of those that are known ends: the next begins, or the log is over.
        ends = starts[1:]
        if starts and len(starts) <= max_batches:
            ends.append((self._head.last_position + 1, starts[-1][1] + 1))
        gone = [(first, offset) for first, offset in ends if first <= end]
        if gone:
            behind = gone[-1]
        else:
            # Those in between were written by a process before this one.
            found = self._find(end)
            if found is None or found[0] <= self._oldest_position:
                return 0
            behind = found
        self._delete(self._topics.log, behind[1])
        self._oldest_position = behind[0]
        self._index.forget_before(behind[0])
        return len(gone) or 1

    def _delete(self, topic: str, offset: int) -> None:
        """What lies before an offset. Raises `StorageError`."""
        asked = [TopicPartition(topic, self._partition, offset)]
        try:
            # Its answers come only as long as it is held.
            admin = self._cluster.admin()
            for answer in admin.delete_records(asked, request_timeout=10.0).values():
                answer.result(15.0)
        except KafkaException as error:
            raise self._transactions.refusal(error_of(error)) from error
        except TimeoutError as error:
            raise StorageError("timeout", f"{self._name}: Kafka does not answer") from error

    # -- reading ---

    def read(self, position: int, max_records: int) -> list[EncodedBatch]:
        if position < self._oldest_position:
            raise DeletedError(position, self._oldest_position)
        last = self._head.last_position
        if position > last:
            return []
        try:
            return self._read(position, max_records, last)
        except OffsetGoneError:
            # Somebody else has deleted it: the topic's own retention, mostly.
            first = self._first_batch(self._log_reader.bounds()[0])
            self._oldest_position = max(self._oldest_position, last + 1 if first is None else first.first_position)
            if position < self._oldest_position:
                raise DeletedError(position, self._oldest_position) from None
            raise StorageError("storage_error", f"{self._name}: position {position} is not where it was") from None

    def _read(self, position: int, max_records: int, last: int) -> list[EncodedBatch]:
        found = self._find(position)
        if found is None:
            raise StorageError("storage_error", f"{self._name}: position {position} cannot be found")
        at = found[1]
        batches: list[EncodedBatch] = []
        covered = 0
        while covered < max_records and position + covered <= last:
            messages = self._log_reader.read(at, min(max_records - covered, _READ_AT_ONCE))
            if not messages:
                break
            for m in messages:
                batch = self._batch(m.headers(), m.value())
                at = int(m.offset() or 0) + 1
                self._index.add(batch.first_position, at - 1)
                if batch.last_position < position or batch.first_position > last or covered >= max_records:
                    continue
                batches.append(batch)
                covered += batch.last_position - max(position, batch.first_position) + 1
        return batches

    def _find(self, position: int) -> tuple[int, int] | None:
        """The first position and the offset of the batch that holds a position, or a place close before it."""
        while True:
            before, behind = self._index.around(position)
            low, high = self._log_reader.bounds() if before is None or behind is None else (0, 0)
            from_offset = before[1] if before is not None else low
            to_offset = behind[1] if behind is not None else high
            if before is not None and (before[0] == position or to_offset - from_offset <= _NEAR):
                return before
            if to_offset - from_offset <= _NEAR:
                first = self._first_batch(from_offset)
                return None if first is None else (first.first_position, from_offset)
            middle = self._first_batch((from_offset + to_offset) // 2)
            if middle is None or (behind is not None and middle.first_position >= behind[0]):
                # Nothing but holes up to there.
                return before if before is not None else self._beginning(from_offset)

    def _beginning(self, offset: int) -> tuple[int, int] | None:
        first = self._first_batch(offset)
        return None if first is None else (first.first_position, offset)

    def state_get(self, key: str) -> bytes | None:
        return self._cache.applier.state_get(key)

    def state_scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        return iter(self._cache.applier.state_scan(prefix))

    def cluster(self) -> ClusterSnapshot:
        seen = self._restoring
        return ClusterSnapshot(
            is_up=self._cluster.why_unreachable is None,
            commit_duration=self._commit_duration.snapshot(),
            transactions=dict(self._transactions.counts),
            fenced=dict(self.fenced),
            restored_rows=seen.rows,
            restore_seconds=seen.seconds,
            restore_remaining_rows=seen.remaining,
            brokers=self._transactions.brokers,
        )

    def attend(self) -> None:
        # While nobody writes: who waits for the end of a transaction is told of its messages by the same calls.
        if self._writing.acquire(blocking=False):
            try:
                self._transactions.attend()
            finally:
                self._writing.release()

    # -- the end ---

    def stop(self) -> None:
        self._transactions.stop()

    def close(self) -> None:
        self._transactions.stop()
        self._cache.applier.refuse()
        with ExitStack() as last:
            # Whatever the others come to: each of them has sockets and threads.
            last.callback(self._inbox.close)
            last.callback(self._log_reader.close)
            with self._writing:
                self._is_open = False
                self._transactions.close()
                self._cache.close()


def _kept(unit: Unit) -> Unit | Changes:
    """What of a unit the cache keeps: a message is its receiver's with the commit, all it leaves is its number."""
    if not unit.outbox and not unit.delivered:
        return unit
    changes = Changes.of(unit)
    changes.delivered = {m.receiver: m.sequence for m in unit.outbox}
    changes.outbox = []
    return changes


def _count(batches: list[EncodedBatch]) -> int:
    return sum(batch.count for batch in batches)
