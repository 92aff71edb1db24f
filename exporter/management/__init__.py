"""The management port: metrics, health, the actuator, and the page, over HTTP."""

from exporter.management.server import ManagementServer

__all__ = ["ManagementServer"]
