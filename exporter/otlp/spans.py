"""Processed batches as OpenTelemetry's spans, in the words of its messaging conventions where they fit."""

from __future__ import annotations

import os
from dataclasses import dataclass

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from exporter.build import penstock_version
from exporter.door import NS_PER_SECOND, BatchOutcome, Mark, ProcessedBatch
from exporter.otlp.points import resource

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
# A text of user code may be of any length.
_ERROR_LENGTH_MAX = 500


@dataclass(frozen=True, slots=True)
class Identity:
    """What a span is found by. Each batch is a trace of its own."""

    trace_id: int
    span_id: int

    @property
    def mark(self) -> Mark:
        """As W3C Trace Context writes them, under the names by which exemplars lead to traces."""
        return ("trace_id", f"{self.trace_id:032x}"), ("span_id", f"{self.span_id:016x}")


def tracing_resource(pipeline: str) -> Resource:
    """Who traces: as for metrics, and which of its processes."""
    return resource(pipeline).merge(Resource({"process.pid": os.getpid()}))


def span_of(batch: ProcessedBatch, identity: Identity, pipeline: str, who: Resource) -> ReadableSpan:
    """The span of one batch, from its first record in hand until it was durable."""
    attributes: dict[str, str | int | float | list[str]] = {
        "messaging.system": "penstock",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": pipeline,
        "messaging.destination.partition.id": str(batch.partition),
        "messaging.batch.message_count": batch.commands,
        "penstock.pipeline": pipeline,
        "penstock.partition": batch.partition,
        "penstock.task": batch.task,
        "penstock.position.first": batch.first_position,
        "penstock.position.last": batch.last_position,
        "penstock.batch.outcome": str(batch.outcome),
        "penstock.batch.trigger": [str(source) for source in batch.triggers],
        "penstock.batch.rejected": batch.rejected,
        "penstock.batch.written": batch.written,
        "penstock.batch.work_seconds": batch.worked_ns / NS_PER_SECOND,
    }
    status = Status(StatusCode.UNSET)
    if batch.error is not None:
        kind, text = batch.error
        attributes["error.type"] = kind
        status = Status(StatusCode.ERROR, f"{kind}: {text}"[:_ERROR_LENGTH_MAX])
    assert (batch.outcome is BatchOutcome.FAILED) == (batch.error is not None), "what failed says why"
    return ReadableSpan(
        name=f"process {pipeline}",
        context=SpanContext(identity.trace_id, identity.span_id, is_remote=False, trace_flags=_SAMPLED),
        resource=who,
        attributes=attributes,
        kind=SpanKind.CONSUMER,
        status=status,
        start_time=batch.started_wall_ns,
        end_time=batch.ended_wall_ns,
        instrumentation_scope=InstrumentationScope("penstock", penstock_version()),
    )
