"""What a user of a secured cluster must be allowed, no more and no less, and what is said where it is not."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation, ResourceType
from confluent_kafka.cimpl import NewTopic

from engine.core.clock import NS_PER_SECOND, SystemClock
from engine.core.errors import ConfigurationError, DataFolderError, PenstockError
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Message, Unit
from engine.exporting.kafka import kafka
from engine.exporting.protocol import ExporterContext
from engine.kafka.client import Cluster
from engine.kafka.settings import KafkaConnection
from engine.log.kafka.control_topic import ControlTopic
from engine.log.kafka.group import Group
from engine.log.kafka.inbox import Sent
from engine.log.kafka.storage import KafkaLogStorage
from engine.log.kafka.topic_checks import TopicChecks
from engine.log.kafka.topics import Topics
from engine.log.partition_log import PartitionLog
from engine.sources.kafka import kafka_partitions
from engine.sources.protocol import SourceStart
from tests.support.certificates import authority
from tests.support.kafka_broker import why_not
from tests.support.kafka_logs import log_settings
from tests.support.kafka_secured import Right, SecuredKafka, secured_kafka
from tests.support.waiting import wait_until

# As docs/kafka.md lists them.
NEEDED = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "Delete": AclOperation.DELETE,
    "Create": AclOperation.CREATE,
}
# Of whoever reads: its client looks for the group's coordinator, though nobody joins it.
GROUP = [Right(ResourceType.GROUP, "penstock", AclOperation.DESCRIBE)]


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredKafka]:
    if missing := why_not():
        pytest.skip(missing)
    with secured_kafka() as cluster:
        yield cluster


def rights(prefix: str, *, but: str = "") -> list[Right]:
    of_topics = [
        Right(ResourceType.TOPIC, f"{prefix}.", operation) for name, operation in NEEDED.items() if name != but
    ]
    of_writers = [Right(ResourceType.TRANSACTIONAL_ID, f"{prefix}-", AclOperation.WRITE)]
    return [*of_topics, *(of_writers if but != "transactional id" else []), *(GROUP if but != "group" else [])]


def write_and_read(servers: str, connection: KafkaConnection, prefix: str, cache: Path) -> int:
    """All that a log does in its life; how many records are left."""
    settings = replace(log_settings(servers, topic_prefix=prefix), connection=connection)
    cluster, topics = Cluster(connection), Topics(prefix)
    checks = TopicChecks(cluster, topics, settings, 2)
    checks.cluster_id()
    ids = checks.prepare()
    storage = KafkaLogStorage(cluster, topics, 1, cache / "1.db", settings, topic_ids=ids, instance="here", sent=Sent())
    log = PartitionLog(1, storage, SystemClock(), committed=lambda _: None)
    log.open()
    try:
        for n in range(4):
            record = Record(RecordType.COMMAND, "t", "create", "k", n)
            message = Message(n + 1, 2, b"m")
            log.append(
                Unit(source=WriteSource.USER_COMMAND, records=[record], state={"n": b"%d" % n}, outbox=[message])
            )
        storage.delete_before(3, 10)
        return sum(batch.count for batch in storage.read(3, 10))
    finally:
        log.close()


def test_the_rights_that_the_manual_lists_are_enough(secured: SecuredKafka, tmp_path: Path) -> None:
    prefix = f"t-{uuid.uuid4().hex[:10]}"
    secured.grant("anna", rights(prefix))
    assert write_and_read(secured.broker.servers, secured.connection("anna"), prefix, tmp_path) == 2


@pytest.mark.parametrize(
    ("but", "sentence"),
    [
        ("Read", r"\.log: the user of data.kafka has not the right Read; give it with: kafka-acls .* --operation Read"),
        ("Write", r"\.log: the user of data.kafka has not the right Write; give it with: kafka-acls .* --topic t-"),
        ("Delete", r"\.log: the user of data.kafka has not the right Delete; give it with: kafka-acls"),
        ("DescribeConfigs", r"\.log: Kafka does not allow it .*the right DescribeConfigs on topic t-"),
        ("Create", r"\.log: Kafka does not allow it .*give the user of data.kafka the right Create on topic t-"),
        ("transactional id", r"partition 1: Kafka does not allow it: .*the right Write on transactional id t-.*-1"),
    ],
)
def test_a_right_that_is_missing_is_named_before_a_record_is_written(
    secured: SecuredKafka, tmp_path: Path, but: str, sentence: str
) -> None:
    prefix = f"t-{uuid.uuid4().hex[:10]}"
    secured.grant("ben", rights(prefix, but=but))
    with pytest.raises((ConfigurationError, DataFolderError), match=sentence):
        write_and_read(secured.broker.servers, secured.connection("ben"), prefix, tmp_path)


def test_who_is_not_let_in_is_told_why_and_not_that_nobody_answers(secured: SecuredKafka, tmp_path: Path) -> None:
    for connection, why in (
        (
            secured.connection("anna", password="of somebody else"),
            "Authentication failed: Invalid username or password",
        ),
        (secured.connection("anna", authority=authority(tmp_path, "another").cert), "certificate verify failed"),
    ):
        with pytest.raises(ConfigurationError, match=f"Kafka does not let us in: .*{why}") as caught:
            write_and_read(secured.broker.servers, connection, "t", tmp_path)
        assert "of somebody else" not in str(caught.value)


def test_a_source_needs_to_read_its_topic_and_an_exporter_to_write_its_own(secured: SecuredKafka) -> None:
    name = f"t-{uuid.uuid4().hex[:10]}"
    admin = Cluster(secured.connection("admin")).admin()
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)
    secured.grant("anna", [Right(ResourceType.TOPIC, name, AclOperation.WRITE)])
    secured.grant("ben", [Right(ResourceType.TOPIC, name, AclOperation.READ), *GROUP])
    exporter = kafka(secured.connection("anna"), name)()
    exporter.open(ExporterContext(exporter="out", partition=1, partitions=1, position=0, cursor=None))
    exporter.export([Record(RecordType.EVENT, "t", "made", "k", {"n": 1}, position=1, timestamp_ns=1)])
    exporter.close()
    (source,) = kafka_partitions(secured.connection("ben"), name, partitions=1)
    source.open(SourceStart(0, None))
    found: list[object] = []

    def reads() -> list[object]:
        batch = source.read(10)
        found.extend([] if batch is None else batch.values)
        return found

    assert wait_until(lambda: bool(reads()), seconds=20)
    source.close()
    (foreign,) = kafka_partitions(secured.connection("anna"), f"{name}x", partitions=1)
    with pytest.raises(ConfigurationError, match=rf"topic {name}x cannot be read: "):
        foreign.open(SourceStart(0, None))


class Told:
    """An owner who writes down what he is told."""

    def __init__(self) -> None:
        self.owned: set[int] = set()
        self.has_joined = False
        self.expelled_by: str | None = None

    def given(self, partitions: Iterable[int]) -> None:
        self.owned |= {*partitions}

    def taken(self, partitions: Iterable[int]) -> None:
        self.owned -= {*partitions}

    lost = taken

    def joined(self) -> None:
        self.has_joined = True

    def expelled(self, why: str) -> None:
        self.expelled_by = why


def test_an_instance_needs_to_read_its_group_besides_and_says_so(secured: SecuredKafka) -> None:
    prefix = f"t-{uuid.uuid4().hex[:10]}"
    connection = secured.connection("anna")
    secured.grant("anna", rights(prefix))
    cluster, topics = Cluster(connection), Topics(prefix)
    settings = replace(log_settings(secured.broker.servers, topic_prefix=prefix), connection=connection)
    checks = TopicChecks(cluster, topics, settings, 2)
    checks.prepare()
    checks.prepare_control()

    def member(told: Told) -> Group:
        return Group(
            cluster, topics, lambda: told.owned, instance=None, session_ns=6 * NS_PER_SECOND, protocol="classic"
        )

    stranger = Told()
    group = member(stranger)
    group.start(stranger)
    assert wait_until(lambda: stranger.expelled_by is not None)
    group.close()
    assert f"the right Read on group penstock.{prefix}" in str(stranger.expelled_by)

    in_group = Right(ResourceType.GROUP, f"penstock.{prefix}", AclOperation.READ)
    secured.grant("anna", [*rights(prefix), in_group])
    one = Told()
    group = member(one)
    group.start(one)
    assert wait_until(lambda: one.owned == {1, 2}, seconds=30), one.expelled_by
    group.close()
    assert (one.owned, one.has_joined, one.expelled_by) == (set(), True, None)

    heard: dict[str, bytes | None] = {}
    control = ControlTopic(cluster, topics.control, timeout_ns=20 * NS_PER_SECOND, refused=PenstockError)
    control.start(lambda key, value, place: heard.update({key: value}))
    control.put("instance/a", b"here")
    assert wait_until(lambda: heard == {"instance/a": b"here"})
    control.close()
