"""GET, PATCH and DELETE of `/api/flow-control`: what operators need besides the documented endpoint."""

from __future__ import annotations

from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import Response

from exporter.door import NotReadyError, PenstockError
from exporter.management.access import user_of
from exporter.management.flow_control.change import FaultyError, FlowControlChange, read_change
from exporter.management.flow_control.limits import (
    Asked,
    ChangedMeanwhileError,
    Limits,
    Outcome,
    UnknownPartitionError,
)
from exporter.management.flow_control.posted import (
    RequestError,
    body_of,
    check_query,
    is_dry_run,
    partitions_of,
    tags_of,
    ttl_ns_of,
)
from exporter.management.flow_control.state import Json, changes, limits_state
from exporter.management.replies import json_reply, not_ready, problem
from exporter.management.workers import Workers

PATH = "/api/flow-control"
METHODS = ["GET", "PATCH", "DELETE"]
_MEDIA_TYPES = ("application/merge-patch+json", "application/json")


class FlowControlApi:
    """Shows the effective limits of all partitions or some, patches them, and brings the configured ones back."""

    def __init__(self, limits: Limits, workers: Workers) -> None:
        self._limits = limits
        self._workers = workers

    async def handle(self, request: Request) -> Response:
        serve = {"PATCH": self._patch, "DELETE": self._delete}.get(request.method, self._get)
        try:
            return await serve(request)
        except (RequestError, FaultyError, UnknownPartitionError, ChangedMeanwhileError, PenstockError) as error:
            return _refused(error)

    async def _get(self, request: Request) -> Response:
        check_query(request, "partition")
        partitions = partitions_of(request)
        return _reply(*await self._workers.run(lambda: self._state(partitions)))

    async def _patch(self, request: Request) -> Response:
        body = await body_of(request, _MEDIA_TYPES)
        check_query(request, "partition", "dry_run", "ttl")
        asked = _asked(request)
        change = read_change(body, merge_patch=True)
        return _reply(*await self._workers.run(lambda: self._changed(asked, change)))

    async def _delete(self, request: Request) -> Response:
        check_query(request, "partition", "dry_run")
        asked = _asked(request)
        return _reply(*await self._workers.run(lambda: self._changed(asked, None)))

    def _state(self, partitions: Collection[int] | None) -> tuple[Json, str]:
        # The tag first: who changes something in between is refused rather than missed.
        tag = self._limits.tag()
        present = self._limits.engine.flow_settings()
        for number in sorted(partitions or ()):
            if number not in present:
                raise UnknownPartitionError(number, present)
        return limits_state(self._limits.engine, partitions), tag

    def _changed(self, asked: Asked, change: FlowControlChange | None) -> tuple[Json, str]:
        """Makes the change, or without one reverts; says what became of it, and how things stand now."""
        outcome: Outcome = self._limits.revert(asked) if change is None else self._limits.change(change, asked)
        state, tag = self._state(asked.partitions)
        return {"dryRun": asked.dry_run, "changes": changes(outcome), **state}, tag


_ACCEPT_PATCH = {"Accept-Patch": ", ".join(_MEDIA_TYPES)}


def _asked(request: Request) -> Asked:
    return Asked(
        partitions=partitions_of(request),
        tags=tags_of(request),
        dry_run=is_dry_run(request),
        ttl_ns=ttl_ns_of(request),
        by=user_of(request),
    )


def _reply(content: Json, tag: str) -> Response:
    return json_reply(content, headers={"ETag": f'"{tag}"'})


def _refused(error: Exception) -> Response:
    match error:
        case FaultyError():
            return _faulty(error)
        case RequestError():
            return problem(error.status, str(error), headers=_ACCEPT_PATCH if error.status == 415 else None)
        case UnknownPartitionError():
            return problem(404, str(error))
        case NotReadyError():
            return not_ready(error)
        case ChangedMeanwhileError():
            return problem(412, "the limits are no longer those of If-Match; look at them again")
        case _:
            return problem(500, str(error))


def _faulty(error: FaultyError) -> Response:
    """All that is wrong at once: 400 for what is no JSON object, 422 for what stands in one."""
    whole = any(not fault.path for fault in error.faults)
    detail = error.faults[0].text
    if len(error.faults) > 1:
        detail = f"{len(error.faults)} values cannot stand; the first: {detail}"
    errors = [{"pointer": fault.pointer, "detail": fault.text} for fault in error.faults]
    return problem(400 if whole else 422, detail, errors=errors)
