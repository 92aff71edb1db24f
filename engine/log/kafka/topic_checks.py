"""Whether the topics of a log keep what the log promises; each that is wrong has a sentence and a command."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import TopicCollection
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from engine.core.errors import ConfigurationError
from engine.kafka.client import (
    MESSAGE_BYTES_MAX,
    Cluster,
    KafkaError,
    KafkaException,
    error_of,
    first_servers,
    low_and_high,
    sentence,
)
from engine.kafka.settings import KafkaLogSettings
from engine.log.kafka.topics import Topics

log = logging.getLogger("penstock.log")

_ANSWER_SECONDS = 10.0
# The first question is asked again until it is answered.
_FIRST_ANSWER_SECONDS = 3.0
_UNANSWERED = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_CONTROLLER,
    }
)
_UNKNOWN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})
# How often and how long a topic is looked for that was made just now.
_LOOKS_MAX = 150
_LOOK_SECONDS = 0.2
_NOT_ALLOWED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
_DAY_MS = 24 * 3600 * 1000
# What the log does with each of its topics; to describe one comes with any of them.
_RIGHTS = {
    AclOperation.READ: "Read",
    AclOperation.WRITE: "Write",
    AclOperation.DELETE: "Delete",
    AclOperation.DESCRIBE_CONFIGS: "DescribeConfigs",
}


class UnreachableError(Exception):
    """No broker answers."""


class TopicChecks:
    """Looks at the topics once, at a start or a check."""

    def __init__(self, cluster: Cluster, topics: Topics, settings: KafkaLogSettings, partitions: int) -> None:
        self._cluster = cluster
        self._topics = topics
        self._settings = settings
        self._partitions = partitions
        self._admin = cluster.admin()
        self.warnings: list[str] = []

    def cluster_id(self) -> str:
        """Raises `UnreachableError`, `ConfigurationError`."""
        try:
            found = self._admin.describe_cluster(request_timeout=_FIRST_ANSWER_SECONDS).result(_ANSWER_SECONDS)
        except (KafkaException, TimeoutError) as error:
            raise self._trouble(error, "the cluster", "Describe on the cluster") from error
        self._cluster.reached()
        return str(found.cluster_id)

    def prepare(self, *, makes: bool = True) -> dict[str, str]:
        """Makes what is missing, if it may; the ids of the topics. Raises `UnreachableError`, `ConfigurationError`."""
        found = self._described()
        missing = [topic for topic in self._topics.all if topic not in found]
        if missing and not self._settings.create_topics:
            raise ConfigurationError(
                f"topic {missing[0]} does not exist; make it with: {self._command(missing[0])}"
                + (f" (and so {', '.join(missing[1:])})" if len(missing) > 1 else "")
            )
        if missing and found and not self._are_empty([*found]):
            raise ConfigurationError(
                f"topic {missing[0]} is gone, but not what is in {next(iter(found))}: a log is all three of them; "
                "delete the others of this prefix too to begin again, or choose another data.kafka.topicPrefix"
            )
        if missing and not makes:
            self.warnings += [f"topic {topic} does not exist yet; a start makes it" for topic in missing]
        elif missing:
            self._make(missing)
            found = self._known_to_all()
        for topic, description in found.items():
            self._check_rights(topic, description.authorized_operations or ())
            self._check_shape(topic, description)
        if found:
            self._check_settings([*found])
        return {topic: str(description.topic_id) for topic, description in found.items()}

    def prepare_control(self) -> None:
        """Makes the topic in which instances talk, if it may and it is not there. Raises as `prepare`."""
        topic = self._topics.control
        found = self._described([topic]).get(topic)
        if found is None and not self._settings.create_topics:
            raise ConfigurationError(f"topic {topic} does not exist; make it with: {self._command(topic)}")
        if found is None:
            self._make([topic])
            for _ in range(_LOOKS_MAX):
                if (found := self._described([topic]).get(topic)) is not None:
                    break
                time.sleep(_LOOK_SECONDS)
            else:
                raise UnreachableError(f"topic {topic} was made, and not all brokers know it yet")
        self._check_rights(topic, set(found.authorized_operations or ()) | {AclOperation.DELETE})
        if len(found.partitions) != 1:
            raise ConfigurationError(
                f"topic {topic} has {len(found.partitions)} partitions and must have 1; delete it, and a start "
                "makes it anew"
            )
        self._check_copies(topic, found)
        self._check_settings([topic])

    def _known_to_all(self) -> dict[str, Any]:
        """What was made just now; a broker that was not the first to hear of it may not know it for a moment."""
        for _ in range(_LOOKS_MAX):
            found = self._described()
            if len(found) == len(self._topics.all) and self._configs_of([*found]) is not None:
                return found
            time.sleep(_LOOK_SECONDS)
        raise UnreachableError(f"the topics of {self._topics.prefix} were made, and not all brokers know them yet")

    def _described(self, topics: Sequence[str] | None = None) -> dict[str, Any]:
        answers = self._admin.describe_topics(
            TopicCollection([*(topics or self._topics.all)]),
            request_timeout=_ANSWER_SECONDS,
            include_authorized_operations=True,
        )
        found = {}
        for topic, answer in answers.items():
            try:
                found[topic] = answer.result(_ANSWER_SECONDS + 5)
            except (KafkaException, TimeoutError) as error:
                if isinstance(error, KafkaException) and error_of(error).code() in _UNKNOWN:
                    continue
                raise self._trouble(error, f"topic {topic}", f"Describe on topic {topic}") from error
        return found

    def _are_empty(self, topics: list[str]) -> bool:
        """As a start leaves them that was interrupted while it made them."""
        reader = self._cluster.reader()
        try:
            return all(
                low_and_high(reader, topic, partition)[1] == 0
                for topic in topics
                for partition in range(self._partitions)
            )
        except KafkaException as error:
            raise self._trouble(error, "the topics", f"Describe on topic {topics[0]}") from error
        finally:
            reader.close()

    # -- making ---

    def _wanted(self, topic: str) -> dict[str, str]:
        wanted = {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
        if self._settings.replication_factor > 1:
            wanted["min.insync.replicas"] = str(self._settings.min_insync_replicas)
        if topic in (self._topics.state, self._topics.control):
            return {
                **wanted,
                "cleanup.policy": "compact",
                "min.cleanable.dirty.ratio": "0.1",
                "segment.bytes": str(64 << 20),
                "max.compaction.lag.ms": str(3600 * 1000),
                "delete.retention.ms": str(_DAY_MS),
            }
        return {**wanted, "cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}

    def _count_of(self, topic: str) -> int:
        return 1 if topic == self._topics.control else self._partitions

    def _command(self, topic: str) -> str:
        configs = " ".join(f"--config {name}={value}" for name, value in self._wanted(topic).items())
        return (
            f"kafka-topics --bootstrap-server {self._first} --create --topic {topic} "
            f"--partitions {self._count_of(topic)} "
            f"--replication-factor {self._settings.replication_factor} {configs}"
        )

    @property
    def _first(self) -> str:
        return self._cluster.bootstrap_servers.split(",")[0].strip()

    def _make(self, missing: list[str]) -> None:
        wanted = [
            NewTopic(topic, self._count_of(topic), self._settings.replication_factor, config=self._wanted(topic))
            for topic in missing
        ]
        for topic, answer in self._admin.create_topics(wanted, request_timeout=30.0).items():
            try:
                answer.result(40)
                log.info("topic %s is made: %d partitions", topic, self._count_of(topic))
            except (KafkaException, TimeoutError) as error:
                kafka = error_of(error) if isinstance(error, KafkaException) else None
                if kafka is not None and kafka.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue
                if kafka is not None and kafka.code() == KafkaError.INVALID_REPLICATION_FACTOR:
                    raise ConfigurationError(
                        f"topic {topic} cannot have {self._settings.replication_factor} copies "
                        f"(data.kafka.replicationFactor): {sentence(kafka)} With fewer brokers say "
                        "data.kafka.replicationFactor: 1 and data.kafka.allowUnsafe: true; one copy is lost with its "
                        "machine"
                    ) from error
                raise self._trouble(error, f"topic {topic}", f"Create on topic {topic}") from error

    # -- looking ---

    def _check_rights(self, topic: str, allowed: Collection[AclOperation]) -> None:
        """Before a record is written: that nothing may be deleted would show when the disk of the broker is full."""
        missing = [right for operation, right in _RIGHTS.items() if operation not in allowed]
        if not allowed or not missing:
            return
        raise ConfigurationError(
            f"topic {topic}: the user of data.kafka has not the right {' nor '.join(missing)}; give it with: "
            f"kafka-acls --bootstrap-server {self._first} --add --allow-principal User:… "
            f"--topic {self._topics.prefix}. --resource-pattern-type prefixed "
            + " ".join(f"--operation {right}" for right in missing)
        )

    def _check_shape(self, topic: str, description: Any) -> None:
        partitions = description.partitions
        if len(partitions) != self._partitions:
            raise ConfigurationError(
                f"topic {topic} has {len(partitions)} partitions, the pipeline asks for {self._partitions}; "
                "the number cannot change"
            )
        self._check_copies(topic, description)

    def _check_copies(self, topic: str, description: Any) -> None:
        copies = min(len(partition.replicas) for partition in description.partitions)
        if copies < self._settings.replication_factor:
            self._unsafe(
                f"topic {topic} keeps {copies} {'copy' if copies == 1 else 'copies'} "
                f"(data.kafka.replicationFactor: {self._settings.replication_factor}); give it more with "
                f"kafka-reassign-partitions, or set data.kafka.replicationFactor: {copies}"
            )
        elif copies == 1:
            self._unsafe(
                f"topic {topic} keeps 1 copy, which is lost with its machine, and Kafka does not sync before it "
                "acknowledges: 3 copies (data.kafka.replicationFactor) are as safe as the local log"
            )

    def _unsafe(self, why: str) -> None:
        if not self._settings.allow_unsafe:
            raise ConfigurationError(f"{why}; data.kafka.allowUnsafe: true takes it all the same")
        self.warnings.append(why)

    def _check_settings(self, topics: list[str]) -> None:
        found = self._configs_of(topics)
        if found is None:
            raise UnreachableError(f"not all brokers know the topics of {self._topics.prefix}")
        for topic, config in found.items():
            self._check_policy(topic, config)

    def _configs_of(self, topics: list[str]) -> dict[str, dict[str, str]] | None:
        """None where a broker does not know one of them."""
        asked = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        found = {}
        for resource, answer in self._admin.describe_configs(asked, request_timeout=_ANSWER_SECONDS).items():
            topic = resource.name
            try:
                entries = answer.result(_ANSWER_SECONDS + 5)
            except (KafkaException, TimeoutError) as error:
                if isinstance(error, KafkaException) and error_of(error).code() in _UNKNOWN:
                    return None
                raise self._trouble(error, f"topic {topic}", f"DescribeConfigs on topic {topic}") from error
            found[topic] = {name: str(entry.value) for name, entry in entries.items()}
        return found

    def _check_policy(self, topic: str, found: Mapping[str, str]) -> None:
        lost = {
            self._topics.state: "rows of the state would be deleted",
            self._topics.control: "what was set by hand would be forgotten",
        }.get(topic)
        wanted = "delete" if lost is None else "compact"
        policy = found.get("cleanup.policy", "")
        if policy != wanted:
            what = lost or "records of the log would be dropped"
            raise ConfigurationError(
                f"topic {topic} has cleanup.policy={policy or 'none'}, it must be {wanted}, or {what}; "
                f"mend it with: {self._mend(topic, f'cleanup.policy={wanted}')}"
            )
        if lost is None:
            for name in ("retention.ms", "retention.bytes"):
                if found.get(name, "-1") != "-1":
                    self.warnings.append(
                        f"topic {topic} has {name}={found[name]}: Kafka deletes what exporters may still need, "
                        f"Penstock deletes by itself what nobody needs; mend it with: {self._mend(topic, f'{name}=-1')}"
                    )
        insync = int(found.get("min.insync.replicas", "1"))
        if self._settings.replication_factor > 1 and insync < self._settings.min_insync_replicas:
            self._unsafe(
                f"topic {topic} acknowledges with {insync} in-sync {'copy' if insync == 1 else 'copies'} "
                f"(data.kafka.minInsyncReplicas: {self._settings.min_insync_replicas}); mend it with: "
                + self._mend(topic, f"min.insync.replicas={self._settings.min_insync_replicas}")
            )

    def _mend(self, topic: str, setting: str) -> str:
        return (
            f"kafka-configs --bootstrap-server {self._first} --alter --entity-type topics --entity-name {topic} "
            f"--add-config {setting}"
        )

    def _trouble(self, error: Exception, what: str, right: str) -> Exception:
        kafka = error_of(error) if isinstance(error, KafkaException) else None
        if kafka is None or kafka.code() in _UNANSWERED:
            # What the client has to tell is told only to who asks.
            self._admin.poll(0)
            if self._cluster.why_refused is not None:
                return ConfigurationError(f"Kafka does not let us in: {self._cluster.why_refused}")
            why = self._cluster.why_unreachable or ("no answer in time" if kafka is None else sentence(kafka))
            return UnreachableError(f"no broker of {first_servers(self._cluster.bootstrap_servers)} answers: {why}")
        if kafka.code() in _NOT_ALLOWED:
            return ConfigurationError(
                f"{what}: Kafka does not allow it ({sentence(kafka)}); give the user of data.kafka the right {right}"
            )
        if kafka.code() == KafkaError._AUTHENTICATION:
            return ConfigurationError(f"Kafka does not let us in: {sentence(kafka)}")
        return ConfigurationError(f"{what} cannot be looked at: {sentence(kafka)}")
