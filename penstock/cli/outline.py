"""What a file asks for, in words: the answer of `penstock check`."""

from __future__ import annotations

from engine.core.durations import format_duration
from engine.flow.settings import FlowControlSettings, RequestLimitSettings, WriteLimitSettings
from engine.options import EngineOptions
from exporter.gateway.settings import GatewaySettings
from penstock.settings import BackPressureSettings, ManagementSettings, RunSettings


def outline(settings: RunSettings) -> str:
    """A few aligned lines: the tasks from left to right, then what stands around them."""
    pipeline = settings.pipeline
    partitions = f"{pipeline.partitions} partition{'s' if pipeline.partitions > 1 else ''}"
    if settings.workers > 1:
        partitions += f" over {settings.workers} worker processes"
    rows = [(task.kind, task.name, task.what) for task in settings.outline]
    rows += [(part, "", what) for part, what in _around(settings).items()]
    kinds = max(len(kind) for kind, _, _ in rows)
    names = max(len(name) for _, name, _ in rows)
    lines = [
        f"  {kind:{kinds}}  {name:{names}}  {what}" if name else f"  {kind:{kinds}}  {what}"
        for kind, name, what in rows
    ]
    return "\n".join([f"{settings.file} is fine: pipeline {pipeline.name}, {partitions}", *lines])


def outline_document(settings: RunSettings, warnings: list[str]) -> dict[str, object]:
    """The same for programs."""
    return {
        "file": str(settings.file),
        "pipeline": settings.pipeline.name,
        "partitions": settings.pipeline.partitions,
        "workers": settings.workers,
        "tasks": [{"kind": task.kind, "name": task.name, "what": task.what} for task in settings.outline],
        "around": _around(settings),
        "warnings": warnings,
    }


def _around(settings: RunSettings) -> dict[str, str]:
    return {
        "data": f"{settings.data} ({_storage(settings.options)})",
        "flow control": _flow_control(settings.flow_control),
        "back pressure": _back_pressure(settings.back_pressure),
        "management": _management(settings.management),
        "gateway": _gateway(settings.gateway),
    }


def _storage(options: EngineOptions) -> str:
    if options.storage == "memory":
        return "in memory, nothing outlives the process"
    if options.kafka is not None:
        return f"a cache; the log is in Kafka at {options.kafka.connection.bootstrap_servers}"
    survives = "a crash of the machine" if options.synchronous == "FULL" else "a crash of the process"
    return f"in files, acknowledged writes survive {survives}"


def _flow_control(settings: FlowControlSettings) -> str:
    return f"{_write(settings.write)}; {_request(settings.request)}"


def _write(write: WriteLimitSettings | None) -> str:
    if write is None or not write.enabled:
        return "writes are not limited"
    text = f"at most {write.limit} records per second and partition"
    if write.ramp_up_ns:
        text += f" after a ramp-up of {format_duration(write.ramp_up_ns)}"
    throttling = write.throttling
    if throttling.enabled:
        text += (
            f", slowed down to {throttling.minimum_limit} at the least to keep the exporting backlog near "
            f"{throttling.acceptable_backlog}"
        )
    return text


def _request(request: RequestLimitSettings) -> str:
    return f"requests in flight limited by {request.algorithm}" if request.enabled else "requests are not limited"


def _back_pressure(settings: BackPressureSettings) -> str:
    apart = format_duration(settings.delay_between_samples_ns)
    return f"{settings.mode}, {settings.num_samples} samples, {apart} apart"


def _management(settings: ManagementSettings) -> str:
    return f"http://{settings.host}:{settings.port}" if settings.enabled else "no port"


def _gateway(gateway: GatewaySettings | None) -> str:
    return "no port" if gateway is None else f"http://{gateway.host}:{gateway.port}{gateway.context_path}/v1/records"
