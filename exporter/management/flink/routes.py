"""The paths, with `/v1` in front of them and without."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.core.snapshot import EngineSnapshot, TaskSnapshot, VertexSnapshot
from exporter.build import penstock_version
from exporter.door import ConfigurationError, EngineDoor, FlameDoor, check_ready, engines_of
from exporter.management.flink import absent, jobs, machines, metrics, vertices
from exporter.management.flink.backpressure import back_pressure
from exporter.management.flink.errors import FlinkError, errors, unreadable
from exporter.management.flink.flamegraph import flame_graph, type_of
from exporter.management.flink.words import Json
from exporter.management.replies import NO_STORE, json_reply
from exporter.management.workers import Workers

_ID = re.compile(r"[0-9a-fA-F]{32}")
_SUBTASK = re.compile(r"\d{1,6}")
# How often a page may ask.
_PAGE_REFRESH_MS = 3000

Answer = Json | list[Json]
# Where Flink's part of the tree begins.
_ITS = ("/v1/", "/jobs/", "/taskmanagers/", "/jobmanager/")
Handler = Callable[[Request], Awaitable[Response]]


_OF_JOB: Mapping[str, Callable[[EngineSnapshot], Json]] = {
    "config": absent.config,
    "exceptions": absent.exceptions,
    "checkpoints": absent.checkpoints,
    "checkpoints/config": absent.checkpoints_config,
    "accumulators": absent.job_accumulators,
    "status": absent.status,
    "execution-result": absent.execution_result,
}
_OF_VERTEX: Mapping[str, Callable[[EngineSnapshot, VertexSnapshot], Answer]] = {
    "watermarks": vertices.watermarks,
    "accumulators": absent.vertex_accumulators,
    "subtasktimes": vertices.subtask_times,
    "taskmanagers": vertices.task_managers,
}


def routes(engine: EngineDoor, workers: Workers) -> list[Route]:
    """All routes. What asks the engine runs in `workers`."""
    flink = _Flink(engine)
    vertex = "/jobs/{jobid}/vertices/{vertexid}"
    answers: dict[str, Callable[[Request], Answer]] = {
        "/overview": flink.overview,
        "/config": flink.config,
        "/jobs": flink.jobs,
        "/jobs/overview": flink.jobs_overview,
        "/jobs/metrics": flink.metrics_of_jobs,
        "/jobs/{jobid}": flink.job,
        "/jobs/{jobid}/plan": flink.plan,
        "/jobs/{jobid}/metrics": flink.metrics_of_job,
        **{f"/jobs/{{jobid}}/{name}": flink.of_job(answer) for name, answer in _OF_JOB.items()},
        "/taskmanagers": flink.task_managers,
        "/taskmanagers/metrics": flink.machine_metrics,
        "/taskmanagers/{taskmanagerid}": flink.task_manager,
        "/taskmanagers/{taskmanagerid}/metrics": flink.task_manager_metrics,
        "/taskmanagers/{taskmanagerid}/logs": flink.task_manager_logs,
        "/taskmanagers/{taskmanagerid}/thread-dump": flink.task_manager_threads,
        "/jobmanager/config": flink.machine_config,
        "/jobmanager/environment": flink.machine_environment,
        "/jobmanager/metrics": flink.machine_metrics,
        "/jobmanager/logs": flink.logs,
        "/jobmanager/thread-dump": flink.threads,
        "/datasets": flink.datasets,
        "/jars": flink.jars,
        vertex: flink.vertex,
        f"{vertex}/flamegraph": flink.flame_graph,
        f"{vertex}/jm-operator-metrics": flink.operator_metrics,
        **{f"{vertex}/{name}": flink.of_vertex(answer) for name, answer in _OF_VERTEX.items()},
        f"{vertex}/backpressure": flink.back_pressure,
        f"{vertex}/metrics": flink.metrics,
        f"{vertex}/subtasks/metrics": flink.aggregated_metrics,
        f"{vertex}/subtasks/accumulators": flink.accumulators,
        f"{vertex}/subtasks/{{subtaskindex}}": flink.subtask,
        f"{vertex}/subtasks/{{subtaskindex}}/metrics": flink.subtask_metrics,
        f"{vertex}/subtasks/{{subtaskindex}}/attempts/{{attempt}}": flink.attempt,
        f"{vertex}/subtasks/{{subtaskindex}}/attempts/{{attempt}}/accumulators": flink.attempt_accumulators,
    }
    texts = (
        "/jobmanager/log",
        "/jobmanager/stdout",
        "/taskmanagers/{taskmanagerid}/log",
        "/taskmanagers/{taskmanagerid}/stdout",
    )
    known = [
        Route(prefix + path, _handler(answer, workers), methods=["GET"])
        for prefix in ("", "/v1")
        for path, answer in answers.items()
    ]
    known += [Route(prefix + path, _log, methods=["GET"]) for prefix in ("", "/v1") for path in texts]
    # After the known ones: what is left of Flink's part of the tree is answered in its shape.
    rest = [Route(path, _not_found, methods=["GET"]) for path in ("/v1", *(f"{one}{{rest:path}}" for one in _ITS))]
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
    return path.startswith(_ITS) or path in ("/jobs", "/overview", "/config", "/taskmanagers", "/datasets", "/jars")


async def _log(_request: Request) -> Response:
    return PlainTextResponse(machines.LOG, headers=NO_STORE)


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

    def of_job(self, answer: Callable[[EngineSnapshot], Json]) -> Callable[[Request], Json]:
        return lambda request: answer(self._job(request))

    def of_vertex(self, answer: Callable[[EngineSnapshot, VertexSnapshot], Answer]) -> Callable[[Request], Answer]:
        return lambda request: answer(*self._vertex(request))

    def metrics_of_job(self, request: Request) -> list[Json]:
        return metrics.of_job(self._job(request), request.query_params.get("get"))

    def metrics_of_jobs(self, request: Request) -> list[Json]:
        asked = request.query_params
        return metrics.of_jobs(self._jobs(), asked.get("get"), asked.get("agg"))

    def flame_graph(self, request: Request) -> Json:
        snapshot, vertex = self._vertex(request)
        kind = type_of(request.query_params.get("type"))
        engine = self._of(snapshot.job_id)
        try:
            return flame_graph(engine.flame_graph(vertex.vertex_id) if isinstance(engine, FlameDoor) else None, kind)
        except ConfigurationError as error:
            raise FlinkError(404, str(error)) from None

    # -- the process ---

    def task_managers(self, _request: Request) -> Json:
        return machines.task_managers(self._jobs())

    def task_manager(self, request: Request) -> Json:
        self._check_machine(request)
        return machines.task_manager(self._jobs())

    def task_manager_metrics(self, request: Request) -> list[Json]:
        self._check_machine(request)
        return self.machine_metrics(request)

    def task_manager_logs(self, request: Request) -> Json:
        self._check_machine(request)
        return self.logs(request)

    def task_manager_threads(self, request: Request) -> Json:
        self._check_machine(request)
        return self.threads(request)

    def machine_metrics(self, request: Request) -> list[Json]:
        return machines.metrics(self._jobs(), request.query_params.get("get"))

    def machine_config(self, _request: Request) -> list[Json]:
        return machines.config()

    def machine_environment(self, _request: Request) -> Json:
        return machines.environment()

    def logs(self, _request: Request) -> Json:
        return {"logs": []}

    def threads(self, _request: Request) -> Json:
        return {"threadInfos": []}

    def datasets(self, _request: Request) -> Json:
        return {"dataSets": []}

    def jars(self, request: Request) -> Json:
        return {"address": str(request.base_url).rstrip("/"), "files": []}

    def _check_machine(self, request: Request) -> None:
        wanted = request.path_params["taskmanagerid"]
        if wanted != machines.TASK_MANAGER:
            raise FlinkError(404, f"No TaskExecutor registered under {wanted}.")

    # -- a vertex ---

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

    def operator_metrics(self, request: Request) -> list[Json]:
        self._vertex(request)
        return []

    def subtask(self, request: Request) -> Json:
        snapshot, _, task = self._subtask(request)
        return vertices.subtask_details(task, snapshot.taken_wall_ns)

    def subtask_metrics(self, request: Request) -> list[Json]:
        """As those of the vertex, without the number in front."""
        _, _, task = self._subtask(request)
        found = metrics.of_subtasks([task], request.query_params.get("get"))
        return [{**one, "id": str(one["id"]).partition(".")[2]} for one in found]

    def attempt(self, request: Request) -> Json:
        self._check_attempt(request)
        return self.subtask(request)

    def attempt_accumulators(self, request: Request) -> Json:
        self._check_attempt(request)
        _, vertex, task = self._subtask(request)
        return absent.attempt_accumulators(vertex, task.subtask)

    def _check_attempt(self, request: Request) -> None:
        """A subtask is tried once."""
        written = request.path_params["attempt"]
        if not _SUBTASK.fullmatch(written):
            raise unreadable("path", "attempt", written)
        if int(written):
            raise FlinkError(404, f"Attempt {int(written)} not found.")

    def _subtask(self, request: Request) -> tuple[EngineSnapshot, VertexSnapshot, TaskSnapshot]:
        written = request.path_params["subtaskindex"]
        if not _SUBTASK.fullmatch(written):
            raise unreadable("path", "subtaskindex", written)
        snapshot, vertex = self._vertex(request)
        for task in vertices.subtasks_of(snapshot, vertex):
            if task.subtask == int(written):
                return snapshot, vertex, task
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
