"""Logs in a Kafka cluster for tests: each with topics of its own."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from engine.core.clock import NS_PER_SECOND
from engine.kafka.client import Cluster
from engine.kafka.settings import KafkaConnection, KafkaLogSettings
from engine.log.kafka.storage import KafkaLogStorage
from engine.log.kafka.topic_checks import TopicChecks
from engine.log.kafka.topics import Topics


def log_settings(servers: str, **settings: Any) -> KafkaLogSettings:
    return KafkaLogSettings(
        connection=KafkaConnection(bootstrap_servers=servers),
        **{
            "replication_factor": 1,
            "min_insync_replicas": 1,
            "allow_unsafe": True,
            "topic_prefix": f"t-{uuid.uuid4().hex[:10]}",
            "transaction_timeout_ns": 10 * NS_PER_SECOND,
            "commit_timeout_ns": 20 * NS_PER_SECOND,
            **settings,
        },
    )


class KafkaLogs:
    """A log of some partitions, opened as often as wanted; `cache` is where the small state is kept meanwhile."""

    def __init__(self, servers: str, cache: Path, partitions: int = 1, **settings: Any) -> None:
        self.settings = log_settings(servers, **settings)
        self.cluster = Cluster(self.settings.connection)
        self.topics = Topics(self.settings.prefix("p"))
        self.cache = cache
        self.ids = TopicChecks(self.cluster, self.topics, self.settings, partitions).prepare()

    def storage(self, partition: int = 1, **options: Any) -> KafkaLogStorage:
        return KafkaLogStorage(
            self.cluster,
            self.topics,
            partition,
            self.cache / f"{partition}.db",
            self.settings,
            **{"topic_ids": self.ids, "instance": "here", **options},
        )

    def lose_cache(self) -> None:
        for file in self.cache.glob("*.db*"):
            file.unlink()
