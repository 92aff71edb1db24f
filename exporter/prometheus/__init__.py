"""The engine's metrics for Prometheus: what `/metrics` says, and a collector for embedders.

The collector is imported from `exporter.prometheus.collector`, so that only those who use prometheus_client
load it.
"""

from exporter.prometheus.exposition import Exposer, Exposition
from exporter.prometheus.formats import Format
from exporter.prometheus.writer import ExpositionWriter

__all__ = ["Exposer", "Exposition", "ExpositionWriter", "Format"]
