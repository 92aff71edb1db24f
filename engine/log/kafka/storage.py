"""The durable log in a Kafka cluster: a commit is one transaction over log, state and inbox topics."""

from __future__ import annotations

import logging
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import msgspec

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import DataFolderError
from engine.core.measures import Histogram
from engine.core.snapshot import ClusterSnapshot
from engine.core.unit import Recovered, Unit
from engine.kafka.client import Cluster, KafkaException, TopicPartition, copies_in_sync, error_of
from engine.kafka.settings import KafkaLogSettings
from engine.log.codec import EncodedBatch
from engine.log.kafka import rows
from engine.log.kafka.batches import HEADER, header_of
from engine.log.kafka.cache import STALE_SECONDS, Cache
from engine.log.kafka.inbox import KafkaInbox, Sent, outgoing
from engine.log.kafka.log_topic import LogTopic
from engine.log.kafka.reading import OffsetGoneError, TopicReader
from engine.log.kafka.state_topic import StateTopic
from engine.log.kafka.topics import Topics
from engine.log.kafka.transactions import OutcomeUnknownError, Outgoing, Rows, Transactions
from engine.log.rows.changes import Changes
from engine.log.storage import Entry, LostPartitionError, Pace, StorageError

log = logging.getLogger("penstock.log")

_RIDERS_WAIT_NS = NS_PER_SECOND
_RETAIN_EVERY_NS = 10 * NS_PER_SECOND
# A rival says who it is with its first transaction: so long it gets before it is asked for.
_RIVAL_SECONDS = 1.0
_AGAIN_SECONDS = 0.5


class _CommitHead(NamedTuple):
    """As the applier wants it."""

    commit: int
    first_position: int
    records: int
    frame_bytes: int
    body_bytes: int


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
        self._state = StateTopic(self._name, lambda size: self._reader(topics.state, fetch_bytes=size))
        self._cache = Cache(cache, partition, topic_ids, lambda: self._state.head, stale_seconds=stale_seconds)
        self._transactions = Transactions(
            cluster,
            topics.transactional_id(partition),
            self._name,
            topic=topics.state,
            timeout_ns=settings.transaction_timeout_ns,
            commit_timeout_ns=settings.commit_timeout_ns,
        )
        self._log = LogTopic(
            topics.log,
            topics.state,
            self._name,
            self._reader(topics.log),
            lambda offset: self._delete(topics.log, offset),
        )
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
        self._is_open = False
        self._is_lost: str | None = None
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
        state = self._state
        state.restore(self._cache)
        self._log.check(state.head)
        seen = state.restoring = state.restoring.over()
        log.info("%s runs: restored %s rows in %.1f s", self._name, f"{seen.rows:,}", seen.seconds)
        self._is_open = True
        head = state.head
        self._cache.applier.recover(applied_commit=head.commit)
        found = self._cache.applier.recovered(
            last_position=head.last_position, oldest_position=self._log.oldest_position
        )
        # Of a cache that knows less than the head: numbers only rise.
        found.processed_position = head.processed_position
        found.next_timer_id, found.next_sequence = head.next_timer_id, head.next_sequence
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

    # -- writing ---

    def commit(self, entries: Sequence[Entry]) -> None:
        with self._writing:
            self._check_open()
            self._cache.applier.await_room()
            if not self._transactions.has_epoch:
                self._renew()
            units = [entry.unit for entry in entries]
            batches = [entry.batch for entry in entries if entry.batch is not None]
            before = self._state.head
            head = rows.head_after(
                before,
                units,
                last_position=batches[-1].last_position if batches else before.last_position,
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
                self._state.offset,
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
            # For the next commit to say.
            head = msgspec.structs.replace(head, log_offset=self._log.written(batches, placed[0]))
        if state:
            self._state.offset = state[0] + 1
        for receiver, end in ends.items():
            self._sent.raise_to(receiver, end)
        self._state.head = head

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
        head = self._state.head
        is_there = head.commit == wanted.commit and head.owner == wanted.owner
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
        told = False
        while True:
            if self._transactions.wait(_RIVAL_SECONDS):
                raise StorageError("fenced", f"{self._name}: the right to write is gone, and the log is being closed")
            try:
                self._look_for_head()
                break
            except LostPartitionError:
                raise
            except StorageError as trouble:
                if not told:
                    log.warning("%s; who has the partition is not known until it does", trouble)
                    told = True
        self.fenced["timeout"] += 1
        log.warning(
            "%s: a commit was not finished in %g s and was aborted by Kafka; opened again",
            self._name,
            self._settings.transaction_timeout_ns / NS_PER_SECOND,
        )

    def _look_for_head(self) -> None:
        """What is in the state topic behind what is known. Raises `LostPartitionError`, `StorageError`."""
        head, owner = self._state.last_words()
        if owner is not None and owner.owner != self._me:
            self.fenced["taken_over"] += 1
            self._is_lost = (
                f"{self._name} belongs to instance {owner.instance or 'unknown'} now; "
                "what was not committed here is dropped"
            )
            raise LostPartitionError(self._is_lost)
        self._state.head = head

    # -- deleting ---

    def delete_before(self, position: int, max_batches: int) -> int:
        self._check_open()
        return self._log.delete_before(position, max_batches, self._state.head.last_position)

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
        return self._log.read(position, max_records, self._state.head.last_position)

    def state_get(self, key: str) -> bytes | None:
        return self._cache.applier.state_get(key)

    def state_scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        return iter(self._cache.applier.state_scan(prefix))

    def cluster(self) -> ClusterSnapshot:
        seen = self._state.restoring
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
            last.callback(self._log.close)
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
