"""Who is held back: our own route, and those of Flink's monitoring REST API."""

from __future__ import annotations

from engine.core.snapshot import BlockReason, EngineState, TaskStatus, VertexKind
from exporter.catalogue import BACK_PRESSURE_LEVELS
from exporter.management.openapi.operation import JSON, PROBLEM, Answer, Operation, Parameter, json
from exporter.management.openapi.schema import (
    ANY_OBJECT,
    BOOLEAN,
    COUNT,
    ID,
    INTEGER,
    NUMBER,
    RATIO,
    STRING,
    Schema,
    array,
    by_key,
    component,
    nullable,
    obj,
    one_of,
    unix_seconds,
)

_LEVEL = one_of(BACK_PRESSURE_LEVELS)
_JOB = Parameter("jobid", "path", "id of the job", ID)
_VERTEX = Parameter("vertexid", "path", "id of the vertex", ID)
_SUBTASK = Parameter("subtaskindex", "path", "number of the subtask, from 0", COUNT)
_GET = Parameter("get", "query", "names of metrics, with commas between", STRING)
_AGG = Parameter("agg", "query", "some of min, max, avg, sum, skew, with commas between", STRING)
_SUBTASKS = Parameter("subtasks", "query", "numbers and ranges, such as 0,2-3", STRING)


def operations() -> list[Operation]:
    return [*_ours(), *(operation for prefix in ("", "/v1") for operation in _flink(prefix))]


def schemas() -> dict[str, Schema]:
    return {
        "BackPressure": _back_pressure(),
        "FlinkErrors": obj({"errors": array(STRING)}),
        "FlinkBackPressure": obj(
            {"status": one_of(("ok", "deprecated"))},
            {
                "backpressure-level": _LEVEL,
                "backpressureLevel": _LEVEL,
                "end-timestamp": INTEGER,
                "subtasks": array(
                    obj(
                        {
                            "subtask": COUNT,
                            "backpressure-level": _LEVEL,
                            "backpressureLevel": _LEVEL,
                            "ratio": RATIO,
                            "idleRatio": RATIO,
                            "busyRatio": RATIO,
                        }
                    )
                ),
            },
        ),
        "FlinkMetrics": array(
            {
                "type": "object",
                "properties": {"id": STRING, "value": STRING},
                "required": ["id"],
                "additionalProperties": NUMBER,
            }
        ),
    }


def _ours() -> list[Operation]:
    return [
        Operation(
            path="/api/back-pressure",
            method="get",
            name="backPressure",
            tag="back pressure",
            summary="How every task spends its time, who is held back and who is to blame",
            answers={200: json("as it is known now; a pure look", component("BackPressure"))},
        ),
        Operation(
            path="/api/back-pressure/{vertexid}/sample",
            method="post",
            name="sampleBackPressure",
            tag="back pressure",
            summary="Takes a fresh sample of one task",
            parameters=(_VERTEX,),
            answers={
                202: json("whether one was started; not while one is under way", obj({"started": BOOLEAN})),
                404: Answer("there is no such task", {PROBLEM: component("Problem")}),
            },
        ),
    ]


def _flink(prefix: str) -> list[Operation]:
    vertex = "/jobs/{jobid}/vertices/{vertexid}"
    described: list[tuple[str, str, str, Schema, tuple[Parameter, ...]]] = [
        ("/overview", "Overview", "The whole", ANY_OBJECT, ()),
        ("/config", "Config", "What a page should know", ANY_OBJECT, ()),
        ("/jobs", "Jobs", "The job", obj({"jobs": array(obj({"id": ID, "status": STRING}))}), ()),
        ("/jobs/overview", "JobsOverview", "The job, in numbers", obj({"jobs": array(ANY_OBJECT)}), ()),
        ("/jobs/{jobid}", "Job", "The job in full, with its graph", ANY_OBJECT, (_JOB,)),
        ("/jobs/{jobid}/plan", "Plan", "The job graph", obj({"plan": ANY_OBJECT}), (_JOB,)),
        (vertex, "Vertex", "A vertex and its subtasks", ANY_OBJECT, (_JOB, _VERTEX)),
        (
            f"{vertex}/backpressure",
            "BackPressure",
            "The back pressure of a vertex; on demand a look starts a measurement",
            component("FlinkBackPressure"),
            (_JOB, _VERTEX),
        ),
        (
            f"{vertex}/metrics",
            "Metrics",
            "Metrics of each subtask",
            component("FlinkMetrics"),
            (_JOB, _VERTEX, _GET),
        ),
        (
            f"{vertex}/subtasks/metrics",
            "AggregatedMetrics",
            "Metrics over subtasks",
            component("FlinkMetrics"),
            (_JOB, _VERTEX, _GET, _AGG, _SUBTASKS),
        ),
        (
            f"{vertex}/subtasks/accumulators",
            "Accumulators",
            "What user code counted: nothing",
            ANY_OBJECT,
            (_JOB, _VERTEX),
        ),
        (
            f"{vertex}/subtasks/{{subtaskindex}}",
            "Subtask",
            "One subtask",
            ANY_OBJECT,
            (_JOB, _VERTEX, _SUBTASK),
        ),
    ]
    faults = {
        400: json("a parameter cannot be read", component("FlinkErrors")),
        404: json("there is no such thing", component("FlinkErrors")),
    }
    error = Answer("an error in Flink's shape or ours", {JSON: component("FlinkErrors"), PROBLEM: component("Problem")})
    return [
        Operation(
            path=prefix + path,
            method="get",
            name=f"flink{prefix.removeprefix('/').upper()}{name}",
            tag="Flink",
            summary=summary,
            parameters=parameters,
            answers={200: json("the answer", schema), **(faults if parameters else {})},
            error=error,
        )
        for path, name, summary, schema, parameters in described
    ]


def _back_pressure() -> Schema:
    sampler = obj(
        {
            "mode": STRING,
            "numSamples": COUNT,
            "delayBetweenSamples": NUMBER,
            "refreshInterval": NUMBER,
            "ticks": COUNT,
            "missed": COUNT,
            "meanLateness": nullable(NUMBER),
            "worstLateness": NUMBER,
        }
    )
    culprit = obj(
        {
            "task": STRING,
            "id": nullable(ID),
            "subtask": nullable(COUNT),
            "reason": one_of(BlockReason),
            "victims": array(STRING),
            "text": STRING,
        }
    )
    reading = obj(
        {
            "ratio": RATIO,
            "low": RATIO,
            "high": RATIO,
            "level": _LEVEL,
            "samples": COUNT,
            "busyRatio": RATIO,
            "idleRatio": RATIO,
        }
    )
    basis = obj({"byStack": COUNT, "byTransitions": COUNT, "discarded": COUNT, "disagreements": COUNT})
    recent = obj(
        {
            "seconds": NUMBER,
            "busy": NUMBER,
            "idle": NUMBER,
            "backPressured": NUMBER,
            "byReason": by_key(NUMBER, "shares of the time, by reason"),
            "byChannel": array(NUMBER),
        }
    )
    subtask = obj(
        {
            "subtask": COUNT,
            "status": one_of(TaskStatus),
            "state": one_of(("busy", "idle", *BlockReason)),
            "sampled": nullable(reading),
            "basis": nullable(basis),
            "recent": nullable(recent),
            "longestBlocked": NUMBER,
            "input": nullable(
                obj(
                    {
                        "positionBytes": nullable(COUNT),
                        "sizeBytes": nullable(COUNT),
                        "lagBytes": nullable(COUNT),
                        "lagRecords": nullable(COUNT),
                        "offset": COUNT,
                    }
                )
            ),
        }
    )
    task = obj(
        {
            "id": ID,
            "task": STRING,
            "kind": one_of(VertexKind),
            "parallelism": COUNT,
            "level": nullable(_LEVEL),
            "isFresh": BOOLEAN,
            "sampledAt": nullable(unix_seconds()),
            "sampling": nullable(obj({"taken": COUNT, "of": COUNT})),
            "problem": nullable(STRING),
            "subtasks": array(subtask),
        }
    )
    return obj(
        {
            "pipeline": STRING,
            "jobId": ID,
            "state": one_of(EngineState),
            "takenAt": unix_seconds(),
            "sampler": nullable(sampler),
            "bottleneck": nullable(culprit),
            "tasks": array(task),
        }
    )
