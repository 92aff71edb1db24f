"""What one method of one path does, as a description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from exporter.management.openapi.schema import Schema

JSON = "application/json"
PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something in the query, the path or the head of a request."""

    name: str
    where: Literal["query", "path", "header"]
    description: str
    schema: Schema
    is_list: bool = False

    def document(self) -> Schema:
        document: Schema = {
            "name": self.name,
            "in": self.where,
            "description": self.description,
            "required": self.where == "path",
            "schema": {"type": "array", "items": self.schema} if self.is_list else self.schema,
        }
        return {**document, "style": "form", "explode": True} if self.is_list else document


@dataclass(frozen=True, slots=True)
class Answer:
    """One status: what it means, and by media type what comes with it; None for a body that has no schema."""

    description: str
    content: Mapping[str, Schema | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> Schema:
        document: Schema = {"description": self.description}
        if self.content:
            document["content"] = {
                media_type: {} if schema is None else {"schema": schema} for media_type, schema in self.content.items()
            }
        if self.headers:
            document["headers"] = {
                name: {"description": description, "schema": {"type": "string"}}
                for name, description in self.headers.items()
            }
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method of a path. `answers` are those that are its own; what every route may answer is added to them."""

    path: str
    method: Literal["get", "post", "patch", "delete"]
    name: str
    tag: str
    summary: str
    answers: Mapping[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    # By media type; a body that is described must be sent.
    body: Mapping[str, Schema] | None = None
    # The shape of errors that are not its own.
    error: Answer | None = None


def json(description: str, schema: Schema, **headers: str) -> Answer:
    return Answer(description, {JSON: schema}, {name.replace("_", "-"): told for name, told in headers.items()})
