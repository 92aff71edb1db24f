"""Metrics and traces for an OpenTelemetry collector, from a program that embeds Penstock."""

from engine.core.observing import BatchObserver, BatchOutcome, Mark, ProcessedBatch
from exporter.otlp import OtlpSettings, TraceSettings
from exporter.otlp.pusher import OtlpPusher
from exporter.otlp.tracer import BatchTracer

__all__ = [
    "BatchObserver",
    "BatchOutcome",
    "BatchTracer",
    "Mark",
    "OtlpPusher",
    "OtlpSettings",
    "ProcessedBatch",
    "TraceSettings",
]
