"""`/openapi.json`: OpenAPI 3.1 of every route, made from descriptions that stand beside one another here."""

from exporter.management.openapi.document import PATH, openapi_document

__all__ = ["PATH", "openapi_document"]
