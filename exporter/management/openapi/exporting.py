"""The record exporters."""

from __future__ import annotations

from engine.core.snapshot import ExporterState
from exporter.management.exporters import ALL_PATH, PATH
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
from exporter.management.rejects import PATH as REJECTS_PATH
from exporter.management.rejects import SHOWN_MAX

_NAME = Parameter("name", "path", "the exporter's name", STRING)
_SOFT = Parameter("soft", "query", "it exports, and acknowledges nothing: for backups", BOOLEAN)
_AGE = nullable(
    said(
        NUMBER,
        "age of the oldest record that is not acknowledged; 0 when there is none, null when it cannot be read",
    )
)


def operations() -> list[Operation]:
    return [
        Operation(
            path=PATH,
            method="get",
            name="exporters",
            tag="exporting",
            summary="How each record exporter is doing, partition by partition",
            answers={200: json("as it is now", component("Exporters"))},
        ),
        *(
            Operation(
                path=f"{PATH}/{{name}}/{verb}",
                method="post",
                name=f"{verb}Exporter",
                tag="exporting",
                summary=summary,
                parameters=(_NAME, _SOFT),
                answers={
                    202: json(
                        "as asked; at the next batch at the latest", obj({"exporter": STRING, "paused": BOOLEAN})
                    ),
                    400: Answer("soft is neither true nor false", {PROBLEM: component("Problem")}),
                    404: Answer("there is no such exporter", {PROBLEM: component("Problem")}),
                },
            )
            for verb, summary in (
                ("pause", "Holds an exporter where it is; its backlog and its records stay"),
                ("resume", "Lets a paused exporter go on"),
            )
        ),
        *(
            Operation(
                path=f"{ALL_PATH}/{verb}",
                method="post",
                name=f"{verb}Exporting",
                tag="exporting",
                summary=summary,
                parameters=(_SOFT,),
                answers={
                    204: Answer("as asked; at the next batch at the latest"),
                    400: Answer("soft is neither true nor false", {PROBLEM: component("Problem")}),
                },
            )
            for verb, summary in (
                ("pause", "Holds all exporters, as Zeebe's management API does"),
                ("resume", "Lets all exporters go on"),
            )
        ),
        *_rejects(),
    ]


def _rejects() -> list[Operation]:
    task = Parameter("task", "path", "the task that set them aside", STRING)
    limit = Parameter("limit", "query", f"at most so many, 100 by default and {SHOWN_MAX} at most", COUNT)
    missing = Answer("there are none of this task", {PROBLEM: component("Problem")})
    return [
        Operation(
            path=REJECTS_PATH,
            method="get",
            name="rejects",
            tag="exporting",
            summary="How many values each task has set aside, and since when",
            answers={200: json("as it is now", component("Rejects"))},
        ),
        Operation(
            path=f"{REJECTS_PATH}/{{task}}",
            method="get",
            name="rejectsOfTask",
            tag="exporting",
            summary="What a task has set aside, oldest first",
            parameters=(task, limit),
            answers={
                200: json("value, reason, place and time of each", obj({"task": STRING, "rejects": array({})})),
                400: Answer("no such limit", {PROBLEM: component("Problem")}),
                404: missing,
            },
        ),
        Operation(
            path=f"{REJECTS_PATH}/{{task}}",
            method="delete",
            name="dropRejects",
            tag="exporting",
            summary="Deletes what a task has set aside",
            parameters=(task,),
            answers={
                200: json("they are gone", obj({"task": STRING, "deleted": COUNT})),
                404: missing,
                409: Answer("not now", {PROBLEM: component("Problem")}),
            },
        ),
        Operation(
            path=f"{REJECTS_PATH}/{{task}}/replay",
            method="post",
            name="replayRejects",
            tag="exporting",
            summary="Tries again what a task has set aside, soon and each once",
            parameters=(task,),
            answers={
                202: json(
                    "so many of here are tried again",
                    obj(
                        {"task": STRING, "replayed": COUNT},
                        {
                            "instances": said(array(STRING), "those that try again what they have set aside"),
                            "owners": by_key(nullable(STRING), "by partition, who does it for that one just now"),
                        },
                    ),
                ),
                404: missing,
                409: Answer(
                    "they are being replayed, or the pipeline runs over workers", {PROBLEM: component("Problem")}
                ),
            },
        ),
    ]


def schemas() -> dict[str, Schema]:
    partition = obj(
        {
            "partition": said(COUNT, "its number, from 1"),
            "state": one_of(ExporterState),
            "acknowledgedPosition": said(COUNT, "everything up to here is safe outside"),
            "lastWrittenPosition": COUNT,
            "backlog": said(COUNT, "records written and not acknowledged"),
            "oldestUnexportedAgeSeconds": _AGE,
            "exportedRecords": COUNT,
            "skippedRecords": said(COUNT, "left out by the filter"),
            "errors": COUNT,
            "retries": COUNT,
            "lastError": nullable(said(STRING, "also after it is over")),
            "lastErrorAt": nullable(unix_seconds()),
            "pause": nullable(
                obj({"soft": BOOLEAN, "since": unix_seconds(), "by": nullable(said(STRING, "where that is known"))})
            ),
        }
    )
    exporter = obj(
        {
            "exporter": said(STRING, "its name"),
            "state": said(one_of(ExporterState), "of the partition that needs most attention"),
            "backlog": said(COUNT, "of all partitions"),
            "oldestUnexportedAgeSeconds": _AGE,
            "partitions": array(partition),
        }
    )
    reject = obj({"task": STRING, "count": COUNT, "oldestAt": nullable(unix_seconds())})
    return {
        "Rejects": obj({"takenAt": unix_seconds(), "rejects": array(reject)}),
        "Exporters": obj({"takenAt": unix_seconds(), "exporters": array(exporter)}),
    }
