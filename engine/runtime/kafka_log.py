"""The log of a pipeline in a Kafka cluster: its topics are looked at once, each partition has a storage over them."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import ConfigurationError
from engine.core.extras import need
from engine.kafka.settings import KafkaLogSettings
from engine.log.storage import LogStorage
from engine.runtime.data_folder import DataFolder

if TYPE_CHECKING:
    from engine.kafka.client import Cluster
    from engine.log.kafka.control_topic import ControlTopic
    from engine.log.kafka.group import Group
    from engine.log.kafka.inbox import Sent
    from engine.log.kafka.inspection import KafkaInspection
    from engine.log.kafka.storage import KafkaLogStorage
    from engine.log.kafka.topics import Topics

log = logging.getLogger("penstock.log")

_AGAIN_SECONDS = 1.0


class KafkaLog:
    """The storages of all partitions of this process."""

    def __init__(
        self,
        cluster: Cluster,
        topics: Topics,
        topic_ids: dict[str, str],
        settings: KafkaLogSettings,
        folder: DataFolder,
        sent: Sent,
        instance: str,
    ) -> None:
        self._instance = instance
        self._cluster = cluster
        self._topics = topics
        self._topic_ids = topic_ids
        self._settings = settings
        self._folder = folder
        self._sent = sent
        self.storages: dict[int, KafkaLogStorage] = {}

    def storage(self, partition: int) -> LogStorage:
        from engine.log.kafka.storage import KafkaLogStorage

        storage = self.storages[partition] = KafkaLogStorage(
            self._cluster,
            self._topics,
            partition,
            self._folder.partition_path(partition) / "cache.db",
            self._settings,
            topic_ids=self._topic_ids,
            instance=self._instance,
            sent=self._sent,
        )
        return storage

    # -- where instances share the log ---

    def membership(self, owned: Callable[[], Collection[int]]) -> Group:
        """A place in the group; `owned` are the partitions that this one has been given."""
        from engine.log.kafka.group import Group

        return Group(
            self._cluster,
            self._topics,
            owned,
            instance=self._settings.instance,
            session_ns=self._settings.session_timeout_ns,
            protocol=self._settings.group_protocol,
        )

    def control(self, refused: Callable[[str], Exception]) -> ControlTopic:
        """What the instances tell each other; `refused` makes the error of what cannot be told."""
        from engine.log.kafka.control_topic import ControlTopic

        return ControlTopic(
            self._cluster, self._topics.control, timeout_ns=self._settings.commit_timeout_ns, refused=refused
        )


def open_kafka_log(
    settings: KafkaLogSettings | None,
    pipeline: str,
    partitions: int,
    folder: DataFolder,
    *,
    shared_by: str | None = None,
) -> KafkaLog:
    """Looks at the topics, makes them where it may. Raises `ConfigurationError` and `DataFolderError`.

    `shared_by` is the name of an instance of several; then there is a topic for these too.
    """
    assert settings is not None, "options are checked"
    needs_client()
    from engine.kafka.client import Cluster
    from engine.log.kafka.inbox import Sent
    from engine.log.kafka.topic_checks import TopicChecks, UnreachableError
    from engine.log.kafka.topics import Topics

    cluster = Cluster(settings.connection)
    topics = Topics(settings.prefix(pipeline))
    checks = TopicChecks(cluster, topics, settings, partitions)
    deadline = time.monotonic() + settings.start_timeout_ns / NS_PER_SECOND
    told = False
    while True:
        try:
            cluster_id = checks.cluster_id()
            folder.belongs_to(cluster_id, settings.connection.bootstrap_servers)
            ids = checks.prepare()
            if shared_by is not None:
                checks.prepare_control()
            break
        except UnreachableError as error:
            if time.monotonic() >= deadline:
                raise ConfigurationError(str(error)) from error
            if not told:
                log.warning("%s; it is tried again for %g s", error, settings.start_timeout_ns / NS_PER_SECOND)
                told = True
            time.sleep(_AGAIN_SECONDS)
    for warning in checks.warnings:
        log.warning("%s", warning)
    name = shared_by or settings.instance or socket.gethostname()
    return KafkaLog(cluster, topics, ids, settings, folder, Sent(), name)


def check_kafka_log(settings: KafkaLogSettings, pipeline: str, partitions: int) -> tuple[str, ...]:
    """Looks at cluster and topics, and makes nothing; warnings. Raises `ConfigurationError`."""
    needs_client()
    from engine.kafka.client import Cluster
    from engine.log.kafka.topic_checks import TopicChecks, UnreachableError
    from engine.log.kafka.topics import Topics

    checks = TopicChecks(Cluster(settings.connection), Topics(settings.prefix(pipeline)), settings, partitions)
    try:
        checks.cluster_id()
        checks.prepare(makes=False)
    except UnreachableError as error:
        raise ConfigurationError(str(error)) from error
    return tuple(checks.warnings)


def kafka_inspections(
    settings: KafkaLogSettings, pipeline: str, partitions: int, numbers: Iterable[int]
) -> Iterator[KafkaInspection]:
    """Of these partitions. Raises `ConfigurationError` where there is no such log."""
    needs_client()
    from engine.kafka.client import Cluster
    from engine.log.kafka.inspection import KafkaInspection
    from engine.log.kafka.topics import Topics

    check_kafka_log(replace(settings, create_topics=False, allow_unsafe=True), pipeline, partitions)
    cluster, topics = Cluster(settings.connection), Topics(settings.prefix(pipeline))
    for number in numbers:
        yield KafkaInspection(cluster, topics, number, settings)


def needs_client() -> None:
    """Raises `ConfigurationError` where Kafka's client is not installed."""
    need("kafka", "confluent_kafka")
