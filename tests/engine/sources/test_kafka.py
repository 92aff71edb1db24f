"""A topic as a source, on a real broker: how far behind its end it is."""

from __future__ import annotations

import uuid

from confluent_kafka.admin import NewTopic

from engine.core.clock import NS_PER_SECOND
from engine.kafka.client import Cluster
from engine.kafka.settings import KafkaConnection
from engine.sources.kafka import kafka_partitions
from engine.sources.protocol import SourceStart
from tests.support.waiting import wait_until


def test_a_topic_says_how_many_messages_are_left_and_none_behind_the_marks_of_a_transaction(kafka: str) -> None:
    connection = KafkaConnection(bootstrap_servers=kafka)
    cluster = Cluster(connection)
    topic = f"t-{uuid.uuid4().hex[:10]}"
    admin = cluster.admin()
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(20)
    producer = cluster.transactional(topic, timeout_ns=20 * NS_PER_SECOND)
    producer.init_transactions(20)
    producer.begin_transaction()
    for n in range(50):
        producer.produce(topic, str(n).encode(), partition=0)
    producer.commit_transaction(20)
    first, empty = kafka_partitions(connection, topic, partitions=2)
    assert first.input().lag_records is None, "nothing is known before it is opened"
    for source in (first, empty):
        source.open(SourceStart(0, None))
    # Nothing is read meanwhile, as while the log holds its writers back. The mark of the transaction counts.
    assert wait_until(lambda: first.input().lag_records == 51, seconds=30)
    assert empty.input().lag_records == 0
    # What is not committed is not there for who reads what is.
    producer.begin_transaction()
    producer.produce(topic, b"50", partition=0)
    producer.flush(20)
    found: list[object] = []

    def read() -> bool:
        batch = first.read(20)
        assert batch is not None
        found.extend(batch.values)
        return len(found) == 50 and not batch.values and first.input().lag_records == 0

    assert wait_until(read, seconds=30)
    assert found == [*range(50)]
    producer.abort_transaction(20)
    for source in (first, empty):
        source.close()
