"""Flink's monitoring REST API, as far as it makes sense for this engine: the routes that Flink's clients know."""

from exporter.management.flink.routes import routes

__all__ = ["routes"]
