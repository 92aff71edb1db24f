"""Where a Kafka cluster is, and how a pipeline keeps its log there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import ConfigurationError, SettingError
from engine.core.secrets import named_address, shown_address

# What the promise stands on; each with the reason why nobody else may set it.
_OURS = {
    "bootstrap.servers": "it is bootstrapServers",
    "acks": "a commit counts when all in-sync replicas have it",
    "request.required.acks": "a commit counts when all in-sync replicas have it",
    "enable.idempotence": "what is sent twice must be stored once",
    "transactional.id": "it says which partition is written",
    "isolation.level": "what was not committed must not be read",
    "enable.auto.commit": "how far a source is read is stored with its records",
    "enable.auto.offset.store": "how far a source is read is stored with its records",
    "auto.offset.reset": "records that are gone must be told, not skipped",
    "group.id": "it follows data.kafka.topicPrefix",
    "partition.assignment.strategy": "partitions must stay where they are while others move",
    "group.instance.id": "it is data.kafka.instance",
    "group.protocol": "it is data.kafka.groupProtocol",
    "session.timeout.ms": "it is data.kafka.sessionTimeout",
    "enable.partition.eof": "the end of a partition must be seen",
    "transaction.timeout.ms": "it is data.kafka.transactionTimeout",
    "message.timeout.ms": "it follows data.kafka.transactionTimeout",
    "delivery.timeout.ms": "it follows data.kafka.transactionTimeout",
}
# Kafka allows more; these are safe in metric names and files too.
_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnection:
    """A cluster, and what its client is told besides. Raises `SettingError`."""

    # host:port, separated by commas.
    bootstrap_servers: str = ""
    # As Kafka's own tools take it by --command-config.
    properties_file: Path | None = None
    # Names of librdkafka.
    properties: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.bootstrap_servers.strip():
            raise SettingError("bootstrapServers", "must name a broker as host:port", repr(self.bootstrap_servers))
        for name in self.properties:
            check_property(name, f"properties.{name}")


def check_property(name: str, place: str) -> None:
    """Raises `SettingError` for a property that Penstock sets itself."""
    if name in _OURS:
        raise SettingError(place, f"is set by Penstock, because {_OURS[name]}; leave it out", "one of your own")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaLogSettings:
    """The log of a pipeline in a cluster. Raises `SettingError`."""

    connection: KafkaConnection
    # None is the pipeline's name.
    topic_prefix: str | None = None
    create_topics: bool = True
    replication_factor: int = 3
    min_insync_replicas: int = 2
    # Whether fewer copies than these are taken all the same.
    allow_unsafe: bool = False
    # What others call this one, which stays over a restart: so do its partitions. None: a name for one run.
    instance: str | None = None
    # Where others reach this one's gateway; None: where it listens, by the name of the machine.
    advertised_url: str | None = None
    # An instance that was not heard for so long has lost its partitions; the broker's say with `consumer`.
    session_timeout_ns: int = 10 * NS_PER_SECOND
    # Who deals the partitions: the group's leader, or the broker (KIP-848).
    group_protocol: Literal["classic", "consumer"] = "classic"
    # How long a partition that is given back may take to be closed; then its new owner fences it.
    handover_timeout_ns: int = 3 * NS_PER_SECOND
    # What was begun and is not finished is aborted by the broker after so long.
    transaction_timeout_ns: int = 30 * NS_PER_SECOND
    commit_timeout_ns: int = 30 * NS_PER_SECOND
    # How long a lone writer waits for company.
    commit_linger_ns: int = 5 * NS_PER_MS
    # How long a start waits for a broker that answers.
    start_timeout_ns: int = 60 * NS_PER_SECOND

    def __post_init__(self) -> None:
        if self.topic_prefix is not None and not _PREFIX.fullmatch(self.topic_prefix):
            raise SettingError(
                "topicPrefix", "must be letters, digits, dots, hyphens and underscores", repr(self.topic_prefix)
            )
        for name, value in (
            ("replicationFactor", self.replication_factor),
            ("minInsyncReplicas", self.min_insync_replicas),
        ):
            if value < 1:
                raise SettingError(name, "must be 1 or more", value)
        if self.min_insync_replicas > self.replication_factor:
            raise SettingError("minInsyncReplicas", "must not exceed replicationFactor", self.min_insync_replicas)
        for name, ns, least_ns in (
            ("transactionTimeout", self.transaction_timeout_ns, NS_PER_SECOND),
            ("commitTimeout", self.commit_timeout_ns, NS_PER_SECOND),
            ("commitLinger", self.commit_linger_ns, 0),
            ("startTimeout", self.start_timeout_ns, 0),
            ("sessionTimeout", self.session_timeout_ns, NS_PER_SECOND),
            ("handoverTimeout", self.handover_timeout_ns, 0),
        ):
            if ns < least_ns:
                raise SettingError(name, f"must be {least_ns // NS_PER_SECOND}s or longer", f"{ns / NS_PER_SECOND:g}s")
        if self.advertised_url is not None:
            _check_advertised(self.advertised_url)

    def prefix(self, pipeline: str) -> str:
        """What the topics of this pipeline begin with: what was said, or its name, spelled as a topic may be."""
        if self.topic_prefix is not None:
            return self.topic_prefix
        name = re.sub(r"[^A-Za-z0-9._-]", "_", pipeline)[:200]
        if name in (".", "..", ""):
            raise ConfigurationError(f"data.kafka.topicPrefix is missing: {pipeline!r} cannot be the name of a topic")
        return name


def _check_advertised(url: str) -> None:
    """Everybody sees it, and records are handed on in the name of who brought them: no user belongs in it."""
    if not url.startswith(("http://", "https://")) or shown_address(url).lower() != url.lower():
        raise SettingError(
            "advertisedUrl",
            "must be http:// or https:// with a host, and without a user, a query and a fragment",
            named_address(url),
        )
