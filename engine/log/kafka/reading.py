"""Reads a partition of a topic: to its end once, or from wherever somebody asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from confluent_kafka import Message

from engine.core.clock import NS_PER_SECOND
from engine.kafka.client import Cluster, Consumer, KafkaError, KafkaException, TopicPartition, error_of, sentence
from engine.log.storage import StorageError

_WAIT_SECONDS = 0.2
_AT_ONCE = 10_000
# What a client says of a broker that it is about to ask again.
_PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
GivesUp = Callable[[], bool]


class OffsetGoneError(Exception):
    """What was asked for is not in the topic any more, or not yet."""


class TopicReader:
    """One partition of a topic, read by hand; one call at a time (a lock sees to it)."""

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        partition: int,
        *,
        timeout_ns: int,
        gives_up: GivesUp,
        fetch_bytes: int = 1 << 20,
        fetch_wait_ms: int = 100,
    ) -> None:
        self._cluster = cluster
        self._topic = topic
        self._partition = partition
        self._timeout = timeout_ns / NS_PER_SECOND
        self._gives_up = gives_up
        self._fetch_bytes = fetch_bytes
        self._fetch_wait_ms = fetch_wait_ms
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._is_closed = False
        # The offset that comes next without being asked for; None where nothing is assigned.
        self._next: int | None = None
        # Where the end was seen; what lies before it is read or a hole.
        self.end_seen = 0

    def _opened(self) -> Consumer:
        if self._is_closed:
            raise StorageError("storage_error", f"{self._topic}: the log is closed")
        if self._consumer is None:
            self._consumer = self._cluster.reader(fetch_bytes=self._fetch_bytes, fetch_wait_ms=self._fetch_wait_ms)
        return self._consumer

    def bounds(self) -> tuple[int, int]:
        """The first offset that is there, and the one behind the last. Raises `StorageError`."""
        with self._lock:
            consumer = self._opened()
            deadline = time.monotonic() + self._timeout
            while True:
                try:
                    low, high = consumer.get_watermark_offsets(TopicPartition(self._topic, self._partition), 2.0)
                except KafkaException as error:
                    if error_of(error).code() not in _PASSING or self._gives_up() or time.monotonic() >= deadline:
                        raise self._refusal(error_of(error)) from error
                    continue
                return int(low), int(high)

    def all_from(self, offset: int) -> Iterator[list[Message]]:
        """To the end, some at a time; an offset that is gone is the first one that is there."""
        low, _ = self.bounds()
        at = max(low, offset)
        while True:
            messages, at, ended = self._some(at, _AT_ONCE, self._timeout)
            if messages:
                yield messages
            if ended:
                return

    def read(self, offset: int, count: int) -> list[Message]:
        """Up to so many messages from an offset on, at least one; none only where the end is reached."""
        messages, _, _ = self._some(offset, count, self._timeout)
        return messages

    def poll(self, offset: int, count: int, timeout_ns: int) -> list[Message]:
        """What is there within the time."""
        messages, _, _ = self._some(offset, count, timeout_ns / NS_PER_SECOND, at_end=True)
        return messages

    def _some(
        self, offset: int, count: int, timeout: float, *, at_end: bool = False
    ) -> tuple[list[Message], int, bool]:
        """Messages, the offset behind them, and whether the end was seen behind these.

        `at_end` waits there for more, and is content with nothing when the time is over.
        """
        with self._lock:
            consumer = self._opened()
            if self._next != offset:
                consumer.assign([TopicPartition(self._topic, self._partition, offset)])
                self._next = offset
            deadline = time.monotonic() + timeout
            found: list[Message] = []
            while True:
                wait = max(0.001, min(_WAIT_SECONDS, deadline - time.monotonic()))
                ended = False
                for m in consumer.consume(count, wait):
                    error = m.error()
                    if error is None:
                        found.append(m)
                        self._next = int(m.offset() or 0) + 1
                    elif error.code() == KafkaError._PARTITION_EOF:
                        ended = True
                        self.end_seen = max(self.end_seen, int(m.offset() or 0))
                    elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                        self._forget()
                        raise OffsetGoneError(f"{self._topic}: offset {offset} is not there")
                    elif error.code() not in _PASSING:
                        self._forget()
                        raise self._refusal(error)
                if found or (ended and not at_end):
                    following = self._next
                    if ended and not at_end:
                        # Or it would go on fetching what is written from now on, which nobody may ever ask for.
                        consumer.unassign()
                        self._forget()
                    return found, following, ended
                if self._gives_up() or time.monotonic() >= deadline:
                    if at_end:
                        return found, self._next, ended
                    self._forget()
                    why = self._cluster.why_unreachable
                    raise StorageError("timeout", f"{self._topic}: Kafka does not answer{f' ({why})' if why else ''}")

    def _forget(self) -> None:
        self._next = None

    def _refusal(self, error: KafkaError) -> StorageError:
        reason = "timeout" if error.code() in _PASSING else "storage_error"
        return StorageError(reason, f"{self._topic}, partition {self._partition + 1}: {sentence(error)}")

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            consumer, self._consumer = self._consumer, None
            if consumer is not None:
                consumer.close()
