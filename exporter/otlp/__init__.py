"""Pushes the metrics to an OpenTelemetry collector, from the same snapshots that scrapes are told from.

The pusher is imported from `exporter.otlp.pusher`, so that only those who push load OpenTelemetry.
"""

from exporter.otlp.settings import OtlpSettings

__all__ = ["OtlpSettings"]
