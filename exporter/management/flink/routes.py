"""The paths, with `/v1` in front of them and without."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core.snapshot import EngineSnapshot, TaskSnapshot, VertexSnapshot
from exporter.build import penstock_version
from exporter.door import ConfigurationError, EngineDoor, check_ready, engines_of
from exporter.management.flink import jobs, metrics, vertices
from exporter.management.flink.backpressure import back_pressure
from exporter.management.flink.errors import FlinkError, errors, unreadable
from exporter.management.flink.words import Json
from exporter.management.replies import json_reply
from exporter.management.workers import Workers

_ID = re.compile(r"[0-9a-fA-F]{32}")
_SUBTASK = re.compile(r"\d{1,6}")
# How often a page may ask.
_PAGE_REFRESH_MS = 3000

Answer = Json | list[Json]
Handler = Callable[[Request], Awaitable[Response]]


def routes(engine: EngineDoor, workers: Workers) -> list[Route]:
    """All routes. What asks the engine runs in `workers`."""
    flink = _Flink(engine)
    vertex = "/jobs/{jobid}/vertices/{vertexid}"
    answers: dict[str, Callable[[Request], Answer]] = {
        "/overview": flink.overview,
        "/config": flink.config,
        "/jobs": flink.jobs,
        "/jobs/overview": flink.jobs_overview,
        "/jobs/{jobid}": flink.job,
        "/jobs/{jobid}/plan": flink.plan,
        vertex: flink.vertex,
        f"{vertex}/backpressure": flink.back_pressure,
        f"{vertex}/metrics": flink.metrics,
        f"{vertex}/subtasks/metrics": flink.aggregated_metrics,
        f"{vertex}/subtasks/accumulators": flink.accumulators,
        f"{vertex}/subtasks/{{subtaskindex}}": flink.subtask,
    }
    known = [
        Route(prefix + path, _handler(answer, workers), methods=["GET"])
        for prefix in ("", "/v1")
        for path, answer in answers.items()
    ]
    # After the known ones: what is left of Flink's part of the tree is answered in its shape.
    rest = [Route(path, _not_found, methods=["GET"]) for path in ("/v1", "/v1/{rest:path}", "/jobs/{rest:path}")]
    return [*known, *rest]


def _handler(answer: Callable[[Request], Answer], workers: Workers) -> Handler:
    async def handle(request: Request) -> Response:
        try:
            return json_reply(await workers.run(lambda: answer(request)))
        except FlinkError as error:
            return error.reply()

    return handle


def is_its(path: str) -> bool:
    """Whether errors at this path have Flink's shape."""
    return path.startswith(("/jobs/", "/v1/")) or path in ("/jobs", "/overview", "/config")


async def _not_found(request: Request) -> Response:
    return errors(404, f"Not found: {request.url.path}")


class _Flink:
    """What each path answers; any thread."""

    def __init__(self, engine: EngineDoor) -> None:
        self._engine = engine

    def _jobs(self) -> list[EngineSnapshot]:
        """What runs behind the door; a bridge itself is no job."""
        snapshots = [engine.snapshot() for engine in engines_of(self._engine)]
        return [snapshot for snapshot in snapshots if snapshot.bridge is None or snapshot.vertices]

    def overview(self, _request: Request) -> Json:
        return jobs.overview(self._jobs(), penstock_version())

    def config(self, _request: Request) -> Json:
        zone = time.localtime()
        return {
            "refresh-interval": _PAGE_REFRESH_MS,
            "timezone-name": zone.tm_zone,
            "timezone-offset": zone.tm_gmtoff * 1000,
            "flink-version": penstock_version(),
            "flink-revision": "",
            "features": {"web-submit": False, "web-cancel": False, "web-rescale": False, "web-history": False},
        }

    def jobs(self, _request: Request) -> Json:
        return jobs.jobs(self._jobs())

    def jobs_overview(self, _request: Request) -> Json:
        return jobs.jobs_overview(self._jobs())

    def job(self, request: Request) -> Json:
        return jobs.job(self._job(request))

    def plan(self, request: Request) -> Json:
        return {"plan": jobs.plan(self._job(request))}

    def vertex(self, request: Request) -> Json:
        return vertices.vertex_details(*self._vertex(request))

    def back_pressure(self, request: Request) -> Json:
        snapshot, vertex = self._vertex(request)
        try:
            return back_pressure(self._of(snapshot.job_id).look_at_back_pressure(vertex.vertex_id))
        except ConfigurationError as error:
            raise FlinkError(404, str(error)) from None

    def metrics(self, request: Request) -> list[Json]:
        return metrics.of_subtasks(self._subtasks(request), request.query_params.get("get"))

    def aggregated_metrics(self, request: Request) -> list[Json]:
        asked = request.query_params
        return metrics.aggregated(self._subtasks(request), asked.get("get"), asked.get("agg"), asked.get("subtasks"))

    def accumulators(self, request: Request) -> Json:
        return vertices.accumulators(*self._vertex(request))

    def subtask(self, request: Request) -> Json:
        written = request.path_params["subtaskindex"]
        if not _SUBTASK.fullmatch(written):
            raise unreadable("path", "subtaskindex", written)
        snapshot, vertex = self._vertex(request)
        for task in vertices.subtasks_of(snapshot, vertex):
            if task.subtask == int(written):
                return vertices.subtask_details(task, snapshot.taken_wall_ns)
        raise FlinkError(404, f"Invalid subtask index for vertex {vertex.vertex_id}.")

    # -- what a path names ---

    def _job(self, request: Request) -> EngineSnapshot:
        wanted = _id(request, "jobid")
        if "vertexid" in request.path_params:
            _id(request, "vertexid")
        snapshot = self._of(wanted).snapshot()
        check_ready(snapshot.state)
        return snapshot

    def _of(self, job_id: str) -> EngineDoor:
        for engine in engines_of(self._engine):
            if engine.snapshot().job_id == job_id:
                return engine
        raise FlinkError(404, f"Job {job_id} not found")

    def _vertex(self, request: Request) -> tuple[EngineSnapshot, VertexSnapshot]:
        snapshot = self._job(request)
        wanted = _id(request, "vertexid")
        for vertex in snapshot.vertices:
            if vertex.vertex_id == wanted:
                return snapshot, vertex
        raise FlinkError(404, f"No vertex with ID '{wanted}' exists.")

    def _subtasks(self, request: Request) -> list[TaskSnapshot]:
        return vertices.subtasks_of(*self._vertex(request))


def _id(request: Request, name: str) -> str:
    written: str = request.path_params[name]
    if not _ID.fullmatch(written):
        raise unreadable("path", name, written)
    return written.lower()
