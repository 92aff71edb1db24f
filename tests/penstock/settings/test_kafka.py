"""What a file may say of Kafka, and what cannot stand beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import ConfigurationError
from tests.penstock.settings.conftest import Load

FILE = """\
pipeline:
  name: flights
  partitions: 2
  key: k
  sources:
    orders: {kafka: {topic: orders}}
  exporters:
    out: {kafka: {topic: results}}
    elsewhere: {kafka: {topic: results, bootstrapServers: "other:9092"}}
data:
  storage: kafka
  kafka:
    bootstrapServers: "k-1:9092,k-2:9092"
    properties: {compression.type: zstd, enable.ssl.certificate.verification: true}
    commitLinger: 7ms
"""


def test_a_log_a_source_and_an_exporter_in_kafka_are_read(load: Load) -> None:
    settings = load(pipeline=FILE)
    kafka = settings.options.kafka
    assert kafka is not None
    assert settings.options.storage == "kafka"
    assert kafka.connection.bootstrap_servers == "k-1:9092,k-2:9092"
    assert kafka.connection.properties == {"compression.type": "zstd", "enable.ssl.certificate.verification": "true"}
    assert (kafka.replication_factor, kafka.min_insync_replicas, kafka.allow_unsafe) == (3, 2, False)
    assert (kafka.commit_linger_ns, kafka.transaction_timeout_ns) == (7 * NS_PER_MS, 30 * NS_PER_SECOND)
    assert [(task.name, task.what) for task in settings.outline] == [
        ("orders-1", "partition 0 of topic orders at k-1:9092,k-2:9092"),
        ("orders-2", "partition 1 of topic orders at k-1:9092,k-2:9092"),
        ("out", "kafka to topic results at k-1:9092,k-2:9092"),
        ("elsewhere", "kafka to topic results at other:9092"),
    ]


def test_a_local_log_may_have_topics_around_it(load: Load) -> None:
    settings = load(pipeline=FILE.replace("storage: kafka", "storage: local"))
    assert (settings.options.storage, settings.options.kafka) == ("local", None)
    assert len(settings.outline) == 4


def test_the_address_may_come_from_the_environment(load: Load) -> None:
    settings = load(
        environment={
            "PENSTOCK_DATA_STORAGE": "kafka",
            "PENSTOCK_DATA_KAFKA_BOOTSTRAPSERVERS": "k:9092",
            "PENSTOCK_DATA_KAFKA_REPLICATIONFACTOR": "1",
        },
        pipeline="pipeline: {name: x, sources: {a: {kafka: {topic: t}}}}\n",
    )
    assert settings.options.kafka is not None
    assert (settings.options.kafka.replication_factor, settings.options.kafka.min_insync_replicas) == (1, 1)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "kafka: {topic: orders}",
            "generator: {}",
            "cannot be with data.storage: kafka: a pipeline in Kafka may run on any",
        ),
        ("kafka: {topic: orders}", "lines: {path: '-'}", "bring the records by the gateway or by a topic"),
        (
            "data:",
            "workers: 2\ndata:",
            "must be 1 with data.storage: kafka; run the same file on more machines instead",
        ),
        ("compression.type: zstd", "acks: 1", "properties.acks is set by Penstock, because a commit counts when all"),
        ('bootstrapServers: "k-1:9092,k-2:9092"', "topicPrefix: x", "data.kafka.bootstrapServers is missing"),
        ("commitLinger: 7ms", "minInsyncReplicas: 4", "must not exceed replicationFactor, not 4"),
        ("commitLinger: 7ms", "topicPrefix: a b", "topicPrefix must be letters, digits"),
        ("topic: orders", "topik: orders", "did you mean pipeline.sources.orders.kafka.topic?"),
        ("topic: orders", "topic: orders, format: xml", "must be one of json, text, bytes"),
        ("out: {kafka: {topic: results}}", "out: {kafka: {topic: a b}}", "a topic is named in letters, digits"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(load: Load, before: str, after: str, message: str) -> None:
    assert before in FILE
    with pytest.raises(ConfigurationError) as caught:
        load(pipeline=FILE.replace(before, after, 1))
    assert message in str(caught.value)
    assert Path(str(caught.value).split(":")[0]).suffix == ".yaml"
