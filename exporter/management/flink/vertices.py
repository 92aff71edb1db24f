"""One vertex and its subtasks."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from engine.core.snapshot import EngineSnapshot, TaskSnapshot, TaskStatus, VertexSnapshot
from exporter.management.flink.words import Json, execution_state, milliseconds, milliseconds_or_never

# All subtasks live in this process.
TASK_MANAGER = "penstock"


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
    }


def subtask_details(task: TaskSnapshot, now_wall_ns: int) -> Json:
    times = times_of([task], now_wall_ns)
    return {
        "subtask": task.subtask,
        "status": execution_state(task.status),
        "attempt": 0,
        "host": socket.gethostname(),
        **times,
        "metrics": vertex_metrics([task]),
        "taskmanager-id": TASK_MANAGER,
        # Flink writes it twice, and some clients read this one.
        "start_time": times["start-time"],
    }


def accumulators(snapshot: EngineSnapshot, vertex: VertexSnapshot) -> Json:
    """There are none here; clients read the numbers of the subtasks off this answer."""
    return {
        "id": vertex.vertex_id,
        "parallelism": vertex.parallelism,
        "subtasks": [
            {"subtask": task.subtask, "attempt": 0, "host": socket.gethostname(), "user-accumulators": []}
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
    """Sums over subtasks. Bytes are not measured, and said to be incomplete."""

    def total(value: Callable[[TaskSnapshot], int | None]) -> int:
        return sum(value(task) or 0 for task in subtasks)

    def is_known(value: Callable[[TaskSnapshot], int | None]) -> bool:
        return all(value(task) is not None for task in subtasks)

    return {
        "read-bytes": 0,
        "read-bytes-complete": False,
        "write-bytes": 0,
        "write-bytes-complete": False,
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
