"""The sections of record exporters: the kinds there are, and what all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from engine.core.clock import NS_PER_SECOND
from engine.core.records import RecordType
from engine.exporting.retry import RetryPolicy
from penstock.settings.kafka import KafkaExporterSection
from penstock.settings.sections import Number, Section, SizeBytes, WaitNs, WholeNumber, one_of

_RETRY = RetryPolicy()
if TYPE_CHECKING:
    RecordTypeName = RecordType
else:
    RecordTypeName = one_of(RecordType)


class RotateSection(Section):
    """`rotate`: when a file is full, and what becomes of it."""

    size: SizeBytes
    gzip: bool = False
    keep: WholeNumber | None = Field(default=None, ge=1)


class JsonlSection(Section):
    """`jsonl`: a file for each partition, one JSON object a line."""

    path: str = Field(min_length=1)
    rotate: RotateSection | None = None


class PostgresSection(Section):
    """`postgres`: rows of a table."""

    url: str
    table: str = "penstock_records"
    timeout: WaitNs = 30 * NS_PER_SECOND


class ElasticsearchSection(Section):
    """`elasticsearch`: documents, through the bulk API."""

    url: str
    index: str = "penstock"
    op_type: Literal["index", "create"] | None = None
    username: str | None = None
    password: str | None = None
    api_key: str | None = None
    timeout: WaitNs = 30 * NS_PER_SECOND
    ca_file: str | None = Field(default=None, min_length=1)


class HttpSection(Section):
    """`http`: batches of lines to a URL."""

    url: str
    headers: dict[str, str] = Field(default={})
    timeout: WaitNs = 30 * NS_PER_SECOND
    ca_file: str | None = Field(default=None, min_length=1)

    @field_validator("headers", mode="before")
    @classmethod
    def _nothing_is_no_header(cls, value: Any) -> Any:
        return {} if value is None else value


class RetrySection(Section):
    """`retry`: the pauses before what failed is tried again."""

    first: WaitNs = _RETRY.first_ns
    longest: WaitNs = _RETRY.longest_ns


KINDS = ("jsonl", "postgres", "elasticsearch", "http", "kafka", "class")


class ExporterSection(Section):
    """One record exporter: exactly one kind, which records it gets, how fast, and what happens when it fails."""

    jsonl: JsonlSection | None = None
    postgres: PostgresSection | None = None
    elasticsearch: ElasticsearchSection | None = None
    http: HttpSection | None = None
    kafka: KafkaExporterSection | None = None
    # `module:Class`, and what its constructor is given.
    class_: str | None = Field(default=None, alias="class")
    options: dict[str, Any] = Field(default={})
    value_types: list[str] | None = None
    record_types: list[RecordTypeName] | None = None
    start: Literal["beginning", "end"] = "beginning"
    max_records_per_second: Number | None = Field(default=None, gt=0)
    retry: RetrySection = RetrySection()
    on_error: Literal["reject", "stop", "retry"] = "reject"
    attempts: WholeNumber = Field(default=3, ge=1)

    @field_validator("options", mode="before")
    @classmethod
    def _nothing_is_no_option(cls, value: Any) -> Any:
        return {} if value is None else value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        written = {type(self).model_fields[name].alias for name in self.model_fields_set}
        if len(written & set(KINDS)) != 1:
            raise ValueError(f"must have exactly one of {', '.join(KINDS[:-1])} and {KINDS[-1]}")
        if "options" in written and "class" not in written:
            raise ValueError("must have options only beside class")
        return self
