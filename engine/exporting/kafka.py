"""Records as messages of a Kafka topic."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import ConfigurationError, TargetError
from engine.core.extras import need
from engine.core.records import Record
from engine.exporting.delivered import Delivered
from engine.exporting.document import UNSAYABLE, encoded, why_unsayable
from engine.exporting.protocol import ExporterContext
from engine.kafka.settings import KafkaConnection

if TYPE_CHECKING:
    from engine.kafka.client import KafkaError, Producer

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_LOOK_SECONDS = 0.2


def kafka(
    connection: KafkaConnection, topic: str, *, timeout_ns: int = 30 * NS_PER_SECOND
) -> Callable[[], KafkaMessages]:
    """The exporter for `Pipeline.export`. The topic must be there; its partitions are chosen by the record's key."""
    if not _TOPIC.fullmatch(topic):
        raise ConfigurationError(f"a topic is named in letters, digits, dots, hyphens and underscores, not {topic!r}")
    if timeout_ns < 1000 * NS_PER_MS:
        raise ConfigurationError(f"the time a message may take must be 1s or longer, not {timeout_ns / 1e9:g}s")
    need("kafka", "confluent_kafka")
    return lambda: KafkaMessages(connection, topic, timeout_ns)


class KafkaMessages:
    """A message a record: its key, the record as JSON, and headers by which a reader can drop what it has.

    Headers: `penstock-partition`, `penstock-position`, `penstock-value-type`. At least once; the records of one key in
    order, because the producer is idempotent. What is too large for the topic, or JSON cannot say, is refused.
    """

    def __init__(self, connection: KafkaConnection, topic: str, timeout_ns: int) -> None:
        self._connection = connection
        self._topic = topic
        self._timeout_ns = timeout_ns
        self._partition = 0
        self._producer: Producer | None = None
        self._delivered = Delivered()

    def open(self, context: ExporterContext) -> None:
        self._partition = context.partition

    def _opened(self) -> Producer:
        if self._producer is None:
            from engine.kafka.client import Cluster

            self._producer = Cluster(self._connection).idempotent(timeout_ns=self._timeout_ns)
        return self._producer

    def export(self, records: Sequence[Record]) -> None:
        left = self._delivered.begin(records)
        failed: dict[int, KafkaError] = {}
        taken: list[Record] = []
        producer = self._opened()
        for record in left:
            self._produce(producer, record, taken, failed)
        while producer.flush(_LOOK_SECONDS):
            if failed:
                break
        if failed:
            self._judge(failed)
            if self._producer is None:
                raise TargetError(f"topic {self._topic}: {next(iter(failed.values())).str()}")
        self._delivered.took(taken)
        self._delivered.end()

    def _produce(self, producer: Producer, record: Record, taken: list[Record], failed: dict[int, KafkaError]) -> None:
        from engine.kafka.client import KafkaError, KafkaException, error_of

        try:
            value = encoded(record, self._partition)
        except UNSAYABLE as error:
            self._delivered.refused(record.position, why_unsayable(error))
            return

        def told(error: Any, _: object) -> None:
            if error is None:
                taken.append(record)
            else:
                failed[record.position] = error

        headers: list[tuple[str, str | bytes | None]] = [
            ("penstock-partition", str(self._partition)),
            ("penstock-position", str(record.position)),
            ("penstock-value-type", record.value_type),
        ]
        while True:
            try:
                producer.produce(self._topic, value, record.key or None, on_delivery=told, headers=headers)
            except BufferError:
                producer.poll(_LOOK_SECONDS)
                continue
            except KafkaException as error:
                if error_of(error).code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    self._delivered.refused(record.position, f"{len(value)} bytes are more than a message may have")
                    return
                raise TargetError(f"topic {self._topic}: {error_of(error).str()}") from error
            return

    def _judge(self, failed: dict[int, KafkaError]) -> None:
        """What is too large is so for ever; after anything else a new producer begins, behind what is in the topic."""
        from engine.kafka.client import KafkaError

        for position, error in failed.items():
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                self._delivered.refused(position, f"it is larger than topic {self._topic} takes")
            elif self._producer is not None:
                self._producer.purge()
                self._producer = None

    def close(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer = None
