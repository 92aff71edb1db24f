"""The topic in which the instances of a pipeline tell each other things: one partition, compacted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import PenstockError
from engine.kafka.client import Cluster, KafkaError, KafkaException, Producer, sentence
from engine.log.kafka.reading import OffsetGoneError, TopicReader
from engine.log.storage import StorageError

log = logging.getLogger("penstock.instances")

Told = Callable[[str, bytes | None, int], None]
_PUT_SECONDS = 5.0
_READ_NS = NS_PER_SECOND // 2
_AGAIN_SECONDS = 0.5


class ControlTopic:
    """Implements `Control`. Its reader is a thread of its own; who writes waits until a broker has it."""

    def __init__(self, cluster: Cluster, topic: str, *, timeout_ns: int, refused: Callable[[str], Exception]) -> None:
        """`refused` makes the error that `put` raises."""
        self._cluster = cluster
        self._topic = topic
        self._refused = refused
        self._stopping = threading.Event()
        self._reader = TopicReader(
            cluster, topic, 0, timeout_ns=timeout_ns, gives_up=self._stopping.is_set, fetch_wait_ms=200
        )
        self._told: Told | None = None
        self._next = 0
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._producer: Producer | None = None
        self._thread = threading.Thread(target=self._run, name="penstock-control", daemon=True)

    def start(self, told: Told) -> None:
        self._told = told
        try:
            for messages in self._reader.all_from(0):
                self._tell(messages)
        except (StorageError, OffsetGoneError) as error:
            raise PenstockError(f"topic {self._topic} cannot be read: {error}") from error
        self._thread.start()

    def _tell(self, messages: list[Any]) -> None:
        for message in messages:
            assert self._told is not None, "it was started"
            place = int(message.offset() or 0)
            self._next = place + 1
            self._told((message.key() or b"").decode(errors="replace"), message.value(), place)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._tell(self._reader.poll(self._next, 500, _READ_NS))
            except OffsetGoneError:
                # Compacted away; what comes next is there.
                self._next = self._bounds_low()
            except StorageError as error:
                if not self._stopping.is_set():
                    log.debug("topic %s cannot be read just now: %s", self._topic, error)
                    self._stopping.wait(_AGAIN_SECONDS)
            except Exception:
                log.exception("what another instance says cannot be followed")
                self._stopping.wait(_AGAIN_SECONDS)

    def _bounds_low(self) -> int:
        try:
            return max(self._next, self._reader.bounds()[0])
        except StorageError:
            return self._next

    def put(self, key: str, value: bytes | None) -> int:
        placed: list[int] = []
        failed: list[KafkaError] = []

        def told(error: KafkaError | None, message: Any) -> None:
            if error is None:
                placed.append(int(message.offset()))
            else:
                failed.append(error)

        with self._lock:
            if self._producer is None:
                self._producer = self._cluster.idempotent(timeout_ns=int(_PUT_SECONDS * NS_PER_SECOND), linger_ms=0)
            producer = self._producer
            try:
                producer.produce(self._topic, value, key.encode(), partition=0, on_delivery=told)
                producer.flush(_PUT_SECONDS + 1)
            except (KafkaException, BufferError) as error:
                self._producer = None
                why = sentence(error) if isinstance(error, KafkaException) else "the client has no room"
                raise self._refused(f"topic {self._topic} cannot be written: {why}") from error
            if placed:
                return placed[0]
            # One that failed may be of no more use.
            self._producer = None
            producer.purge()
        why = sentence(failed[0]) if failed else "Kafka does not answer"
        raise self._refused(f"topic {self._topic} cannot be written: {why}")

    def close(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._reader.close()
