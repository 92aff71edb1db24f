"""Few words in which the shapes of JSON values are written (JSON Schema 2020-12)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

Schema = dict[str, object]

STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
RATIO: Schema = {"type": "number", "minimum": 0, "maximum": 1}
ANY_OBJECT: Schema = {"type": "object"}
# Flink's ids of jobs and vertices.
ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def unix_seconds(description: str = "Unix time in seconds") -> Schema:
    return {"type": "number", "description": description}


def said(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def nullable(schema: Schema) -> Schema:
    """The value, or null for what is unknown or does not apply."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def one_of(values: type[StrEnum] | Iterable[str]) -> Schema:
    return {"type": "string", "enum": [str(value) for value in values]}


def obj(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def by_key(of: Schema, description: str) -> Schema:
    """An object with any keys, all of whose values are alike."""
    return {"type": "object", "additionalProperties": of, "description": description}


def component(name: str) -> Schema:
    """A schema that stands under its name in the document."""
    return {"$ref": f"#/components/schemas/{name}"}
