"""Jobs: their overview, their details, their plans. A job is a pipeline."""

from __future__ import annotations

import html
from collections.abc import Sequence

from engine.core.snapshot import EngineSnapshot, EngineState, TaskSnapshot, VertexSnapshot
from exporter.management.flink.vertices import subtasks_of, times_of, vertex_metrics
from exporter.management.flink.words import (
    JOB_STATES,
    Json,
    counts,
    execution_state,
    job_state,
    milliseconds,
    milliseconds_or_never,
    vertex_state,
)

LOG = "LOG"


def overview(snapshots: Sequence[EngineSnapshot], version: str) -> Json:
    """One process with a slot for every subtask."""
    states = [job_state(snapshot.state) for snapshot in snapshots]
    running = [state in ("INITIALIZING", "RUNNING") for state in states]
    slots = [len(snapshot.tasks) for snapshot in snapshots]
    return {
        "taskmanagers": 1,
        "slots-total": sum(slots),
        "slots-available": sum(count for count, runs in zip(slots, running, strict=True) if not runs),
        "jobs-running": sum(running),
        "jobs-finished": states.count("FINISHED"),
        "jobs-cancelled": 0,
        "jobs-failed": states.count("FAILED"),
        "flink-version": version,
        "flink-commit": "",
    }


def jobs(snapshots: Sequence[EngineSnapshot]) -> Json:
    return {"jobs": [{"id": snapshot.job_id, "status": job_state(snapshot.state)} for snapshot in snapshots]}


def jobs_overview(snapshots: Sequence[EngineSnapshot]) -> Json:
    return {"jobs": [_overview(snapshot) for snapshot in snapshots]}


def _overview(snapshot: EngineSnapshot) -> Json:
    tasks = counts(execution_state(task.status) for task in snapshot.tasks)
    return {
        "jid": snapshot.job_id,
        "name": snapshot.pipeline,
        **_life(snapshot),
        "last-modification": milliseconds(_last_change_ns(snapshot)),
        "tasks": {"total": len(snapshot.tasks), **{state.lower(): n for state, n in tasks.items()}},
    }


def job(snapshot: EngineSnapshot) -> Json:
    life = _life(snapshot)
    by_vertex = {vertex.vertex_id: subtasks_of(snapshot, vertex) for vertex in snapshot.vertices}
    states = {vertex_id: vertex_state(task.status for task in subtasks) for vertex_id, subtasks in by_vertex.items()}
    return {
        "jid": snapshot.job_id,
        "name": snapshot.pipeline,
        "isStoppable": False,
        "job-type": "STREAMING",
        **life,
        "maxParallelism": -1,
        "now": milliseconds(snapshot.taken_wall_ns),
        "timestamps": _timestamps(snapshot),
        "vertices": [
            _vertex(snapshot, vertex, by_vertex[vertex.vertex_id], states[vertex.vertex_id])
            for vertex in snapshot.vertices
        ],
        "status-counts": counts(states.values()),
        "plan": plan(snapshot),
    }


def plan(snapshot: EngineSnapshot) -> Json:
    """The job graph; sources have no inputs."""
    return {
        "jid": snapshot.job_id,
        "name": snapshot.pipeline,
        "type": "STREAMING",
        "nodes": [_node(snapshot, vertex) for vertex in snapshot.vertices],
    }


def _node(snapshot: EngineSnapshot, vertex: VertexSnapshot) -> Json:
    edges = [edge for edge in snapshot.edges if edge.target_id == vertex.vertex_id]
    inputs = [
        {
            "num": number,
            "id": edge.source_id,
            "ship_strategy": edge.ship_strategy,
            # What goes through the log waits there as long as it must.
            "exchange": "persistent" if edge.ship_strategy == LOG else "pipelined_bounded",
        }
        for number, edge in enumerate(edges)
    ]
    return {
        "id": vertex.vertex_id,
        "parallelism": vertex.parallelism,
        "operator": "",
        "operator_strategy": "",
        "description": html.escape(vertex.task),
        **({"inputs": inputs} if inputs else {}),
        "optimizer_properties": {},
    }


def _vertex(snapshot: EngineSnapshot, vertex: VertexSnapshot, subtasks: list[TaskSnapshot], state: str) -> Json:
    return {
        "id": vertex.vertex_id,
        # Each task has threads of its own.
        "slotSharingGroupId": vertex.vertex_id,
        "name": vertex.task,
        "maxParallelism": vertex.parallelism,
        "parallelism": vertex.parallelism,
        "status": state,
        **times_of(subtasks, snapshot.taken_wall_ns),
        "tasks": counts(execution_state(task.status) for task in subtasks),
        "metrics": vertex_metrics(subtasks),
    }


def _ended_ns(snapshot: EngineSnapshot) -> int | None:
    if snapshot.state not in (EngineState.FINISHED, EngineState.FAILED):
        return None
    return max((task.ended_wall_ns or 0 for task in snapshot.tasks), default=snapshot.taken_wall_ns)


def _last_change_ns(snapshot: EngineSnapshot) -> int:
    changes = [t for task in snapshot.tasks for t in (task.started_wall_ns, task.ended_wall_ns) if t is not None]
    return max(changes, default=snapshot.started_wall_ns)


def _life(snapshot: EngineSnapshot) -> Json:
    ended_ns = _ended_ns(snapshot)
    until_ns = snapshot.taken_wall_ns if ended_ns is None else ended_ns
    return {
        "state": job_state(snapshot.state),
        "start-time": milliseconds(snapshot.started_wall_ns),
        "end-time": milliseconds_or_never(ended_ns),
        "duration": milliseconds(until_ns - snapshot.started_wall_ns),
    }


def _timestamps(snapshot: EngineSnapshot) -> Json:
    """When the job entered each state; 0 for those it was never in."""
    state = job_state(snapshot.state)
    entered = dict.fromkeys(JOB_STATES, 0)
    entered["INITIALIZING"] = milliseconds(snapshot.started_wall_ns)
    started = min((task.started_wall_ns for task in snapshot.tasks if task.started_wall_ns is not None), default=None)
    if started is not None:
        entered["CREATED"] = entered["RUNNING"] = milliseconds(started)
    ended_ns = _ended_ns(snapshot)
    if ended_ns is not None:
        entered[state] = milliseconds(ended_ns)
    return dict(entered)
