"""What a start says of topics that do not keep what the log promises, on a real broker."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.cimpl import NewTopic

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import ConfigurationError, DataFolderError
from engine.kafka.client import Cluster
from engine.kafka.settings import KafkaLogSettings
from engine.log.kafka.topic_checks import TopicChecks, UnreachableError
from engine.log.kafka.topics import Topics
from engine.runtime.data_folder import DataFolder
from engine.runtime.kafka_log import open_kafka_log
from tests.support.kafka_broker import free_ports
from tests.support.kafka_logs import log_settings


class Checked:
    """The topics of a pipeline that is yet to be: some may be made by somebody else."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.topics = Topics(f"t-{uuid.uuid4().hex[:10]}")
        self.cluster = Cluster(self.settings().connection)

    def settings(self, **settings: Any) -> KafkaLogSettings:
        return log_settings(self.servers, **{"topic_prefix": self.topics.prefix, **settings})

    def checks(self, partitions: int = 2, **settings: Any) -> TopicChecks:
        return TopicChecks(self.cluster, self.topics, self.settings(**settings), partitions)

    def make(self, topic: str, partitions: int = 2, **config: str) -> None:
        named = {name.replace("_", "."): value for name, value in config.items()}
        self.cluster.admin_made = admin = self.cluster.admin()  # type: ignore[attr-defined]
        admin.create_topics([NewTopic(topic, partitions, 1, config=named)])[topic].result(20)

    def make_all(self, **of_log: str) -> None:
        self.make(self.topics.log, **{"retention_ms": "-1", **of_log})
        self.make(self.topics.inbox, retention_ms="-1")
        self.make(self.topics.state, cleanup_policy="compact")


@pytest.fixture
def checked(kafka: str) -> Checked:
    return Checked(kafka)


def test_topics_are_made_as_the_log_wants_them_and_found_good_after_that(checked: Checked) -> None:
    ids = checked.checks().prepare()
    assert set(ids) == set(checked.topics.all)
    again = checked.checks(create_topics=False)
    assert again.prepare() == ids
    assert [w for w in again.warnings if "1 copy" not in w] == []


def test_a_missing_topic_is_named_with_the_command_that_makes_it(checked: Checked) -> None:
    with pytest.raises(ConfigurationError) as caught:
        checked.checks(create_topics=False).prepare()
    server = checked.servers
    assert str(caught.value).startswith(
        f"topic {checked.topics.log} does not exist; make it with: kafka-topics --bootstrap-server {server} --create "
        f"--topic {checked.topics.log} --partitions 2 --replication-factor 1 --config max.message.bytes=16777216 "
    )
    assert "--config cleanup.policy=delete --config retention.ms=-1 --config retention.bytes=-1" in str(caught.value)


def test_the_topic_in_which_instances_talk_must_keep_what_they_said(checked: Checked) -> None:
    checked.checks().prepare_control()
    checked.checks(create_topics=False).prepare_control()
    other = Checked(checked.servers)
    other.make(other.topics.control, 1, cleanup_policy="delete")
    with pytest.raises(ConfigurationError, match=r"must be compact, or what was set by hand would be forgotten; mend "):
        other.checks().prepare_control()
    wide = Checked(checked.servers)
    wide.make(wide.topics.control, 2, cleanup_policy="compact")
    with pytest.raises(ConfigurationError, match=r"\.control has 2 partitions and must have 1"):
        wide.checks().prepare_control()


def test_another_number_of_partitions_is_refused(checked: Checked) -> None:
    checked.checks(2).prepare()
    with pytest.raises(
        ConfigurationError, match=r"\.log has 2 partitions, the pipeline asks for 3; the number cannot change"
    ):
        checked.checks(3).prepare()


def test_one_copy_is_refused_unless_that_is_wanted(checked: Checked) -> None:
    checked.make_all()
    with pytest.raises(
        ConfigurationError, match=r"\.log keeps 1 copy \(data.kafka.replicationFactor: 3\); .*allowUnsafe"
    ):
        checked.checks(replication_factor=3, min_insync_replicas=2, allow_unsafe=False).prepare()
    with pytest.raises(ConfigurationError, match=r"keeps 1 copy, which is lost with its machine.*allowUnsafe"):
        checked.checks(allow_unsafe=False).prepare()
    lenient = checked.checks()
    lenient.prepare()
    assert len([warning for warning in lenient.warnings if "keeps 1 copy" in warning]) == 3


def test_more_copies_than_brokers_are_refused_with_what_to_do(checked: Checked) -> None:
    with pytest.raises(
        ConfigurationError, match=r"cannot have 3 copies.*data.kafka.replicationFactor: 1 and data.kafka.al"
    ):
        checked.checks(replication_factor=3, min_insync_replicas=2).prepare()


def test_a_wrong_policy_is_refused_with_the_command_that_mends_it(checked: Checked) -> None:
    checked.make_all(cleanup_policy="compact")
    with pytest.raises(ConfigurationError) as caught:
        checked.checks().prepare()
    assert str(caught.value) == (
        f"topic {checked.topics.log} has cleanup.policy=compact, it must be delete, or records of the log would be "
        f"dropped; mend it with: kafka-configs --bootstrap-server {checked.servers} --alter --entity-type topics "
        f"--entity-name {checked.topics.log} --add-config cleanup.policy=delete"
    )


def test_a_state_that_is_not_compacted_is_refused(checked: Checked) -> None:
    checked.make(checked.topics.log, retention_ms="-1")
    checked.make(checked.topics.inbox, retention_ms="-1")
    checked.make(checked.topics.state)
    with pytest.raises(
        ConfigurationError, match=r"\.state has cleanup.policy=delete, it must be compact, or rows of the s"
    ):
        checked.checks().prepare()


def test_a_finite_retention_is_warned_of(checked: Checked) -> None:
    checked.make_all(retention_ms="604800000")
    checks = checked.checks()
    checks.prepare()
    (warning,) = [warning for warning in checks.warnings if "retention" in warning]
    assert warning.startswith(
        f"topic {checked.topics.log} has retention.ms=604800000: Kafka deletes what exporters may"
    )
    assert warning.endswith(f"--entity-name {checked.topics.log} --add-config retention.ms=-1")


def test_half_a_log_is_refused_unless_it_is_empty(checked: Checked) -> None:
    checked.make(checked.topics.log, retention_ms="-1")
    checked.checks().prepare()
    other = Checked(checked.servers)
    other.make(other.topics.log, retention_ms="-1")
    producer = other.cluster.idempotent(timeout_ns=10 * NS_PER_SECOND)
    producer.produce(other.topics.log, b"something", partition=0)
    producer.flush(10)
    with pytest.raises(ConfigurationError, match=r"topic .*\.state is gone, but not what is in .*\.log"):
        other.checks().prepare()


def test_a_cluster_that_is_not_there_is_said_and_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (port,) = free_ports(1)
    settings = log_settings(f"127.0.0.1:{port}", start_timeout_ns=5 * NS_PER_SECOND)
    folder = DataFolder(tmp_path)
    folder.open("p", 1, "kafka")
    with pytest.raises(ConfigurationError, match=rf"no broker of 127.0.0.1:{port} answers: .*Connection refused"):
        open_kafka_log(settings, "p", 1, folder)
    assert "it is tried again for 5 s" in caplog.text
    folder.close()
    with pytest.raises(UnreachableError):
        TopicChecks(Cluster(settings.connection), Topics("p"), settings, 1).cluster_id()


def test_a_data_folder_of_another_cluster_is_refused(kafka: str, tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.open("p", 1, "kafka")
    folder.belongs_to("of-another", kafka)
    with pytest.raises(DataFolderError, match=r"belongs to the Kafka cluster of-another, bootstrapServers .* lead to"):
        open_kafka_log(log_settings(kafka), "p", 1, folder)
    folder.close()
