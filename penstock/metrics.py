"""Penstock's metrics for a program that has a registry of prometheus_client of its own."""

from exporter.prometheus.collector import PenstockCollector

__all__ = ["PenstockCollector"]
