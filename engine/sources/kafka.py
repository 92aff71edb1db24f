"""The messages of a Kafka topic, partition by partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from engine.core.errors import ConfigurationError, PenstockError
from engine.core.extras import need
from engine.core.snapshot import InputSnapshot
from engine.kafka.settings import KafkaConnection
from engine.sources.protocol import SourceBatch, SourceStart
from engine.sources.unreadable import Unreadable

if TYPE_CHECKING:
    from engine.kafka.client import Cluster, Consumer, Message
    from engine.kafka.topic_ends import TopicEnds

Format = Literal["json", "text", "bytes"]
_WAIT_SECONDS = 0.2
_OPEN_SECONDS = 30.0
_EXCERPT_BYTES = 200
_decode = msgspec.json.Decoder().decode


def kafka_partitions(
    connection: KafkaConnection, topic: str, *, partitions: int, format: Format = "json"
) -> list[KafkaPartition]:
    """A source for each partition of the topic: every one has an order of its own, and so a place of its own.

    The topic has as many partitions as the pipeline; another number is refused when they open.
    """
    ends = _Ends(topic, partitions)
    return [KafkaPartition(connection, topic, number, partitions, format, ends) for number in range(partitions)]


class _Ends:
    """Where the partitions of a topic end, asked for all at once from when one of them is opened."""

    def __init__(self, topic: str, partitions: int) -> None:
        self._topic = topic
        self._partitions = partitions
        self._ends: TopicEnds | None = None

    def open(self, cluster: Cluster) -> None:
        from engine.kafka.topic_ends import TopicEnds

        if self._ends is None:
            self._ends = TopicEnds(cluster, self._topic, self._partitions)

    def of(self, partition: int) -> int | None:
        return None if self._ends is None else self._ends.of(partition)


class KafkaPartition:
    """One partition of a topic, from 0 as Kafka counts. The offset of a value is that of its message, plus 1.

    How far it is read is stored with its records, nowhere in Kafka. While the log holds its writers back nothing is
    read: the client's queue fills up to its bound and no further, the rest stays in Kafka. What was not committed by
    its own producer is not read; a message without a value is passed over.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topic: str,
        partition: int,
        partitions: int,
        format: Format,
        ends: _Ends,
    ) -> None:
        self._connection = connection
        self._topic = topic
        self._partition = partition
        self._partitions = partitions
        self._format = format
        self._ends = ends
        self._cluster: Cluster | None = None
        self._consumer: Consumer | None = None
        self._held: list[Message] = []
        self._end = 0
        # The offset in front of which there is nothing left to be read: behind the last value may be marks.
        self._passed = 0
        self._end_seen = 0

    @property
    def feeds(self) -> int:
        """Where instances share the pipeline: the partition of the log that stands beside this one."""
        return self._partition + 1

    def describe(self) -> str:
        return f"partition {self._partition} of topic {self._topic} at {self._connection.bootstrap_servers}"

    def check(self) -> None:
        need("kafka", "confluent_kafka")

    def open(self, start: SourceStart) -> None:
        from engine.kafka.client import Cluster, KafkaException, TopicPartition, low_and_high, sentence

        self._end = start.offset
        self._held = []
        self._cluster = Cluster(self._connection)
        self._consumer = self._cluster.reader()
        try:
            found = self._consumer.list_topics(self._topic, timeout=_OPEN_SECONDS).topics[self._topic]
            if found.error is not None:
                raise ConfigurationError(f"topic {self._topic} cannot be read: {found.error.str()}")
            if len(found.partitions) != self._partitions:
                raise ConfigurationError(
                    f"topic {self._topic} has {len(found.partitions)} partitions, the pipeline has {self._partitions}; "
                    "they must be as many"
                )
            low, _ = low_and_high(self._consumer, self._topic, self._partition)
        except KafkaException as error:
            raise PenstockError(f"topic {self._topic} cannot be read: {sentence(error)}") from error
        if start.offset and start.offset < low:
            raise self._gone(start.offset, low)
        at = max(start.offset, low)
        self._consumer.assign([TopicPartition(self._topic, self._partition, at)])
        self._passed = at
        self._ends.open(self._cluster)

    def _gone(self, wanted: int, low: int) -> PenstockError:
        return PenstockError(
            f"topic {self._topic}, partition {self._partition}: the messages from offset {wanted} on are gone, the "
            f"first that is there is {low}: the topic's retention was faster than this pipeline"
        )

    def read(self, max_values: int) -> SourceBatch | None:
        """Values without a hole between their offsets; what lies behind one comes with the next call."""
        messages = self._held or self._polled(max_values)
        self._held = []
        if not messages:
            self._passed = max(self._passed, self._end_seen)
            return SourceBatch(self._end + 1, [])
        first = int(messages[0].offset() or 0)
        # None behind the first may lie further than was asked for.
        room = max(1, self._end + max_values - first)
        count = 1
        while count < min(len(messages), room) and messages[count].offset() == first + count:
            count += 1
        self._held = messages[count:]
        self._end = self._passed = first + count
        return SourceBatch(first + 1, [self._value(message) for message in messages[:count]])

    def _polled(self, max_values: int) -> list[Message]:
        from engine.kafka.client import KafkaError, low_and_high

        assert self._consumer is not None, "open comes first"
        found: list[Message] = []
        for message in self._consumer.consume(max_values, _WAIT_SECONDS):
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._end_seen = int(message.offset() or 0)
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise self._gone(self._end, low_and_high(self._consumer, self._topic, self._partition)[0])
            elif error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART):
                raise PenstockError(f"topic {self._topic} cannot be read: {error.str()}")
        return found

    def _value(self, message: Message) -> Any:
        value = message.value()
        if value is None:
            return Unreadable("it has no value", b"")
        try:
            match self._format:
                case "json":
                    return _decode(value)
                case "text":
                    return value.decode()
                case "bytes":
                    return value
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Unreadable(str(error), value[:_EXCERPT_BYTES])

    def input(self) -> InputSnapshot:
        end = self._ends.of(self._partition)
        return InputSnapshot(lag_records=None if end is None else max(0, end - self._passed))

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
