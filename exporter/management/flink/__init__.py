"""Flink's monitoring REST API, as far as it makes sense for this engine: the routes that Flink's clients know."""

from exporter.management.flink.errors import errors
from exporter.management.flink.routes import is_its, routes

__all__ = ["errors", "is_its", "routes"]
