"""Puts the document together; a route without a description, or one without a route, is an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from starlette.routing import BaseRoute, Route

from exporter.build import penstock_version
from exporter.management.openapi import back_pressure, exporting, flow_control, operating
from exporter.management.openapi.operation import PROBLEM, Answer, Operation
from exporter.management.openapi.schema import Schema, array, component, obj

PATH = "/openapi.json"
_PROBLEM = component("Problem")
# What any route may answer, before its own work has begun or instead of it.
_EVERYWHERE: Mapping[int, str] = {
    401: "who asks must say who it is; only where the web config has users",
    403: "a foreign host name, a page of another origin, or a user who may not change anything",
    500: "something went wrong; the log says what",
    503: "too many requests at once, or the engine is not ready for this one; `Retry-After` says when to come again",
}
_IN_FRONT = (401, 403, 503)


def openapi_document() -> Schema:
    """The document, as JSON."""
    paths: dict[str, dict[str, object]] = {}
    for operation in described():
        path = paths.setdefault(operation.path, {})
        assert operation.method not in path, f"{operation.method} {operation.path} is described twice"
        path[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock management API",
            "version": penstock_version(),
            "description": "Metrics, limits, back pressure and health of one running pipeline. Behind a bridge there "
            "are several: `?pipeline=` says on every path which one is meant. HEAD is answered wherever GET is.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"users": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"users": {"type": "http", "scheme": "basic", "description": "users of the web config"}},
            "schemas": {
                "Problem": _problem(),
                **operating.schemas(),
                **flow_control.schemas(),
                **back_pressure.schemas(),
                **exporting.schemas(),
            },
        },
    }


@cache
def described() -> tuple[Operation, ...]:
    """Every operation there is."""
    return (*operating.operations(), *flow_control.operations(), *back_pressure.operations(), *exporting.operations())


def undescribed(routes: Iterable[BaseRoute]) -> set[str]:
    """Methods and paths that are served and not described, or described and not served. Flink's catch-alls aside."""
    served = {
        f"{method.lower()} {route.path.replace(':path}', '}')}"
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD" and "{rest:path}" not in route.path and route.path != "/v1"
    }
    return served ^ {f"{operation.method} {operation.path}" for operation in described()}


def _operation(operation: Operation) -> Schema:
    answers = {**{status: _everywhere(status, operation) for status in _EVERYWHERE}, **operation.answers}
    document: Schema = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": {str(status): answers[status].document() for status in sorted(answers)},
    }
    if operation.parameters:
        document["parameters"] = [parameter.document() for parameter in operation.parameters]
    if operation.body is not None:
        content = {media_type: {"schema": schema} for media_type, schema in operation.body.items()}
        document["requestBody"] = {"required": True, "content": content}
    return document


def _everywhere(status: int, operation: Operation) -> Answer:
    content: Mapping[str, Schema | None] = {PROBLEM: _PROBLEM}
    if operation.error is not None:
        # Who may ask is found out in front of all routes, and said in one shape.
        content = {**content, **operation.error.content} if status in _IN_FRONT else operation.error.content
    return Answer(_EVERYWHERE[status], content)


def _problem() -> Schema:
    """RFC 9457."""
    return obj(
        {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "one sentence"},
        },
        {"errors": array(obj({"pointer": {"type": "string"}, "detail": {"type": "string"}}))},
    )
