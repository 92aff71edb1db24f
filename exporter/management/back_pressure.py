"""`/api/back-pressure`: all there is to say about who is held back, by whom, and how sure that is.

Flink's routes tell the same in Flink's shapes; this one adds intervals, reasons, channels and the task to blame.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core.snapshot import (
    BackPressureSnapshot,
    Culprit,
    EngineSnapshot,
    InputSnapshot,
    RecentTimes,
    SampleBasis,
    SamplerSnapshot,
    TaskSnapshot,
    VertexBackPressure,
    VertexSnapshot,
)
from exporter.door import NS_PER_SECOND, BackPressureDoor, check_ready, check_running
from exporter.management.replies import json_reply, problem
from exporter.management.workers import Workers

PATH = "/api/back-pressure"
Json = dict[str, object]


def routes(engine: BackPressureDoor, workers: Workers) -> list[Route]:
    route = _BackPressureRoute(engine, workers)
    return [
        Route(PATH, route.get, methods=["GET"]),
        Route(f"{PATH}/{{vertexid}}/sample", route.sample, methods=["POST"]),
    ]


class _BackPressureRoute:
    """GET is a pure look, in either mode; POST takes a fresh sample of one task."""

    def __init__(self, engine: BackPressureDoor, workers: Workers) -> None:
        self._engine = engine
        self._workers = workers

    async def get(self, _request: Request) -> Response:
        return json_reply(await self._workers.run(self._document))

    async def sample(self, request: Request) -> Response:
        vertex_id = request.path_params["vertexid"]
        started = await self._workers.run(lambda: self._sample(vertex_id))
        if started is None:
            return problem(404, f"there is no task with the id {vertex_id!r}")
        return json_reply({"started": started}, 202)

    def _document(self) -> Json:
        snapshot = self._engine.snapshot()
        check_ready(snapshot.state)
        return back_pressure_document(snapshot)

    def _sample(self, vertex_id: str) -> bool | None:
        snapshot = self._engine.snapshot()
        check_running(snapshot.state)
        if all(vertex.vertex_id != vertex_id for vertex in snapshot.vertices):
            return None
        return self._engine.sample_back_pressure(vertex_id)


def back_pressure_document(snapshot: EngineSnapshot) -> Json:
    """The answer of GET. Times are in seconds, shares between 0 and 1; null is unknown."""
    by_vertex = {vertex.vertex_id: vertex for vertex in snapshot.back_pressure}
    return {
        "pipeline": snapshot.pipeline,
        "jobId": snapshot.job_id,
        "state": snapshot.state,
        "takenAt": snapshot.taken_wall_ns / NS_PER_SECOND,
        "sampler": None if snapshot.sampler is None else _sampler(snapshot.sampler),
        "bottleneck": None if snapshot.culprit is None else _culprit(snapshot.culprit),
        "tasks": [_task(snapshot, vertex, by_vertex.get(vertex.vertex_id)) for vertex in snapshot.vertices],
    }


def _sampler(sampler: SamplerSnapshot) -> Json:
    return {
        "mode": sampler.mode,
        "numSamples": sampler.num_samples,
        "delayBetweenSamples": sampler.delay_between_samples_ns / NS_PER_SECOND,
        "refreshInterval": sampler.refresh_interval_ns / NS_PER_SECOND,
        "ticks": sampler.ticks,
        "missed": sampler.missed,
        "meanLateness": sampler.lateness_ns / sampler.ticks / NS_PER_SECOND if sampler.ticks else None,
        "worstLateness": sampler.lateness_max_ns / NS_PER_SECOND,
    }


def _culprit(culprit: Culprit) -> Json:
    return {
        "task": culprit.task,
        "id": culprit.vertex_id,
        "subtask": culprit.subtask,
        "reason": culprit.reason,
        "victims": culprit.victims,
        "text": culprit.text,
    }


def _task(snapshot: EngineSnapshot, vertex: VertexSnapshot, seen: VertexBackPressure | None) -> Json:
    sampling = None if seen is None else seen.sampling
    sampled_ns = None if seen is None else seen.sampled_wall_ns
    return {
        "id": vertex.vertex_id,
        "task": vertex.task,
        "kind": vertex.kind,
        "parallelism": vertex.parallelism,
        "level": None if seen is None else seen.level,
        "isFresh": seen is not None and seen.is_fresh,
        "sampledAt": None if sampled_ns is None else sampled_ns / NS_PER_SECOND,
        "sampling": None if sampling is None else {"taken": sampling.taken, "of": sampling.of},
        "problem": None if seen is None else seen.problem,
        "subtasks": [_subtask(task) for task in snapshot.tasks if task.vertex_id == vertex.vertex_id],
    }


def _subtask(task: TaskSnapshot) -> Json:
    return {
        "subtask": task.subtask,
        "status": task.status,
        "state": task.state,
        "sampled": None if task.back_pressure is None else _reading(task.back_pressure),
        "basis": None if task.sample_basis is None else _basis(task.sample_basis),
        "recent": None if task.recent is None else _recent(task.recent),
        "longestBlocked": None if task.longest_blocked_ns is None else task.longest_blocked_ns / NS_PER_SECOND,
        "input": None if task.input is None else _input(task.input),
    }


def _input(known: InputSnapshot) -> Json:
    """How far a source is."""
    return {
        "positionBytes": known.position_bytes,
        "sizeBytes": known.size_bytes,
        "lagBytes": known.lag_bytes,
        "lagRecords": known.lag_records,
        "offset": known.offset,
    }


def _reading(reading: BackPressureSnapshot) -> Json:
    return {
        "ratio": reading.ratio,
        "low": reading.ratio_low,
        "high": reading.ratio_high,
        "level": reading.level,
        "samples": reading.samples,
        "busyRatio": reading.busy_ratio,
        "idleRatio": reading.idle_ratio,
    }


def _basis(basis: SampleBasis) -> Json:
    return {
        "byStack": basis.by_stack,
        "byTransitions": basis.by_transitions,
        "discarded": basis.discarded,
        "disagreements": basis.disagreements,
    }


def _recent(recent: RecentTimes) -> Json:
    """By the timers, over the last seconds."""
    blocked = {reason: ns / recent.span_ns for reason, ns in recent.back_pressured_ns.items() if ns}
    return {
        "seconds": recent.span_ns / NS_PER_SECOND,
        "busy": recent.busy_share,
        "idle": recent.idle_share,
        "backPressured": recent.blocked_share,
        "byReason": blocked,
        "byChannel": [ns / recent.span_ns for ns in recent.blocked_by_channel_ns],
    }
