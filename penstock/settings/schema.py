"""The whole file, section by section: which keys there are and what may stand there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from engine.backpressure.settings import BackPressureSettings
from engine.flow.settings import FlowControlSettings
from engine.options import EngineOptions, StorageKind
from engine.sources.csv_dialect import ColumnNames
from engine.sources.line_splitter import LINE_BYTES_MAX
from engine.sources.lines import LineFormat
from engine.sources.traffic import BURST_NS, PERIOD_NS, Shape
from exporter.gateway.settings import GatewaySettings
from exporter.otlp.settings import INTERVAL_NS as OTLP_INTERVAL_NS
from exporter.otlp.settings import QUEUE_SPANS
from exporter.otlp.settings import TIMEOUT_NS as OTLP_TIMEOUT_NS
from penstock.settings.exporters import ExporterSection
from penstock.settings.kafka import KafkaLogSection, KafkaSourceSection
from penstock.settings.sections import Number, Section, SizeBytes, WaitNs, WholeNumber, one_of, section_of

OnError = Literal["reject", "stop"]
_DEFAULT = EngineOptions()
_GATEWAY = GatewaySettings()
if TYPE_CHECKING:
    # What the type checker may know of classes that are made below.
    FlowControlSection = Section
    BackPressureSection = Section
    ShapeName = Shape
else:
    FlowControlSection = section_of(FlowControlSettings)
    BackPressureSection = section_of(BackPressureSettings, hyphens=True)
    ShapeName = one_of(Shape)


class LinesSection(Section):
    """`lines`: the lines of files, packed or growing ones, of standard input; or rows of CSV, or JSON."""

    path: str = Field(min_length=1)
    format: LineFormat = "lines"
    type: str | None = Field(default=None, min_length=1)
    encoding: str | None = Field(default=None, min_length=1)
    delimiter: str | None = Field(default=None, min_length=1)
    quote: str = '"'
    escape: str | None = Field(default=None, min_length=1)
    lazy_quotes: bool = False
    columns: list[str] | None = Field(default=None, min_length=1)
    column_names: ColumnNames = "refuse"
    follow: bool = False
    max_line_bytes: WholeNumber = Field(default=LINE_BYTES_MAX, ge=1)


class GeneratorSection(Section):
    """`generator`: made-up records at a chosen pace."""

    shape: ShapeName = Shape.STEADY
    rate: Number = 1000.0
    peak: Number | None = None
    period: WaitNs = PERIOD_NS
    burst: WaitNs = BURST_NS
    keys: WholeNumber = 100
    seed: WholeNumber = 0
    count: WholeNumber | None = None


class SourceSection(Section):
    """One source: exactly one kind, and what happens to values that cannot be read."""

    lines: LinesSection | None = None
    generator: GeneratorSection | None = None
    kafka: KafkaSourceSection | None = None
    on_error: OnError = "reject"

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if len({"lines", "generator", "kafka"} & self.model_fields_set) != 1:
            raise ValueError("must have exactly one of lines, generator and kafka")
        return self


class StepSection(Section):
    """One transform: exactly one of map, filter, flatMap, mapBatch, with the function as `module:name`."""

    map: str | None = None
    filter: str | None = None
    flat_map: str | None = None
    map_batch: str | None = None
    parallelism: WholeNumber = Field(default=1, ge=1, le=1024)
    on_error: OnError = "reject"

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if len({"map", "filter", "flat_map", "map_batch"} & self.model_fields_set) != 1:
            raise ValueError("must have exactly one of map, filter, flatMap and mapBatch")
        return self


class ProcessorSection(Section):
    """The processor: `module:Class`, or that under `class` with more keys beside it."""

    class_: str = Field(alias="class")
    name: str = "processor"
    on_error: OnError = "reject"
    attempts: WholeNumber = Field(default=3, ge=1)


class PipelineSection(Section):
    """`pipeline`: what runs."""

    name: str
    partitions: WholeNumber = Field(default=1, ge=1, le=1024)
    sources: dict[str, SourceSection] = Field(default={})
    transforms: list[dict[str, StepSection]] = Field(default=[])
    key: str | None = None
    value_type: str = Field(default="record", min_length=1)
    processor: ProcessorSection | None = None
    always_allowed: list[str] = Field(default=[])
    exporters: dict[str, ExporterSection] = Field(default={})

    @field_validator("transforms", mode="before")
    @classmethod
    def _nothing_is_no_step(cls, value: Any) -> Any:
        return [] if value is None else value

    @field_validator("sources", "exporters", mode="before")
    @classmethod
    def _nothing_is_none(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("always_allowed")
    @classmethod
    def _intents(cls, value: list[str]) -> list[str]:
        for intent in value:
            if not all(intent.split("/", 1)):
                raise ValueError("must be a list of intents, like complete or job/complete")
        return value

    @field_validator("transforms")
    @classmethod
    def _one_name_a_step(cls, value: list[dict[str, StepSection]]) -> list[dict[str, StepSection]]:
        for step in value:
            if len(step) != 1:
                raise ValueError("must be a list of steps with one name each, like - parse: {map: …}")
        return value


def _all_or_number(value: Any) -> Any:
    if isinstance(value, str) and value.strip().lower() == "all":
        return None
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise ValueError("must be a whole number of records, or all")
    return value


# Records that stay behind what everybody is done with; None, written `all`, keeps every one.
Retained = Annotated[int | None, BeforeValidator(_all_or_number)]


class DataSection(Section):
    """`data`: where and how the log is stored."""

    path: str = Field(default="data", min_length=1)
    storage: StorageKind = _DEFAULT.storage
    kafka: KafkaLogSection = KafkaLogSection()
    synchronous: Literal["FULL", "NORMAL"] = _DEFAULT.synchronous
    free_space: SizeBytes = _DEFAULT.free_space_bytes
    retained_records: Retained = _DEFAULT.retained_records

    @field_validator("synchronous", mode="before")
    @classmethod
    def _in_any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


class EngineSection(Section):
    """`engine`: sizes and times of the machine room."""

    buffer_records: WholeNumber = Field(default=_DEFAULT.buffer_records, ge=1)
    processing_batch_records: WholeNumber = Field(default=_DEFAULT.processing_batch_records, ge=1)
    export_batch_records: WholeNumber = Field(default=_DEFAULT.export_batch_records, ge=1)
    outbox_records: WholeNumber = Field(default=_DEFAULT.outbox_records_max, ge=1)
    drain_timeout: WaitNs = _DEFAULT.drain_timeout_ns


class WebSection(Section):
    """`web`: the keys of Flink's monitor."""

    backpressure: BackPressureSection = BackPressureSection()


class ManagementSection(Section):
    """`management`: the port with the page, the metrics and the API."""

    enabled: bool = True
    host: str = Field(default="127.0.0.1", min_length=1)
    port: WholeNumber = Field(default=9600, ge=0, le=65535)
    # Names besides the host's own under which it may be asked; * is any.
    hosts: list[str] = Field(default=[])
    # TLS and users, for the gateway too.
    web_config: str | None = Field(default=None, min_length=1)
    # Users of the web config who are not named here may read.
    access: dict[str, Literal["read", "change"]] = Field(default={})

    @field_validator("access", mode="before")
    @classmethod
    def _nothing_is_nobody(cls, value: Any) -> Any:
        return {} if value is None else value


class GatewaySection(Section):
    """`gateway`: the port that takes records. On as soon as anything is said of it."""

    enabled: bool | None = None
    host: str = Field(default=_GATEWAY.host, min_length=1)
    port: WholeNumber = Field(default=_GATEWAY.port, ge=0, le=65535)
    context_path: str = _GATEWAY.context_path
    max_body_size: SizeBytes = _GATEWAY.body_bytes_max
    max_bodies_size: SizeBytes = _GATEWAY.bodies_bytes_max
    max_records: WholeNumber = Field(default=_GATEWAY.records_max, ge=1)
    max_connections: WholeNumber = Field(default=_GATEWAY.connections_max, ge=1)
    request_timeout: WaitNs = _GATEWAY.request_timeout_ns

    @property
    def is_on(self) -> bool:
        return self.enabled if self.enabled is not None else bool(self.model_fields_set)


class TracesSection(Section):
    """`otlp.traces`: a span for each processed batch. On when it is enabled, or has an endpoint of its own."""

    enabled: bool | None = None
    endpoint: str | None = Field(default=None, min_length=1)
    ratio: Number = 1.0
    queue_spans: WholeNumber = QUEUE_SPANS

    @property
    def is_on(self) -> bool:
        return self.enabled if self.enabled is not None else self.endpoint is not None


class OtlpSection(Section):
    """`otlp`: metrics and traces pushed to an OpenTelemetry collector; metrics are off without an endpoint."""

    endpoint: str | None = Field(default=None, min_length=1)
    interval: WaitNs = OTLP_INTERVAL_NS
    timeout: WaitNs = OTLP_TIMEOUT_NS
    compression: Literal["gzip", "none"] = "gzip"
    headers: dict[str, str] = Field(default={})
    traces: TracesSection = TracesSection()

    @field_validator("headers", mode="before")
    @classmethod
    def _nothing_is_no_header(cls, value: Any) -> Any:
        return {} if value is None else value


class LoggingSection(Section):
    """`logging`: lines for people or for machines."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("format", "level", mode="before")
    @classmethod
    def _in_any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class Root(Section):
    """The file."""

    pipeline: PipelineSection
    # Processes that the pipeline is spread over.
    workers: WholeNumber = Field(default=1, ge=1, le=256)
    data: DataSection = DataSection()
    engine: EngineSection = EngineSection()
    flow_control: FlowControlSection = FlowControlSection()
    web: WebSection = WebSection()
    management: ManagementSection = ManagementSection()
    gateway: GatewaySection = GatewaySection()
    otlp: OtlpSection = OtlpSection()
    logging: LoggingSection = LoggingSection()
