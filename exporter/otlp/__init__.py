"""Pushes metrics and spans to an OpenTelemetry collector: metrics from the same snapshots that scrapes are told from.

The pusher and the tracer are imported from `exporter.otlp.pusher` and `exporter.otlp.tracer`, so that only those who
push load OpenTelemetry.
"""

from exporter.otlp.settings import OtlpSettings, TraceSettings

__all__ = ["OtlpSettings", "TraceSettings"]
