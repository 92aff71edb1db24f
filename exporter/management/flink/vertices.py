"""One vertex and its subtasks."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from engine.core.snapshot import EngineSnapshot, TaskSnapshot, TaskStatus, VertexSnapshot
from exporter.management.flink.machines import TASK_MANAGER
from exporter.management.flink.words import (
    EXECUTION_STATES,
    Json,
    counts,
    execution_state,
    milliseconds,
    milliseconds_or_never,
    vertex_state,
)


def subtasks_of(snapshot: EngineSnapshot, vertex: VertexSnapshot) -> list[TaskSnapshot]:
    return sorted(
        (task for task in snapshot.tasks if task.vertex_id == vertex.vertex_id), key=lambda task: task.subtask
    )


def vertex_details(snapshot: EngineSnapshot, vertex: VertexSnapshot) -> Json:
    return {
        "id": vertex.vertex_id,
        "name": vertex.task,
        "parallelism": vertex.parallelism,
        "maxParallelism": vertex.parallelism,
        "now": milliseconds(snapshot.taken_wall_ns),
        "subtasks": [subtask_details(task, snapshot.taken_wall_ns) for task in subtasks_of(snapshot, vertex)],
        "aggregated": aggregated(subtasks_of(snapshot, vertex), snapshot.taken_wall_ns),
    }


def aggregated(subtasks: Sequence[TaskSnapshot], now_wall_ns: int) -> Json:
    """Of each number its smallest, its largest and those between, over the subtasks; of NaN nothing."""
    numbers: dict[str, list[float]] = {}
    durations: dict[str, list[float]] = {}
    for task in subtasks:
        for name, value in vertex_metrics([task]).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                numbers.setdefault(name, []).append(value)
        for state, ms in status_duration(task, now_wall_ns).items():
            durations.setdefault(state, []).append(ms)
    return {
        "metrics": {name: _spread(values) for name, values in numbers.items()},
        "status-duration": {state: _spread(values) for state, values in durations.items()},
    }


def _spread(values: Sequence[float]) -> Json:
    ordered = sorted(values)

    def at(share: float) -> int:
        return int(ordered[min(len(ordered) - 1, int(share * len(ordered)))])

    return {
        "min": int(ordered[0]),
        "max": int(ordered[-1]),
        "avg": int(sum(ordered) / len(ordered)),
        "sum": int(sum(ordered)),
        "median": at(0.5),
        "p25": at(0.25),
        "p75": at(0.75),
        "p95": at(0.95),
    }


def status_duration(task: TaskSnapshot, now_wall_ns: int) -> dict[str, int]:
    """How long it has been in each state; a thread here is made and runs. Flink's page needs all five."""
    spent = dict.fromkeys(("CREATED", "SCHEDULED", "DEPLOYING", "INITIALIZING", "RUNNING"), 0)
    if task.started_wall_ns is not None:
        until = now_wall_ns if task.ended_wall_ns is None else task.ended_wall_ns
        spent["RUNNING"] = max(0, milliseconds(until - task.started_wall_ns))
    return spent


def watermarks(_snapshot: EngineSnapshot, _vertex: VertexSnapshot) -> list[Json]:
    """There are none here."""
    return []


def subtask_times(snapshot: EngineSnapshot, vertex: VertexSnapshot) -> Json:
    return {
        "id": vertex.vertex_id,
        "name": vertex.task,
        "now": milliseconds(snapshot.taken_wall_ns),
        "subtasks": [_times(task, snapshot.taken_wall_ns) for task in subtasks_of(snapshot, vertex)],
    }


def _times(task: TaskSnapshot, now_wall_ns: int) -> Json:
    entered = dict.fromkeys(EXECUTION_STATES, 0)
    for state in ("CREATED", "RUNNING"):
        entered[state] = 0 if task.started_wall_ns is None else milliseconds(task.started_wall_ns)
    if task.ended_wall_ns is not None:
        entered[execution_state(task.status)] = milliseconds(task.ended_wall_ns)
    host = socket.gethostname()
    duration = times_of([task], now_wall_ns)["duration"]
    return {"subtask": task.subtask, "host": host, "endpoint": host, "duration": duration, "timestamps": entered}


def task_managers(snapshot: EngineSnapshot, vertex: VertexSnapshot) -> Json:
    subtasks = subtasks_of(snapshot, vertex)
    host = socket.gethostname()
    one = {
        "host": host,
        "endpoint": host,
        "status": vertex_state(task.status for task in subtasks),
        **times_of(subtasks, snapshot.taken_wall_ns),
        "metrics": vertex_metrics(subtasks),
        "status-counts": counts(execution_state(task.status) for task in subtasks),
        "taskmanager-id": TASK_MANAGER,
        "aggregated": aggregated(subtasks, snapshot.taken_wall_ns),
    }
    return {
        "id": vertex.vertex_id,
        "name": vertex.task,
        "now": milliseconds(snapshot.taken_wall_ns),
        "taskmanagers": [one],
    }


def subtask_details(task: TaskSnapshot, now_wall_ns: int) -> Json:
    times = times_of([task], now_wall_ns)
    return {
        "subtask": task.subtask,
        "status": execution_state(task.status),
        "attempt": 0,
        "host": socket.gethostname(),
        "endpoint": socket.gethostname(),
        **times,
        "metrics": vertex_metrics([task]),
        "taskmanager-id": TASK_MANAGER,
        "status-duration": status_duration(task, now_wall_ns),
        # Flink writes it twice, and some clients read this one.
        "start_time": times["start-time"],
    }


def accumulators(snapshot: EngineSnapshot, vertex: VertexSnapshot) -> Json:
    """There are none here; clients read the numbers of the subtasks off this answer."""
    return {
        "id": vertex.vertex_id,
        "parallelism": vertex.parallelism,
        "subtasks": [
            {
                "subtask": task.subtask,
                "attempt": 0,
                "host": socket.gethostname(),
                "endpoint": socket.gethostname(),
                "user-accumulators": [],
            }
            for task in subtasks_of(snapshot, vertex)
        ],
    }


def times_of(subtasks: Sequence[TaskSnapshot], now_wall_ns: int) -> Json:
    """From the first start to the last end; -1 for what has not been."""
    started = min((task.started_wall_ns for task in subtasks if task.started_wall_ns is not None), default=None)
    over = bool(subtasks) and all(task.status not in (TaskStatus.CREATED, TaskStatus.RUNNING) for task in subtasks)
    ended = max((task.ended_wall_ns or 0 for task in subtasks), default=0) if over else None
    until = now_wall_ns if ended is None else ended
    return {
        "start-time": milliseconds_or_never(started),
        "end-time": milliseconds_or_never(ended),
        "duration": -1 if started is None else milliseconds(until - started),
    }


def vertex_metrics(subtasks: Sequence[TaskSnapshot]) -> Json:
    """Sums over subtasks. Bytes are not measured: said to be incomplete, Flink's page would wait for them for ever."""

    def total(value: Callable[[TaskSnapshot], int | None]) -> int:
        return sum(value(task) or 0 for task in subtasks)

    def is_known(value: Callable[[TaskSnapshot], int | None]) -> bool:
        return all(value(task) is not None for task in subtasks)

    return {
        "read-bytes": 0,
        "read-bytes-complete": True,
        "write-bytes": 0,
        "write-bytes-complete": True,
        "read-records": total(lambda task: task.records_in),
        "read-records-complete": is_known(lambda task: task.records_in),
        "write-records": total(lambda task: task.records_out),
        "write-records-complete": is_known(lambda task: task.records_out),
        "accumulated-backpressured-time": milliseconds(total(lambda task: sum(task.back_pressured_ns.values()))),
        "accumulated-idle-time": milliseconds(total(lambda task: task.idle_ns)),
        "accumulated-busy-time": float(milliseconds(total(lambda task: task.busy_ns)))
        if is_known(lambda task: task.busy_ns)
        else "NaN",
    }
