"""The sections that speak of a Kafka cluster, and what the engine knows of them."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from pydantic import Field, field_validator

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import SettingError
from engine.core.extras import MissingExtraError, need
from engine.kafka.settings import KafkaConnection, KafkaLogSettings
from penstock.settings.entries import Mistake, Place
from penstock.settings.entries import Path as Keys
from penstock.settings.sections import Section, WaitNs, WholeNumber


def _flat(nested: dict[str, Any], before: str = "") -> dict[str, str]:
    """Dots in a key of the file lead into sections; here they belong to the name."""
    flat: dict[str, str] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = str(value).lower() if isinstance(value, bool) else str(value)
    return flat


class KafkaConnectionSection(Section):
    """How a cluster is reached: its address, and what its client is told besides."""

    bootstrap_servers: str | None = Field(default=None, min_length=1)
    properties_file: str | None = Field(default=None, min_length=1)
    properties: dict[str, str] = Field(default={})

    @field_validator("properties", mode="before")
    @classmethod
    def _as_the_client_takes_them(cls, value: Any) -> Any:
        return _flat(value) if isinstance(value, dict) else {} if value is None else value


class KafkaSourceSection(KafkaConnectionSection):
    """`kafka`: the messages of a topic, a source for each of its partitions."""

    topic: str = Field(min_length=1)
    format: Literal["json", "text", "bytes"] = "json"


class KafkaExporterSection(KafkaConnectionSection):
    """`kafka`: a message a record, into a topic."""

    topic: str = Field(min_length=1)
    timeout: WaitNs = 30 * NS_PER_SECOND


class KafkaLogSection(KafkaConnectionSection):
    """`data.kafka`: the log in a cluster."""

    topic_prefix: str | None = None
    create_topics: bool = True
    replication_factor: WholeNumber = Field(default=3, ge=1)
    min_insync_replicas: WholeNumber = Field(default=2, ge=1)
    allow_unsafe: bool = False
    instance: str | None = Field(default=None, min_length=1)
    advertised_url: str | None = None
    session_timeout: WaitNs = 10 * NS_PER_SECOND
    group_protocol: Literal["classic", "consumer"] = "classic"
    handover_timeout: WaitNs = 3 * NS_PER_SECOND
    transaction_timeout: WaitNs = 30 * NS_PER_SECOND
    commit_timeout: WaitNs = 30 * NS_PER_SECOND
    commit_linger: WaitNs = 5 * NS_PER_MS
    start_timeout: WaitNs = 60 * NS_PER_SECOND


class Surroundings(Protocol):
    """What is known of the file around a section."""

    def path(self, written: str, at: Keys) -> Any: ...

    def place(self, at: Keys) -> Place: ...


def connection(
    section: KafkaConnectionSection, at: Keys, around: Surroundings, default: KafkaConnection | None
) -> KafkaConnection:
    """What of it is not written is that of `data.kafka`. Raises `Mistake`."""
    try:
        need("kafka", "confluent_kafka")
    except MissingExtraError as error:
        raise Mistake(around.place(at), f": {error}") from None
    if section.bootstrap_servers is None and default is not None:
        if {"properties", "properties_file"} & section.model_fields_set:
            raise Mistake(around.place((*at, "bootstrapServers")), "is missing: properties stand beside their cluster")
        return default
    if section.bootstrap_servers is None:
        raise Mistake(around.place((*at, "bootstrapServers")), "is missing, and data.kafka.bootstrapServers too")
    file = section.properties_file
    try:
        return KafkaConnection(
            bootstrap_servers=section.bootstrap_servers,
            properties_file=None if file is None else around.path(file, (*at, "propertiesFile")),
            properties=section.properties,
        )
    except SettingError as error:
        raise Mistake(around.place((*at, *error.field.split(".", 1))), f"{error.rule}, not {error.value}") from None


def log_settings(section: KafkaLogSection, around: Surroundings) -> KafkaLogSettings:
    """Of `data.kafka`. Raises `Mistake`."""
    at: Keys = ("data", "kafka")
    try:
        return KafkaLogSettings(
            connection=connection(section, at, around, None),
            topic_prefix=section.topic_prefix,
            create_topics=section.create_topics,
            replication_factor=section.replication_factor,
            min_insync_replicas=min(section.min_insync_replicas, section.replication_factor)
            if "min_insync_replicas" not in section.model_fields_set
            else section.min_insync_replicas,
            allow_unsafe=section.allow_unsafe,
            instance=section.instance,
            advertised_url=section.advertised_url,
            session_timeout_ns=section.session_timeout,
            group_protocol=section.group_protocol,
            handover_timeout_ns=section.handover_timeout,
            transaction_timeout_ns=section.transaction_timeout,
            commit_timeout_ns=section.commit_timeout,
            commit_linger_ns=section.commit_linger,
            start_timeout_ns=section.start_timeout,
        )
    except SettingError as error:
        raise Mistake(around.place((*at, error.field)), f"{error.rule}, not {error.value}") from None
