"""Metrics, health, the page and its data."""

from __future__ import annotations

from engine.core.snapshot import EngineState, PartitionState, VertexKind
from exporter.catalogue import metrics
from exporter.history.fields import PARTITION_FIELDS, VERTEX_FIELDS, Field
from exporter.management.instances import PATH as INSTANCES_PATH
from exporter.management.instances import REOPEN_PATH
from exporter.management.openapi.operation import PROBLEM, Answer, Operation, Parameter, json
from exporter.management.openapi.schema import (
    BOOLEAN,
    COUNT,
    NUMBER,
    STRING,
    Schema,
    array,
    by_key,
    component,
    nullable,
    obj,
    one_of,
    said,
    unix_seconds,
)

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_PLAIN = "text/plain; charset=utf-8"


def _columns(fields: tuple[Field[object], ...]) -> Schema:
    return obj({field.name: said(array(nullable(NUMBER)), field.help) for field in fields})


def operations() -> list[Operation]:
    return [*_metrics(), *_health(), *_page(), *_data(), *_instances()]


def _instances() -> list[Operation]:
    alone = Answer(
        "no other instance shares the pipeline, or there is no such partition", {PROBLEM: component("Problem")}
    )
    return [
        Operation(
            path=INSTANCES_PATH,
            method="get",
            name="instances",
            tag="health",
            summary="Who shares the pipeline, and who has which partition since when",
            answers={200: json("as this instance knows it", component("Instances")), 404: alone},
        ),
        Operation(
            path=REOPEN_PATH,
            method="post",
            name="reopenPartition",
            tag="health",
            summary="Lets a partition that has failed or stands still try again, wherever it is",
            parameters=(Parameter("partition", "path", "its number, from 1", COUNT),),
            answers={202: json("it is told to its owner", obj({"partition": COUNT})), 404: alone},
        ),
    ]


def schemas() -> dict[str, Schema]:
    partition = obj({"partition": said(COUNT, "its number, from 1"), "columns": _columns(PARTITION_FIELDS)})  # type: ignore[arg-type]
    vertex = obj(
        {
            "id": STRING,
            "task": STRING,
            "kind": one_of(VertexKind),
            "columns": _columns(VERTEX_FIELDS),  # type: ignore[arg-type]
        }
    )
    return {
        "History": obj(
            {
                "lastEventId": said(STRING, "follow the events from here, and nothing is missed"),
                "pipeline": nullable(STRING),
                "state": nullable(one_of(EngineState)),
                "condition": nullable(said(STRING, "how it is, in a word: the worst that is the case")),
                "because": nullable(said(STRING, "the same in a sentence")),
                "bottleneck": nullable(said(STRING, "the task to blame while something is held back")),
                "gateway": nullable(
                    obj({"connections": COUNT, "recordsPerSecond": nullable(NUMBER)}),
                ),
                "resolutionSeconds": COUNT,
                "spanSeconds": COUNT,
                "omitted": said(
                    obj({"partitions": COUNT, "vertices": COUNT}), "how many there was no room for in the history"
                ),
                "times": said(array(NUMBER), "Unix times in seconds, rising; each column has a value for each"),
                "partitions": array(partition),
                "vertices": array(vertex),
            }
        ),
        "Instances": obj(
            {
                "takenAt": unix_seconds(),
                "me": said(STRING, "the one that was asked"),
                "instances": array(
                    obj(
                        {
                            "name": STRING,
                            "isMe": BOOLEAN,
                            "startedAt": unix_seconds(),
                            "version": STRING,
                            "gateway": nullable(said(STRING, "where the others reach it")),
                            "management": nullable(STRING),
                            "partitions": said(array(COUNT), "those it has open"),
                            "differs": said(array(STRING), "parts of its configuration that are not as here"),
                        }
                    )
                ),
                "partitions": array(
                    obj(
                        {
                            "partition": said(COUNT, "its number, from 1"),
                            "owner": nullable(said(STRING, "to which it belongs; null where to nobody who is there")),
                            "state": nullable(one_of(PartitionState)),
                            "since": nullable(unix_seconds()),
                            "why": nullable(said(STRING, "what keeps it from running")),
                            "restoreRemainingRows": nullable(said(COUNT, "while its state is being read")),
                            "restoreSecondsLeft": nullable(said(NUMBER, "a guess, from how fast it went so far")),
                        }
                    )
                ),
            }
        ),
        "Verdict": obj(
            {
                "status": one_of(("UP", "DOWN", "OUT_OF_SERVICE")),
                "details": obj(
                    {"reason": STRING},
                    {
                        "condition": said(STRING, "how it is, in a word: the worst that is the case"),
                        "findings": said(array(STRING), "all that is the case, a sentence each, worst first"),
                        "notes": said(array(STRING), "what is out of the ordinary and does not change the status"),
                    },
                ),
            },
            {"groups": array(STRING)},
        ),
        "Pipelines": obj(
            {
                "pipelines": array(
                    obj(
                        {
                            "pipeline": STRING,
                            "jobId": STRING,
                            "state": one_of(EngineState),
                            "condition": said(STRING, "how it is, in a word: the worst that is the case"),
                            "because": said(STRING, "the same in a sentence"),
                            "bottleneck": nullable(said(STRING, "the task to blame while something is held back")),
                            "isBridge": said(BOOLEAN, "whether it is a bridge itself, which has no tasks"),
                            "bridge": nullable(said(STRING, "the kind of bridge it is seen through")),
                        }
                    )
                )
            }
        ),
        "Links": obj({"_links": by_key(obj({"href": STRING, "templated": {"const": False}}), "by name")}),
        "Info": obj(
            {
                "build": obj({"name": STRING, "version": STRING, "python": STRING, "gil": STRING}),
                "pipeline": obj(
                    {
                        "name": STRING,
                        "jobId": STRING,
                        "state": one_of(EngineState),
                        "partitions": COUNT,
                        "startedAt": unix_seconds(),
                    }
                ),
                "engine": by_key(STRING, "facts of build and configuration"),
            }
        ),
    }


def _metrics() -> list[Operation]:
    names = [name for metric in metrics() for name in metric.sample_names]
    wanted = Parameter("name[]", "query", "only these metrics", {"type": "string", "examples": names[:3]}, is_list=True)
    accept = Parameter("Accept", "header", "OpenMetrics 1.0 and text 0.0.4 are weighed by their q-values", STRING)
    answers = {
        200: Answer("every metric in the catalogue", {_TEXT: None, _OPEN_METRICS: None}),
        500: Answer("the engine gave no snapshot", {_PLAIN: None}),
        503: Answer(
            "too many scrapes at once", {_PLAIN: None, PROBLEM: component("Problem")}, {"Retry-After": "seconds"}
        ),
    }
    return [
        Operation(
            path=path,
            method="get",
            name=name,
            tag="metrics",
            summary="Metrics for Prometheus",
            parameters=(wanted, accept),
            answers=answers,
        )
        for path, name in (("/metrics", "metrics"), ("/actuator/prometheus", "actuatorPrometheus"))
    ]


def _health() -> list[Operation]:
    def verdict(path: str, name: str, summary: str, *, may_fail: bool) -> Operation:
        answers = {200: json("up", component("Verdict"))}
        if may_fail:
            answers[503] = Answer(
                "not up; the reason stands in it",
                {"application/json": component("Verdict"), PROBLEM: component("Problem")},
            )
        return Operation(path=path, method="get", name=name, tag="health", summary=summary, answers=answers)

    alive, ready = "Whether the process answers", "Whether the engine runs and what is known of it is fresh"
    return [
        Operation(
            path="/actuator",
            method="get",
            name="actuator",
            tag="health",
            summary="Links to all of the actuator",
            answers={200: json("links by name", component("Links"))},
        ),
        verdict("/actuator/health", "health", "Whether the engine or a partition has failed", may_fail=True),
        verdict("/actuator/health/liveness", "liveness", alive, may_fail=False),
        verdict("/actuator/health/readiness", "readiness", ready, may_fail=True),
        verdict("/-/healthy", "healthy", alive, may_fail=False),
        verdict("/-/ready", "ready", ready, may_fail=True),
        Operation(
            path="/actuator/info",
            method="get",
            name="info",
            tag="health",
            summary="What is running",
            answers={200: json("build, pipeline, facts", component("Info"))},
        ),
    ]


def _page() -> list[Operation]:
    file = Parameter("path", "path", "a file of the page", STRING)
    return [
        Operation(
            path="/",
            method="get",
            name="page",
            tag="page",
            summary="The web page",
            answers={200: Answer("the page", {"text/html; charset=utf-8": None})},
        ),
        Operation(
            path="/static/{path}",
            method="get",
            name="asset",
            tag="page",
            summary="A file that the page loads",
            parameters=(file, Parameter("If-None-Match", "header", "tags that the client has", STRING)),
            answers={
                200: Answer("the file", {"*/*": None}, {"ETag": "changes with its content"}),
                304: Answer("the client has it"),
                404: Answer("there is no such file", {PROBLEM: component("Problem")}),
            },
        ),
        Operation(
            path="/openapi.json",
            method="get",
            name="openapi",
            tag="page",
            summary="This document",
            answers={200: json("OpenAPI 3.1", {"type": "object"})},
        ),
    ]


def _data() -> list[Operation]:
    since = Parameter("since", "query", "only samples later than this Unix time in seconds", NUMBER)
    wrong = Answer("the request is not understood", {PROBLEM: component("Problem")})
    text: Schema = {"type": "string", "maxLength": 64}
    rights = obj(
        {
            "user": nullable(said(STRING, "null where the port has no users")),
            "mayChange": said(BOOLEAN, "whether requests of this user may change anything"),
        }
    )
    return [
        Operation(
            path="/api/rights",
            method="get",
            name="rights",
            tag="page",
            summary="Who asks, and what that user may do",
            answers={200: json("of the user whose name and password came along", rights)},
        ),
        Operation(
            path="/api/pipelines",
            method="get",
            name="pipelines",
            tag="page",
            summary="All pipelines behind this port, the one that is meant without `?pipeline=` first",
            answers={200: json("how each of them is", component("Pipelines"))},
        ),
        Operation(
            path="/api/history",
            method="get",
            name="history",
            tag="page",
            summary="The last fifteen minutes, one sample a second, as columns",
            parameters=(since,),
            answers={200: json("the samples", component("History")), 400: wrong},
        ),
        Operation(
            path="/api/events",
            method="get",
            name="events",
            tag="page",
            summary="What happens, as it happens: server-sent events sample, throttling, limit, exporter, engine, "
            "bottleneck, and reset when the history must be loaded anew",
            parameters=(
                Parameter("Last-Event-ID", "header", "the last event seen; those that followed come first", text),
                Parameter("lastEventId", "query", "the same, for the first request of a page", text),
            ),
            answers={
                200: Answer("a stream without end", {"text/event-stream; charset=utf-8": None}),
                400: wrong,
                503: Answer(
                    "as many clients listen as may", {PROBLEM: component("Problem")}, {"Retry-After": "seconds"}
                ),
            },
        ),
    ]
