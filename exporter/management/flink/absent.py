"""What Flink has and an engine has not: answered in Flink's shapes, empty, so that whoever asks goes on.

Shapes are those of Flink 1.20.
"""

from __future__ import annotations

from engine.core.snapshot import EngineSnapshot, EngineState, VertexSnapshot
from exporter.management.flink.words import Json, job_state

_NOTHING: Json = dict.fromkeys(("min", "max", "avg", "p50", "p90", "p95", "p99", "p999"), 0)


def config(snapshot: EngineSnapshot) -> Json:
    return {
        "jid": snapshot.job_id,
        "name": snapshot.pipeline,
        "execution-config": {
            "execution-mode": "PIPELINED",
            "restart-strategy": "none",
            "job-parallelism": max((vertex.parallelism for vertex in snapshot.vertices), default=1),
            "object-reuse-mode": False,
            "user-config": dict(snapshot.info),
        },
    }


def exceptions(snapshot: EngineSnapshot) -> Json:
    """What the engine failed with, where it did."""
    failed = snapshot.state is EngineState.FAILED and snapshot.failure is not None
    at_ms = snapshot.taken_wall_ns // 1_000_000
    history = [{"exceptionName": "failure", "stacktrace": snapshot.failure, "timestamp": at_ms, "taskName": None}]
    return {
        "root-exception": snapshot.failure if failed else None,
        "timestamp": at_ms if failed else None,
        "all-exceptions": [],
        "truncated": False,
        "exceptionHistory": {"entries": history if failed else [], "truncated": False},
    }


def checkpoints(_snapshot: EngineSnapshot) -> Json:
    """There are none: every commit is one."""
    sizes = ("checkpointed_size", "state_size", "end_to_end_duration", "alignment_buffered", "processed_data")
    return {
        "counts": dict.fromkeys(("restored", "total", "in_progress", "completed", "failed"), 0),
        "summary": {name: dict(_NOTHING) for name in (*sizes, "persisted_data")},
        "latest": dict.fromkeys(("completed", "savepoint", "failed", "restored")),
        "history": [],
    }


def checkpoints_config(_snapshot: EngineSnapshot) -> Json:
    return {
        "mode": "exactly_once",
        # Flink's word for never.
        "interval": 9223372036854775807,
        "timeout": 0,
        "min_pause": 0,
        "max_concurrent": 1,
        "externalization": {"enabled": False, "delete_on_cancellation": True},
        "state_backend": "",
        "checkpoint_storage": "",
        "unaligned_checkpoints": False,
        "tolerable_failed_checkpoints": 0,
        "aligned_checkpoint_timeout": 0,
        "checkpoints_after_tasks_finish": False,
        "state_changelog_enabled": False,
        "changelog_periodic_materialization_interval": 0,
        "changelog_storage": "",
    }


def job_accumulators(_snapshot: EngineSnapshot) -> Json:
    return {"job-accumulators": [], "user-task-accumulators": [], "serialized-user-task-accumulators": {}}


def status(snapshot: EngineSnapshot) -> Json:
    return {"status": job_state(snapshot.state)}


def execution_result(snapshot: EngineSnapshot) -> Json:
    if snapshot.state not in (EngineState.FINISHED, EngineState.FAILED):
        return {"status": {"id": "IN_PROGRESS"}}
    result: Json = {
        "id": snapshot.job_id,
        "application-status": "SUCCEEDED" if snapshot.state is EngineState.FINISHED else "FAILED",
        "accumulator-results": {},
        "net-runtime": (snapshot.taken_wall_ns - snapshot.started_wall_ns) // 1_000_000,
    }
    return {"status": {"id": "COMPLETED"}, "job-execution-result": result}


def vertex_accumulators(_snapshot: EngineSnapshot, vertex: VertexSnapshot) -> Json:
    return {"id": vertex.vertex_id, "user-accumulators": []}


def attempt_accumulators(vertex: VertexSnapshot, subtask: int) -> Json:
    return {"id": vertex.vertex_id, "subtask": subtask, "attempt": 0, "user-accumulators": []}
