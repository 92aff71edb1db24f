"""What a run needs, read from a file and the environment: `load_settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from engine.backpressure.settings import BackPressureSettings
from engine.core.errors import SettingError
from engine.core.extras import need
from engine.core.observing import BatchObserver, ObserverFactory
from engine.core.secrets import Secrets
from engine.flow.settings import FlowControlSettings
from engine.kafka.settings import KafkaLogSettings
from engine.options import EngineOptions
from engine.runtime.pipeline import Pipeline
from exporter.gateway.settings import GatewaySettings
from exporter.otlp.settings import OtlpSettings, TraceSettings
from penstock.settings.composition import Composer, TaskOutline
from penstock.settings.document import read_document
from penstock.settings.entries import Mistake, Place
from penstock.settings.environment import read_environment
from penstock.settings.kafka import log_settings
from penstock.settings.mistakes import mistake_of, mistake_of_rule
from penstock.settings.schema import GatewaySection, ManagementSection, OtlpSection, Root
from penstock.settings.secrets import secrets_of
from penstock.settings.sections import BrokenRule, settings_of
from penstock.settings.spelling import understand


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementSettings:
    """Where the management port listens, if it does."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 9600
    # Names by which it may be asked for, besides the host's own; * is any.
    hosts: tuple[str, ...] = ()
    # TLS, headers and users of all ports.
    web_config: Path | None = None
    # What users of the web config may do; those not named may read.
    access: Mapping[str, Literal["read", "change"]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingSettings:
    """How much is logged, and for whom."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """All of it, checked. Nothing has started and no folder was made."""

    file: Path
    # User code in it is imported, unless it was left to the workers.
    pipeline: Pipeline
    workers: int
    # The pipeline's tasks in words, from left to right.
    outline: tuple[TaskOutline, ...]
    data: Path
    flow_control: FlowControlSettings
    options: EngineOptions
    back_pressure: BackPressureSettings
    management: ManagementSettings
    # None where no port takes records.
    gateway: GatewaySettings | None
    # None where nothing is pushed.
    otlp: OtlpSettings | None
    # None where nothing is traced; else the pipeline observes itself so.
    traces: TraceSettings | None
    logging: LoggingSettings
    # What of all this nobody may read.
    secrets: Secrets = field(default=Secrets(), repr=False)
    # One sentence each, for the log.
    warnings: tuple[str, ...]


def load_settings(file: Path, environment: Mapping[str, str], *, leave_code_to_workers: bool = False) -> RunSettings:
    """Reads `file`, puts the environment over it and checks everything before anything runs.

    Where there are workers user code may be left to them: this process then never imports it.
    Raises `ConfigurationError` with one line: the place, the rule, the value.
    """
    understood = understand(read_document(file), read_environment(environment))
    entries = understood.entries
    try:
        root = Root.model_validate(entries.nested())
        flow_control = settings_of(FlowControlSettings, root.flow_control, ("flowControl",))
        back_pressure = settings_of(BackPressureSettings, root.web.backpressure, ("web", "backpressure"))
    except ValidationError as error:
        raise mistake_of(error, entries, str(file)) from None
    except BrokenRule as error:
        raise mistake_of_rule(error, entries, str(file)) from None
    composer = Composer(entries, file, imports_code=root.workers == 1 or not leave_code_to_workers)
    kafka = _kafka(root, composer)
    if kafka is not None:
        composer.default_cluster = kafka.connection
    gateway = _gateway(root.gateway, composer)
    if not root.pipeline.sources and gateway is None:
        raise Mistake(composer.place(("pipeline", "sources")), "is missing, and there is no gateway to bring records")
    pipeline = composer.compose(root.pipeline)
    traces = _traces(root.otlp, composer)
    if traces is not None:
        pipeline.observe(_tracing(traces))
    if root.workers > pipeline.partitions:
        place = entries.place(("workers",)) or Place(str(file), ("workers",))
        raise Mistake(place, f"must not exceed the number of partitions ({pipeline.partitions}), not {root.workers}")
    return RunSettings(
        file=file,
        secrets=secrets_of(root, environment),
        pipeline=pipeline,
        workers=root.workers,
        outline=tuple(composer.outline),
        data=composer.path(root.data.path, ("data", "path")),
        flow_control=flow_control,
        options=EngineOptions(
            synchronous=root.data.synchronous,
            storage=root.data.storage,
            kafka=kafka if root.data.storage == "kafka" else None,
            free_space_bytes=root.data.free_space,
            retained_records=root.data.retained_records,
            buffer_records=root.engine.buffer_records,
            processing_batch_records=root.engine.processing_batch_records,
            export_batch_records=root.engine.export_batch_records,
            outbox_records_max=root.engine.outbox_records,
            drain_timeout_ns=root.engine.drain_timeout,
            run_forever=gateway is not None,
            back_pressure=back_pressure,
        ),
        back_pressure=back_pressure,
        management=_management(root.management, composer),
        gateway=gateway,
        otlp=_otlp(root.otlp, composer),
        traces=traces,
        logging=LoggingSettings(format=root.logging.format, level=root.logging.level),
        warnings=_warnings(understood.ignored),
    )


def load_management(file: Path, environment: Mapping[str, str]) -> ManagementSettings:
    """Where the management port of `file` is, without looking at anything that the pipeline is made of."""
    entries = understand(read_document(file), read_environment(environment)).entries
    try:
        root = Root.model_validate(entries.nested())
    except ValidationError as error:
        raise mistake_of(error, entries, str(file)) from None
    return _management(root.management, Composer(entries, file, imports_code=False))


def _management(section: ManagementSection, composer: Composer) -> ManagementSettings:
    return ManagementSettings(
        enabled=section.enabled,
        host=section.host,
        port=section.port,
        hosts=tuple(section.hosts),
        web_config=_web_config(composer, section.web_config),
        access=section.access,
    )


def _kafka(root: Root, composer: Composer) -> KafkaLogSettings | None:
    """The cluster of the log, which sources and exporters may have too; what cannot be with it is refused."""
    is_log = root.data.storage == "kafka"
    if not is_log and root.data.kafka.bootstrap_servers is None:
        return None
    settings = log_settings(root.data.kafka, composer)
    if not is_log:
        return settings
    if root.workers > 1:
        raise Mistake(
            composer.place(("workers",)),
            "must be 1 with data.storage: kafka; run the same file on more machines instead",
        )
    for name, source in root.pipeline.sources.items():
        for kind in ("lines", "generator"):
            if kind in source.model_fields_set:
                raise Mistake(
                    composer.place(("pipeline", "sources", name, kind)),
                    "cannot be with data.storage: kafka: a pipeline in Kafka may run on any machine, and each would "
                    "read its own; bring the records by the gateway or by a topic (kafka: {topic: …})",
                )
    return settings


def _gateway(section: GatewaySection, composer: Composer) -> GatewaySettings | None:
    if not section.is_on:
        return None
    composer.placed(("gateway",), lambda: need("gateway", "httptools", "uvloop"))
    try:
        return GatewaySettings(
            host=section.host,
            port=section.port,
            context_path=section.context_path,
            body_bytes_max=section.max_body_size,
            bodies_bytes_max=section.max_bodies_size,
            records_max=section.max_records,
            connections_max=section.max_connections,
            request_timeout_ns=section.request_timeout,
        )
    except SettingError as error:
        raise Mistake(composer.place(("gateway", error.field)), f"{error.rule}, not {error.value}") from None


def _otlp(section: OtlpSection, composer: Composer) -> OtlpSettings | None:
    if section.endpoint is None:
        return None
    composer.placed(("otlp", "endpoint"), _needs_opentelemetry)
    try:
        return OtlpSettings(
            endpoint=section.endpoint,
            interval_ns=section.interval,
            timeout_ns=section.timeout,
            compression=section.compression,
            headers=section.headers,
        )
    except SettingError as error:
        raise Mistake(composer.place(("otlp", *error.field.split("."))), f"{error.rule}, not {error.value}") from None


def _traces(section: OtlpSection, composer: Composer) -> TraceSettings | None:
    traces = section.traces
    if not traces.is_on:
        return None
    endpoint = traces.endpoint or section.endpoint
    if endpoint is None:
        raise Mistake(composer.place(("otlp", "traces", "endpoint")), "is missing, and otlp.endpoint too")
    composer.placed(("otlp", "traces"), _needs_opentelemetry)
    try:
        return TraceSettings(
            endpoint=endpoint,
            timeout_ns=section.timeout,
            compression=section.compression,
            headers=section.headers,
            ratio=traces.ratio,
            queue_spans=traces.queue_spans,
        )
    except SettingError as error:
        is_of_traces = error.field in ("ratio", "queueSpans") or (error.field == "endpoint" and traces.endpoint)
        at = ("otlp", "traces", error.field) if is_of_traces else ("otlp", *error.field.split("."))
        raise Mistake(composer.place(at), f"{error.rule}, not {error.value}") from None


def _needs_opentelemetry() -> None:
    need("otlp", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def _tracing(settings: TraceSettings) -> ObserverFactory:
    def observer(pipeline: str) -> BatchObserver:
        # Here, because who traces nothing needs no OpenTelemetry.
        from exporter.otlp.tracer import BatchTracer

        return BatchTracer(pipeline, settings).start()

    return observer


def _web_config(composer: Composer, written: str | None) -> Path | None:
    return None if written is None else composer.path(written, ("management", "webConfig"))


def _warnings(ignored: tuple[str, ...]) -> tuple[str, ...]:
    if not ignored:
        return ()
    return (f"only flow control is read below zeebe and camunda; ignored: {', '.join(ignored)}",)
