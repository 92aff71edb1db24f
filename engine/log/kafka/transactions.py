"""The one writer of a partition: its epochs, its transactions, and what became of each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import BrokerSnapshot
from engine.kafka.client import Cluster, KafkaError, KafkaException, Producer, error_of, sentence
from engine.log.storage import StorageError

log = logging.getLogger("penstock.log")

# Who waits for Kafka looks so often whether it still should.
_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 0.2
# What is not aborted by then, the next epoch aborts.
_ABORT_SECONDS = 2.0
# The one that is asked who leads may be the one that hangs.
_ASK_SECONDS = 1.0
_TIMEOUTS = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._RESOLVE,
        KafkaError._WAIT_COORD,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.CONCURRENT_TRANSACTIONS,
    }
)
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
_TOO_FEW = frozenset({KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND})
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})
_NOT_ALLOWED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)


class Outgoing(NamedTuple):
    """A message of a transaction."""

    topic: str
    # From 0, as Kafka counts.
    partition: int
    key: bytes | None
    value: bytes | None
    header: tuple[str, bytes] | None = None
    # Called with the offset once a broker has it, which is before it counts.
    placed: Callable[[int], None] | None = None


class Rows(NamedTuple):
    """Many messages of one place, in no order."""

    topic: str
    partition: int
    rows: Mapping[bytes, bytes | None]


class OutcomeUnknownError(Exception):
    """A transaction may be there or not; a new epoch and a look at what is there decide it."""

    def __init__(self, why: str, *, fenced: bool) -> None:
        super().__init__(why)
        self.fenced = fenced


class Transactions:
    """One transaction at a time, by the thread that has the partition's lead. `stop` may be called by any.

    `topic` is one of those that are written.
    """

    def __init__(
        self,
        cluster: Cluster,
        transactional_id: str,
        name: str,
        *,
        topic: str,
        timeout_ns: int,
        commit_timeout_ns: int,
    ) -> None:
        self._cluster = cluster
        self._id = transactional_id
        self._name = name
        self._topic = topic
        self._timeout_ns = timeout_ns
        self._commit_timeout = commit_timeout_ns / NS_PER_SECOND
        self._producer: Producer | None = None
        self._stopping = threading.Event()
        self.counts = {"committed": 0, "aborted": 0, "unknown": 0}
        # As the client told last.
        self.brokers: Mapping[int, BrokerSnapshot] = {}

    @property
    def has_epoch(self) -> bool:
        return self._producer is not None

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def wait(self, seconds: float) -> bool:
        """Waits so long; True once the end has come."""
        return self._stopping.wait(seconds)

    def stop(self) -> None:
        self._stopping.set()

    def begin_epoch(self, timeout: float) -> None:
        """Fences whoever wrote before; what was open of it is aborted when this returns. Raises `StorageError`.

        Who is told to end takes nobody the right to write any more.
        """
        self._let_go()
        if self._stopping.is_set():
            raise StorageError("timeout", f"{self._name}: the log is being closed")
        producer = self._cluster.transactional(self._id, timeout_ns=self._timeout_ns, seen=self._seen)
        deadline = time.monotonic() + timeout
        while True:
            try:
                producer.init_transactions(max(0.1, min(_LOOK_SECONDS, deadline - time.monotonic())))
            except KafkaException as error:
                kafka = error_of(error)
                self._listen(producer)
                is_over = self._stopping.is_set() or time.monotonic() >= deadline
                if is_over or not (kafka.retriable() or kafka.code() in _TIMEOUTS):
                    raise self.refusal(kafka) from error
                continue
            self._producer = producer
            self._cluster.reached()
            return

    @staticmethod
    def _listen(producer: Producer) -> None:
        """What the client has to tell is told only to who asks; what is fatal it says here once more."""
        with suppress(KafkaException):
            producer.poll(0)

    def _seen(self, brokers: Mapping[int, BrokerSnapshot]) -> None:
        self.brokers = brokers
        if brokers:
            self._cluster.reached()

    def attend(self) -> None:
        """Hears what the client has to tell between transactions; for who holds the partition's lead."""
        if self._producer is not None:
            self._listen(self._producer)

    def _let_go(self) -> None:
        producer, self._producer = self._producer, None
        self.brokers = {}
        if producer is not None:
            producer.purge()

    def write(self, messages: Iterable[Outgoing], rows: Rows | None = None, last: Outgoing | None = None) -> None:
        """All of them in one transaction, in this order.

        Raises `StorageError` when nothing of them is there and will not be, `OutcomeUnknownError`.
        """
        producer = self._producer
        assert producer is not None, "an epoch was begun"
        failed: list[KafkaError] = []

        def told(placed: Callable[[int], None] | None) -> Callable[[KafkaError | None, object], None]:
            def delivered(error: KafkaError | None, message: object) -> None:
                if error is not None:
                    failed.append(error)
                elif placed is not None:
                    placed(message.offset())  # type: ignore[attr-defined]

            return delivered

        of_nobody = told(None)
        try:
            producer.begin_transaction()
        except KafkaException as error:
            self._let_go()
            kafka = error_of(error)
            # Nothing was begun; but whoever had the partition meanwhile is to be asked for.
            raise OutcomeUnknownError(sentence(kafka), fenced=kafka.code() in _FENCED) from error
        try:
            for m in messages:
                self._produce(producer, m, of_nobody if m.placed is None else told(m.placed))
            if rows is not None:
                self._produce_rows(producer, rows)
            if last is not None:
                self._produce(producer, last, told(last.placed))
        except (KafkaException, BufferError) as error:
            raise self._aborted(producer, error_of(error) if isinstance(error, KafkaException) else None) from error
        self._commit(producer, failed)
        self.counts["committed"] += 1
        self._cluster.reached()

    @staticmethod
    def _produce(producer: Producer, m: Outgoing, told: Callable[[KafkaError | None, object], None]) -> None:
        headers: list[tuple[str, str | bytes | None]] | None = [m.header] if m.header is not None else None
        while True:
            try:
                producer.produce(m.topic, m.value, m.key, partition=m.partition, on_delivery=told, headers=headers)
            except BufferError:
                # Full of what is on its way.
                producer.poll(_AGAIN_SECONDS)
                continue
            return

    @staticmethod
    def _produce_rows(producer: Producer, rows: Rows) -> None:
        """In one call, and without a report for each: that one failed is told by the end of the transaction."""
        waiting: list[dict[str, Any]] = [{"key": key, "value": value} for key, value in rows.rows.items()]
        while waiting:
            if producer.produce_batch(rows.topic, waiting, partition=rows.partition) == len(waiting):
                return
            waiting = [message for message in waiting if "_error" in message]
            errors = [message.pop("_error") for message in waiting]
            for error in errors:
                if error.code() != KafkaError._QUEUE_FULL:
                    raise KafkaException(error)
            producer.poll(_AGAIN_SECONDS)

    def _aborted(self, producer: Producer, why: KafkaError | None) -> StorageError | OutcomeUnknownError:
        """Its end was never asked for, so nothing of it can become true, whether it can be aborted just now or not."""
        self.counts["aborted"] += 1
        try:
            producer.abort_transaction(_ABORT_SECONDS)
        except KafkaException as error:
            kafka = error_of(error)
            # The next epoch does it.
            self._let_go()
            if kafka.code() in _FENCED:
                return OutcomeUnknownError(sentence(kafka), fenced=True)
            why = why or kafka
        return self.refusal(why)

    def _commit(self, producer: Producer, failed: list[KafkaError]) -> None:
        """Sends what is left and asks for the end: while a message is on its way, or was refused, it was not asked."""
        deadline = time.monotonic() + self._commit_timeout
        while True:
            try:
                producer.commit_transaction(max(0.1, min(_LOOK_SECONDS, deadline - time.monotonic())))
            except KafkaException as error:
                kafka = error_of(error)
                self._listen(producer)
                if kafka.retriable():
                    if not self._stopping.is_set() and time.monotonic() < deadline:
                        self._ask_who_leads(producer)
                        # The same call goes on where it was.
                        continue
                    if len(producer):
                        raise self._aborted(producer, KafkaError(KafkaError._MSG_TIMED_OUT)) from error
                elif kafka.code() not in _FENCED and (failed or kafka.code() == KafkaError._INCONSISTENT):
                    # What is thrown away on an error says nothing of it.
                    told = [one for one in failed if one.code() != KafkaError._PURGE_QUEUE]
                    raise self._aborted(producer, told[0] if told else kafka) from error
                self.counts["unknown"] += 1
                self._let_go()
                raise OutcomeUnknownError(sentence(kafka), fenced=kafka.code() in _FENCED) from error
            return

    def _ask_who_leads(self, producer: Producer) -> None:
        """Of a broker that hangs, the client learns only by asking that another leads: it would wait for its answer."""
        with suppress(KafkaException):
            producer.list_topics(self._topic, timeout=_ASK_SECONDS)

    def refusal(self, error: KafkaError | None) -> StorageError:
        """In a sentence, with its reason."""
        if error is None:
            return StorageError("storage_error", f"{self._name}: the client has no room for a commit of this size")
        code = error.code()
        if code in _TOO_LARGE:
            return StorageError(
                "too_large",
                f"{self._name}: a unit is larger than Kafka takes ({sentence(error)}); write smaller batches, or raise "
                "max.message.bytes of its topics",
            )
        if code in _TOO_FEW:
            return StorageError("not_enough_replicas", f"{self._name}: too few copies are in sync: {sentence(error)}")
        if code in _TIMEOUTS:
            why = self._cluster.why_unreachable
            more = f" ({why})" if why else ""
            return StorageError("timeout", f"{self._name}: Kafka does not answer{more}")
        if code in _NOT_ALLOWED:
            right = f"; give the user of data.kafka the right Write on transactional id {self._id}"
            more = right if code == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED else ""
            return StorageError("storage_error", f"{self._name}: Kafka does not allow it: {sentence(error)}{more}")
        return StorageError("storage_error", f"{self._name}: {sentence(error)}")

    def close(self) -> None:
        self.stop()
        self._let_go()
