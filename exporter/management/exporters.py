"""`/api/exporters`: how each record exporter is doing, and pausing one; `/actuator/exporting`: all, as Zeebe has it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core.pause import Pause
from engine.core.snapshot import EngineSnapshot, ExporterSnapshot, ExporterState, PartitionSnapshot, VertexKind
from exporter.door import NS_PER_SECOND, ExportersDoor, check_ready, check_running
from exporter.management.access import user_of
from exporter.management.replies import json_reply, problem
from exporter.management.workers import Workers

PATH = "/api/exporters"
ALL_PATH = "/actuator/exporting"
# What all partitions of an exporter come to: the first of these that one of them is in.
STATES_BY_CONCERN = (ExporterState.RETRYING, ExporterState.PAUSED, ExporterState.EXPORTING, ExporterState.CLOSED)
Json = dict[str, object]
_SOFT_IS = "soft is true or false"


def routes(engine: ExportersDoor, workers: Workers) -> list[Route]:
    route = _ExportersRoute(engine, workers)
    return [
        Route(PATH, route.get, methods=["GET"]),
        Route(f"{PATH}/{{name}}/pause", route.pause, methods=["POST"]),
        Route(f"{PATH}/{{name}}/resume", route.resume, methods=["POST"]),
        Route(f"{ALL_PATH}/pause", route.pause_all, methods=["POST"]),
        Route(f"{ALL_PATH}/resume", route.resume_all, methods=["POST"]),
    ]


class _ExportersRoute:
    """GET is a pure look. A pause holds until it is ended, over restarts too."""

    def __init__(self, engine: ExportersDoor, workers: Workers) -> None:
        self._engine = engine
        self._workers = workers

    async def get(self, _request: Request) -> Response:
        return json_reply(await self._workers.run(self._document))

    async def pause(self, request: Request) -> Response:
        return await self._paused(request, paused=True)

    async def resume(self, request: Request) -> Response:
        return await self._paused(request, paused=False)

    async def pause_all(self, request: Request) -> Response:
        return await self._all_paused(request, paused=True)

    async def resume_all(self, request: Request) -> Response:
        return await self._all_paused(request, paused=False)

    async def _paused(self, request: Request, *, paused: bool) -> Response:
        name = request.path_params["name"]
        soft = _is_soft(request)
        if soft is None:
            return problem(400, _SOFT_IS)
        found = await self._workers.run(partial(self._pause, [name], paused=paused, soft=soft, by=user_of(request)))
        if not found:
            return problem(404, f"there is no exporter {name!r}")
        return json_reply({"exporter": name, "paused": paused}, 202)

    def _document(self) -> Json:
        snapshot = self._engine.snapshot()
        check_ready(snapshot.state)
        return exporters_document(snapshot)

    async def _all_paused(self, request: Request, *, paused: bool) -> Response:
        soft = _is_soft(request)
        if soft is None:
            return problem(400, _SOFT_IS)
        await self._workers.run(partial(self._pause, None, paused=paused, soft=soft, by=user_of(request)))
        return Response(status_code=204)

    def _pause(self, names: list[str] | None, *, paused: bool, soft: bool, by: str | None) -> bool:
        """Those of these names, or all; False where one is not there, and then nothing was done."""
        snapshot = self._engine.snapshot()
        check_running(snapshot.state)
        # By the graph, too: an instance of several may have no partition just now.
        drawn = [vertex.task for vertex in snapshot.vertices if vertex.kind is VertexKind.EXPORTER]
        known = list(dict.fromkeys([*(e.exporter for p in snapshot.partitions for e in p.exporters), *drawn]))
        if names is not None and not set(names) <= set(known):
            return False
        for name in known if names is None else names:
            self._engine.pause_exporter(name, paused=paused, soft=soft, by=by)
        return True


def _is_soft(request: Request) -> bool | None:
    """None where it says neither."""
    return {"": False, "false": False, "true": True}.get(request.query_params.get("soft", ""))


def exporters_document(snapshot: EngineSnapshot) -> Json:
    """All exporters in the pipeline's order, each with its partitions."""
    by_name: dict[str, list[tuple[PartitionSnapshot, ExporterSnapshot]]] = {}
    for partition in snapshot.partitions:
        for exporter in partition.exporters:
            by_name.setdefault(exporter.exporter, []).append((partition, exporter))
    return {
        "takenAt": snapshot.taken_wall_ns / NS_PER_SECOND,
        "exporters": [_exporter(name, parts, snapshot.taken_wall_ns) for name, parts in by_name.items()],
    }


def _exporter(name: str, parts: list[tuple[PartitionSnapshot, ExporterSnapshot]], now_ns: int) -> Json:
    states = {exporter.state for _, exporter in parts}
    return {
        "exporter": name,
        "state": next(state for state in STATES_BY_CONCERN if state in states),
        "backlog": sum(exporter.backlog_records for _, exporter in parts),
        "oldestUnexportedAgeSeconds": _oldest(_age_seconds(exporter, now_ns) for _, exporter in parts),
        "partitions": [_partition(partition, exporter, now_ns) for partition, exporter in parts],
    }


def _partition(partition: PartitionSnapshot, exporter: ExporterSnapshot, now_ns: int) -> Json:
    at_ns, pause = exporter.last_error_wall_ns, exporter.pause
    return {
        "partition": partition.partition,
        "state": exporter.state,
        "acknowledgedPosition": exporter.acknowledged_position,
        "lastWrittenPosition": partition.last_written_position,
        "backlog": exporter.backlog_records,
        "oldestUnexportedAgeSeconds": _age_seconds(exporter, now_ns),
        "exportedRecords": exporter.exported_records,
        "skippedRecords": exporter.skipped_records,
        "errors": exporter.errors,
        "retries": exporter.retries,
        "lastError": exporter.last_error,
        "lastErrorAt": None if at_ns is None else at_ns / NS_PER_SECOND,
        "pause": None if pause is None else _pause(pause),
    }


def _pause(pause: Pause) -> Json:
    return {"soft": pause.soft, "since": pause.since_wall_ns / NS_PER_SECOND, "by": pause.by}


def _age_seconds(exporter: ExporterSnapshot, now_ns: int) -> float | None:
    written_ns = exporter.oldest_unexported_wall_ns
    return None if written_ns is None else max(0, now_ns - written_ns) / NS_PER_SECOND


def _oldest(ages: Iterable[float | None]) -> float | None:
    """Unknown where any is: it may be the oldest."""
    found = list(ages)
    known = [age for age in found if age is not None]
    return max(known) if len(known) == len(found) else None
