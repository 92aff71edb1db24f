"""GET and POST of `/actuator/flowControl`."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from exporter.door import NotReadyError, PenstockError
from exporter.management.access import user_of
from exporter.management.flow_control.answer import Json, flow_control_answer
from exporter.management.flow_control.change import FaultyError, FlowControlChange, read_change
from exporter.management.flow_control.limits import Asked, Limits
from exporter.management.flow_control.posted import RequestError, body_of, check_query, ttl_ns_of
from exporter.management.replies import json_reply, retry_after
from exporter.management.workers import OverloadedError, Workers

PATH = "/actuator/flowControl"
_MEDIA_TYPES = (
    "application/json",
    "application/vnd.spring-boot.actuator.v2+json",
    "application/vnd.spring-boot.actuator.v3+json",
)
_log = logging.getLogger("penstock.management")


class FlowControlRoute:
    """Shows and changes the flow control of all partitions; a change reaches all of them or none."""

    def __init__(self, limits: Limits, workers: Workers) -> None:
        self._limits = limits
        self._workers = workers

    async def handle(self, request: Request) -> Response:
        try:
            if request.method == "POST":
                return await self._post(request)
            return json_reply(await self._workers.run(self._answer))
        except Exception as error:
            return _failed(error, request.method)

    async def _post(self, request: Request) -> Response:
        body = await body_of(request, _MEDIA_TYPES)
        check_query(request, "ttl")
        asked = Asked(ttl_ns=ttl_ns_of(request), by=user_of(request))
        change = read_change(body)
        return json_reply(await self._workers.run(lambda: self._change(change, asked)))

    def _answer(self) -> Json:
        engine = self._limits.engine
        return flow_control_answer(engine.flow_settings(), engine.request_limiter_states())

    def _change(self, change: FlowControlChange, asked: Asked) -> Json:
        self._limits.change(change, asked)
        return self._answer()


def _failed(error: Exception, method: str) -> Response:
    match error:
        case RequestError():
            return failure(error.status, str(error), error.field)
        case FaultyError():
            fault = error.faults[0]
            # A value that breaks its bound is answered with 500 in the model system, and so it is here.
            return failure(500 if fault.refused else 400, fault.text, fault.field)
        case NotReadyError():
            return failure(503, str(error), headers=retry_after(error))
        case PenstockError():
            return failure(500, str(error))
        case OverloadedError():
            return failure(503, "too many requests at once", headers={"Retry-After": "1"})
        case _:
            _log.exception("%s %s failed", method, PATH, exc_info=error)
            return failure(500, "flow control could not be read or changed; the log says why")


def failure(status: int, text: str, field: str | None = None, *, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the shape of this endpoint."""
    return json_reply({"error": text, "field": field}, status, headers=headers)
