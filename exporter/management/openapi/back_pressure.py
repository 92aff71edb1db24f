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
_RATIO_OR_NAN: Schema = {"anyOf": [RATIO, {"const": "NaN"}]}
_JOB = Parameter("jobid", "path", "id of the job", ID)
_VERTEX = Parameter("vertexid", "path", "id of the vertex", ID)
_SUBTASK = Parameter("subtaskindex", "path", "number of the subtask, from 0", COUNT)
_MACHINE = Parameter("taskmanagerid", "path", "penstock: there is one", STRING)
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
                            "idleRatio": _RATIO_OR_NAN,
                            "busyRatio": _RATIO_OR_NAN,
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


def _as_flink_has_them(vertex: str) -> list[tuple[str, str, str, Schema, tuple[Parameter, ...]]]:
    """Routes that Flink's page and its clients ask for, and behind which there is little or nothing here."""
    job, machine = "/jobs/{jobid}", "/taskmanagers/{taskmanagerid}"
    subtask = f"{vertex}/subtasks/{{subtaskindex}}"
    attempt = Parameter("attempt", "path", "0: a subtask is tried once", COUNT)
    objects, of_vertex, of_subtask = array(ANY_OBJECT), (_JOB, _VERTEX), (_JOB, _VERTEX, _SUBTASK)
    graph = Parameter("type", "query", "full, on_cpu or off_cpu", STRING)
    metrics = component("FlinkMetrics")
    return [
        ("/jobs/metrics", "MetricsOfJobs", "Metrics over all jobs", metrics, (_GET, _AGG)),
        (f"{job}/metrics", "MetricsOfJob", "Metrics of a job", metrics, (_JOB, _GET)),
        (f"{job}/config", "JobConfig", "How it was configured", ANY_OBJECT, (_JOB,)),
        (f"{job}/exceptions", "Exceptions", "What it failed with", ANY_OBJECT, (_JOB,)),
        (f"{job}/checkpoints", "Checkpoints", "None: every commit is one", ANY_OBJECT, (_JOB,)),
        (f"{job}/checkpoints/config", "CheckpointsConfig", "None", ANY_OBJECT, (_JOB,)),
        (f"{job}/accumulators", "JobAccumulators", "What user code counted: nothing", ANY_OBJECT, (_JOB,)),
        (f"{job}/status", "Status", "The state of a job", obj({"status": STRING}), (_JOB,)),
        (f"{job}/execution-result", "ExecutionResult", "How it ended", ANY_OBJECT, (_JOB,)),
        ("/taskmanagers", "TaskManagers", "One, the process", ANY_OBJECT, ()),
        ("/taskmanagers/metrics", "TaskManagersMetrics", "Metrics of the process", metrics, (_GET,)),
        (machine, "TaskManager", "The process", ANY_OBJECT, (_MACHINE,)),
        (f"{machine}/metrics", "TaskManagerMetrics", "Metrics of the process", metrics, (_MACHINE, _GET)),
        (f"{machine}/logs", "TaskManagerLogs", "None: it logs to standard error", ANY_OBJECT, (_MACHINE,)),
        (f"{machine}/thread-dump", "TaskManagerThreads", "None", ANY_OBJECT, (_MACHINE,)),
        ("/jobmanager/config", "JobManagerConfig", "Versions", objects, ()),
        ("/jobmanager/environment", "JobManagerEnvironment", "What it runs on", ANY_OBJECT, ()),
        ("/jobmanager/metrics", "JobManagerMetrics", "Metrics of the process", metrics, (_GET,)),
        ("/jobmanager/logs", "JobManagerLogs", "None: it logs to standard error", ANY_OBJECT, ()),
        ("/jobmanager/thread-dump", "JobManagerThreads", "None", ANY_OBJECT, ()),
        ("/datasets", "Datasets", "None", ANY_OBJECT, ()),
        ("/jars", "Jars", "None", ANY_OBJECT, ()),
        (
            f"{vertex}/flamegraph",
            "FlameGraph",
            "Stacks as a tree; a look gathers them",
            ANY_OBJECT,
            (*of_vertex, graph),
        ),
        (f"{vertex}/jm-operator-metrics", "OperatorMetrics", "None", objects, of_vertex),
        (f"{vertex}/watermarks", "Watermarks", "None", objects, of_vertex),
        (f"{vertex}/accumulators", "VertexAccumulators", "None", ANY_OBJECT, of_vertex),
        (f"{vertex}/subtasktimes", "SubtaskTimes", "When subtasks entered their states", ANY_OBJECT, of_vertex),
        (f"{vertex}/taskmanagers", "VertexTaskManagers", "The vertex, by process", ANY_OBJECT, of_vertex),
        (f"{subtask}/metrics", "SubtaskMetrics", "Metrics of one subtask", metrics, (*of_subtask, _GET)),
        (f"{subtask}/attempts/{{attempt}}", "Attempt", "One subtask", ANY_OBJECT, (*of_subtask, attempt)),
        (
            f"{subtask}/attempts/{{attempt}}/accumulators",
            "AttemptAccumulators",
            "What user code counted: nothing",
            ANY_OBJECT,
            (*of_subtask, attempt),
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
        *_as_flink_has_them(vertex),
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
    ] + [
        Operation(
            path=f"{prefix}{path}",
            method="get",
            name=f"flink{prefix.removeprefix('/').upper()}{name}",
            tag="Flink",
            summary="Where the log is",
            parameters=parameters,
            answers={200: Answer("a sentence", {"text/plain; charset=utf-8": None})},
            error=error,
        )
        for path, name, parameters in (
            ("/jobmanager/log", "JobManagerLog", ()),
            ("/jobmanager/stdout", "JobManagerOutput", ()),
            ("/taskmanagers/{taskmanagerid}/log", "TaskManagerLog", (_MACHINE,)),
            ("/taskmanagers/{taskmanagerid}/stdout", "TaskManagerOutput", (_MACHINE,)),
        )
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
            "low": nullable(RATIO),
            "high": nullable(RATIO),
            "level": _LEVEL,
            "samples": nullable(COUNT),
            "busyRatio": nullable(RATIO),
            "idleRatio": nullable(RATIO),
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
            "state": one_of(("busy", "idle", "unknown", *BlockReason)),
            "sampled": nullable(reading),
            "basis": nullable(basis),
            "recent": nullable(recent),
            "longestBlocked": nullable(NUMBER),
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
