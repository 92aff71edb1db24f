"""Clients of a cluster, made so that Penstock's promises hold; the one place that knows librdkafka's settings."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import ConfigurationError
from engine.core.snapshot import BrokerSnapshot
from engine.kafka.properties import read_properties
from engine.kafka.settings import KafkaConnection
from engine.kafka.statistics import brokers_in

# For those who use the clients: they need not know whose they are.
__all__ = ["Cluster", "Consumer", "KafkaError", "KafkaException", "Message", "Producer", "TopicPartition", "sentence"]

MESSAGE_BYTES_MAX = 16 << 20
# How often a writer tells what it has seen of its brokers.
_STATISTICS_MS = 5_000
# Who is asked and does not answer is asked elsewhere: librdkafka's own minutes are longer than any stall should be.
_PATIENCE: dict[str, Any] = {
    "socket.timeout.ms": 3_000,
    "socket.connection.setup.timeout.ms": 3_000,
    "reconnect.backoff.max.ms": 1_000,
    "retry.backoff.max.ms": 500,
    "topic.metadata.refresh.fast.interval.ms": 100,
    "topic.metadata.refresh.interval.ms": 30_000,
}

# A broker that waits so long for copies says so, and is asked again: sooner than the client takes it for dead.
_COPIES_MS = 2_500

# Who leads a partition is not known yet, or not any more.
_MOVING = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
_MOVING_SECONDS = 0.1

# Who wants to know why something failed waits no longer than this.
_ASK_SECONDS = 2.0
Seen = Callable[[Mapping[int, BrokerSnapshot]], None]

clients_log = logging.getLogger("penstock.kafka.client")


class _Muffled:
    """What the client says of each try, again and again: what matters of it comes as an error, and is told once."""

    def log(self, level: int, text: str, *arguments: object) -> None:
        clients_log.debug(text, *arguments)


class Admin(AdminClient):
    """Asks about topics; its answers come in a thread of its own, in which librdkafka must not be ended.

    Whoever lets go of it last may be that thread: an answer holds an error, that a frame, that the client. So it is
    kept then, and ended when the next one is made.
    """

    _kept: ClassVar[list[Admin]] = []

    def __init__(self, settings: dict[str, Any]) -> None:
        self._kept.clear()
        super().__init__(settings)

    def __del__(self) -> None:
        self._kept.append(self)


class Cluster:
    """A cluster as its clients see it. Any thread may ask for any of them."""

    def __init__(self, connection: KafkaConnection) -> None:
        """Raises `ConfigurationError` for properties that cannot be read or are not known."""
        self.bootstrap_servers = connection.bootstrap_servers
        named = read_properties(connection.properties_file) if connection.properties_file is not None else {}
        self._common: dict[str, Any] = {
            "client.id": "penstock",
            **_PATIENCE,
            **named,
            **connection.properties,
            "bootstrap.servers": connection.bootstrap_servers,
            "logger": _Muffled(),
        }
        self._lock = threading.Lock()
        # What a client said last of brokers that cannot be reached; None while they can.
        self._unreachable: str | None = None
        # … and of one that can, and does not let us in.
        self._refused: str | None = None

    def _told(self, error: KafkaError) -> None:
        with self._lock:
            if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
                self._refused = _plain(error.str())
            elif error.code() in (KafkaError._TRANSPORT, KafkaError._RESOLVE) or (
                # That all are down is no news where it is known why.
                error.code() == KafkaError._ALL_BROKERS_DOWN and self._unreachable is None
            ):
                self._unreachable = _plain(error.str())

    def reached(self) -> None:
        """Somebody had an answer just now."""
        if self._unreachable is not None or self._refused is not None:
            with self._lock:
                self._unreachable = self._refused = None

    @property
    def why_unreachable(self) -> str | None:
        return self._refused or self._unreachable

    @property
    def why_refused(self) -> str | None:
        """A password or a certificate that does not fit: no waiting mends it."""
        return self._refused

    def _made(self, make: Callable[[dict[str, Any]], Any], **settings: Any) -> Any:
        try:
            return make({**self._common, **settings, "error_cb": self._told})
        except KafkaException as error:
            raise ConfigurationError(f"Kafka's client takes no such setting: {sentence(error)}") from error
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"Kafka's client takes no such setting: {error}") from error

    def transactional(
        self,
        transactional_id: str,
        *,
        timeout_ns: int,
        seen: Callable[[Mapping[int, BrokerSnapshot]], None] | None = None,
    ) -> Producer:
        """The writer of a partition. With `seen` it is to be polled: that, and a commit, calls it every few seconds."""
        timeout_ms = timeout_ns // NS_PER_MS
        producer: Producer = self._made(
            Producer,
            **{
                "transactional.id": transactional_id,
                **_telling(seen),
                "transaction.timeout.ms": timeout_ms,
                "message.timeout.ms": timeout_ms,
                "request.timeout.ms": _COPIES_MS,
                "linger.ms": 0,
                "message.max.bytes": MESSAGE_BYTES_MAX,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 256 << 10,
            },
        )
        return producer

    def idempotent(self, *, timeout_ns: int, linger_ms: int = 5) -> Producer:
        """A writer into somebody else's topic: each record once and in order, as long as it lives."""
        producer: Producer = self._made(
            Producer,
            **{
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": linger_ms,
                "message.timeout.ms": timeout_ns // NS_PER_MS,
                "request.timeout.ms": _COPIES_MS,
                "message.max.bytes": MESSAGE_BYTES_MAX,
                "queue.buffering.max.messages": 100_000,
                "queue.buffering.max.kbytes": 64 << 10,
            },
        )
        return producer

    def reader(self, *, fetch_bytes: int = 1 << 20, fetch_wait_ms: int = 100) -> Consumer:
        """Reads what was committed, from where it is told to; nothing is skipped in silence.

        A broker that has nothing new answers after `fetch_wait_ms`, and says then that the end is reached.
        """
        consumer: Consumer = self._made(
            Consumer,
            **{
                # Nobody joins it: partitions are assigned by hand.
                "group.id": "penstock",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.message.max.bytes": fetch_bytes,
                "fetch.wait.max.ms": fetch_wait_ms,
                "queued.max.messages.kbytes": 16 << 10,
                # The blobs have checksums of their own.
                "check.crcs": False,
            },
        )
        return consumer

    def member(
        self, group: str, *, instance: str | None, session_ns: int, protocol: Literal["classic", "consumer"]
    ) -> Consumer:
        """One of a group, for who wants to know what is whose and reads nothing. With `instance` it may come back."""
        settings: dict[str, Any] = {
            "group.id": group,
            "group.protocol": protocol,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # Its partitions are paused, but where they would begin is asked for all the same.
            "auto.offset.reset": "latest",
            "queued.min.messages": 1,
            "queued.max.messages.kbytes": 1 << 10,
            "max.poll.interval.ms": max(300_000, session_ns // NS_PER_MS),
        }
        if instance is not None:
            settings["group.instance.id"] = instance
        if protocol == "classic":
            session_ms = session_ns // NS_PER_MS
            settings["partition.assignment.strategy"] = "cooperative-sticky"
            settings["session.timeout.ms"] = session_ms
            settings["heartbeat.interval.ms"] = max(100, min(3_000, session_ms // 3))
        consumer: Consumer = self._made(Consumer, **settings)
        return consumer

    def admin(self) -> Admin:
        admin: Admin = self._made(Admin)
        return admin


def _telling(seen: Seen | None) -> dict[str, Any]:
    if seen is None:
        return {}
    return {"statistics.interval.ms": _STATISTICS_MS, "stats_cb": lambda told: seen(brokers_in(told))}


def low_and_high(
    consumer: Consumer, topic: str, partition: int, *, timeout_ns: int = 10 * NS_PER_SECOND
) -> tuple[int, int]:
    """The first offset that is there, and the one behind the last. Raises `KafkaException`.

    Of a partition that has just been made, or moves, the leader is waited for.
    """
    end = time.monotonic() + timeout_ns / NS_PER_SECOND
    while True:
        try:
            low, high = consumer.get_watermark_offsets(
                TopicPartition(topic, partition), max(0.1, end - time.monotonic())
            )
        except KafkaException as error:
            if error_of(error).code() not in _MOVING or time.monotonic() >= end:
                raise
            time.sleep(_MOVING_SECONDS)
            continue
        return int(low), int(high)


def copies_in_sync(cluster: Cluster, topic: str, partition: int) -> int | None:
    """How many copies of a partition have all that was acknowledged; None where nobody answers just now."""
    try:
        found = cluster.admin().list_topics(topic, timeout=_ASK_SECONDS).topics[topic].partitions.get(partition)
    except KafkaException:
        return None
    return None if found is None else len(found.isrs)


def _plain(said: str) -> str:
    """Without how long that took, and how often it was said before."""
    return re.sub(r"\s*\((after|\d+ identical).*\)$", "", said)


def error_of(error: KafkaException | KafkaError) -> KafkaError:
    if isinstance(error, KafkaError):
        return error
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, KafkaError) else KafkaError(KafkaError._FAIL)


def sentence(error: KafkaException | KafkaError) -> str:
    """What Kafka says, without its names."""
    return error_of(error).str()


def first_servers(bootstrap_servers: str) -> str:
    """For a sentence: one that is asked first, and how many more there are."""
    servers: Sequence[str] = [part.strip() for part in bootstrap_servers.split(",") if part.strip()]
    return servers[0] if len(servers) == 1 else f"{servers[0]} and {len(servers) - 1} more"
