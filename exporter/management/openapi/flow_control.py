"""The limits: the documented endpoint, the better one, and the episodes."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from exporter.door import RequestAlgorithm, ThrottlingAlgorithm
from exporter.management.openapi.operation import JSON, PROBLEM, Answer, Operation, Parameter, json
from exporter.management.openapi.schema import (
    BOOLEAN,
    COUNT,
    INTEGER,
    NUMBER,
    STRING,
    Schema,
    array,
    by_key,
    component,
    nullable,
    obj,
    said,
    unix_seconds,
)

_ACTUATOR = "/actuator/flowControl"
_API = "/api/flow-control"
_ERROR = component("ActuatorError")
_PROBLEM = component("Problem")
_DURATION: Schema = {"anyOf": [STRING, NUMBER], "description": "such as 15s, PT15S, or a number of seconds"}
_TTL = Parameter(
    "ttl", "query", "for how long the change shall hold, such as 15m; then the configured values return", STRING
)
_PARTITION = Parameter("partition", "query", "only these partitions", {"type": "integer", "minimum": 1}, is_list=True)
_DRY_RUN = Parameter("dry_run", "query", "only say what would change", BOOLEAN)
_IF_MATCH = Parameter("If-Match", "header", "only if the limits are still those of this tag", STRING)


def operations() -> list[Operation]:
    return [*_documented(), *_ours()]


def schemas() -> dict[str, Schema]:
    return {
        "ActuatorError": obj({"error": STRING, "field": nullable(STRING)}),
        "ActuatorFlowControl": by_key(
            obj({"requestLimiter": nullable({"type": "object"}), "writeRateLimit": nullable(_write_rate_limit())}),
            "by partition; the request limiter in the shape of its algorithm",
        ),
        "FlowControlChange": _change(lambda schema: schema),
        "FlowControlPatch": _change(nullable),
        "FlowControl": obj(_state()),
        "FlowControlChanged": obj(
            {"dryRun": BOOLEAN, "changes": by_key(array(_difference()), "by partition"), **_state()}
        ),
        "Episodes": obj({"episodes": array(_episode())}),
    }


def _documented() -> list[Operation]:
    shown = json("the limits of each partition", component("ActuatorFlowControl"))
    media_types = (JSON, "application/vnd.spring-boot.actuator.v2+json", "application/vnd.spring-boot.actuator.v3+json")
    refused = {
        status: json(description, _ERROR)
        for status, description in (
            (400, "not understood; nothing is changed"),
            (413, "the body is too long"),
            (415, "the body is not JSON"),
            (500, "a value breaks its bound; nothing is changed"),
        )
    }
    error = Answer("an error in the shape of this endpoint", {JSON: _ERROR, PROBLEM: _PROBLEM})
    return [
        Operation(
            path=_ACTUATOR,
            method="get",
            name="actuatorFlowControl",
            tag="flow control",
            summary="The limits, as Zeebe shows them",
            answers={200: shown},
            error=error,
        ),
        Operation(
            path=_ACTUATOR,
            method="post",
            name="changeActuatorFlowControl",
            tag="flow control",
            summary="Changes the limits of all partitions, as Zeebe does",
            parameters=(_TTL,),
            body=dict.fromkeys(media_types, component("FlowControlChange")),
            answers={200: shown, **refused},
            error=error,
        ),
    ]


def _ours() -> list[Operation]:
    tag = {"ETag": "changes with the settings"}
    changed = Answer("what changed, and how things stand now", {JSON: component("FlowControlChanged")}, tag)

    def wrong(description: str) -> Answer:
        return Answer(description, {PROBLEM: _PROBLEM})

    unclear, unknown = wrong("not understood; nothing is changed"), wrong("there is no such partition")
    moved = wrong("the limits are no longer those of If-Match")
    return [
        Operation(
            path=_API,
            method="get",
            name="flowControl",
            tag="flow control",
            summary="The limits: configured, set by hand, and what comes of them now",
            parameters=(_PARTITION,),
            answers={
                200: Answer("the limits", {JSON: component("FlowControl")}, tag),
                400: unclear,
                404: unknown,
            },
        ),
        Operation(
            path=_API,
            method="patch",
            name="patchFlowControl",
            tag="flow control",
            summary="Changes limits by a merge patch; null brings the configured value back",
            parameters=(_PARTITION, _DRY_RUN, _TTL, _IF_MATCH),
            body={"application/merge-patch+json": component("FlowControlPatch"), JSON: component("FlowControlPatch")},
            answers={
                200: changed,
                400: unclear,
                404: unknown,
                412: moved,
                413: wrong("the body is too long"),
                415: wrong("the body is not JSON"),
                422: wrong("values that cannot stand, each with its JSON pointer"),
            },
        ),
        Operation(
            path=_API,
            method="delete",
            name="revertFlowControl",
            tag="flow control",
            summary="Brings the configured limits back",
            parameters=(_PARTITION, _DRY_RUN, _IF_MATCH),
            answers={200: changed, 400: unclear, 404: unknown, 412: moved},
        ),
        Operation(
            path="/api/throttling/episodes",
            method="get",
            name="episodes",
            tag="flow control",
            summary="When the throttle held the limits down, oldest first",
            parameters=(
                _PARTITION,
                Parameter("from", "query", "only episodes that touch the time after this Unix time", NUMBER),
                Parameter("to", "query", "only episodes that touch the time before this Unix time", NUMBER),
            ),
            answers={200: json("the episodes", component("Episodes")), 400: unclear},
        ),
    ]


def _write_rate_limit() -> Schema:
    throttling = {"enabled": BOOLEAN, "acceptableBacklog": COUNT, "minRate": COUNT, "resolution": NUMBER}
    # While it is disabled any limit stands, for it says nothing.
    return obj({"enabled": BOOLEAN, "limit": INTEGER, "rampUp": NUMBER, "throttling": obj(throttling)})


def _change(or_null: Callable[[Schema], Schema]) -> Schema:
    """The body of a change; `or_null` adds null where it may stand in place of a value."""

    def keys(**all_of: Schema) -> Schema:
        return obj({}, {name: or_null(schema) for name, schema in all_of.items()})

    throttling = keys(
        enabled=BOOLEAN,
        acceptableBacklog=INTEGER,
        minimumLimit=INTEGER,
        minRate=said(INTEGER, "another name for minimumLimit"),
        resolution=_DURATION,
        algorithm=_in_any_case(ThrottlingAlgorithm),
        measurementWindow=_DURATION,
        measurementResolution=_DURATION,
    )
    aimd = keys(requestTimeout=_DURATION, initialLimit=INTEGER, minLimit=INTEGER, maxLimit=INTEGER, backoffRatio=NUMBER)
    gradient = {"minLimit": INTEGER, "initialLimit": INTEGER, "rttTolerance": NUMBER}
    request = keys(
        enabled=BOOLEAN,
        useWindowed=BOOLEAN,
        algorithm=_in_any_case(RequestAlgorithm),
        aimd=aimd,
        fixed=keys(limit=INTEGER),
        vegas=keys(alpha=INTEGER, beta=INTEGER, initialLimit=INTEGER),
        gradient=keys(**gradient),
        gradient2=keys(**gradient, longWindow=INTEGER),
        legacyVegas=keys(initialLimit=INTEGER, maxConcurrency=INTEGER, alphaLimit=NUMBER, betaLimit=NUMBER),
    )
    write = keys(enabled=BOOLEAN, limit=INTEGER, rampUp=_DURATION, throttling=throttling)
    # Null leaves the part as it is in the documented endpoint, and brings the configured one back in the other.
    return obj({}, {"write": nullable(write), "request": nullable(request)})


def _in_any_case(values: type[StrEnum]) -> Schema:
    return {"type": "string", "description": f"one of {', '.join(values)}, in any case"}


def _settings() -> Schema:
    return said({"type": "object"}, "write and request, with every key of docs/flow-control.md")


def _state() -> dict[str, Schema]:
    override = obj({"since": unix_seconds(), "until": nullable(unix_seconds()), "by": nullable(STRING)})
    effective = obj(
        {
            "writeLimit": nullable(NUMBER),
            "writeLimitMax": nullable(NUMBER),
            "rampUpRate": nullable(NUMBER),
            "throttled": BOOLEAN,
            "throttledSeconds": NUMBER,
            "throttleFactor": nullable(NUMBER),
            "reason": STRING,
            "backlog": nullable(COUNT),
            "acceptableBacklog": nullable(COUNT),
            "exportingRate": nullable(NUMBER),
            "writeRate": nullable(NUMBER),
            "load": nullable(NUMBER),
            "requestLimit": nullable(COUNT),
            "requestsInFlight": COUNT,
            "waitingWriters": COUNT,
            "nextFreeSeconds": nullable(NUMBER),
        }
    )
    partition = obj(
        {"settings": _settings(), "override": nullable(override), "effective": nullable(effective)},
        {"owner": nullable(said(STRING, "the instance that has it, where several share the pipeline"))},
    )
    return {"configured": _settings(), "partitions": by_key(partition, "by partition")}


def _difference() -> Schema:
    return obj({"pointer": said(STRING, "a JSON pointer into the settings"), "from": {}, "to": {}})


def _episode() -> Schema:
    return obj(
        {
            "partition": COUNT,
            "start": unix_seconds(),
            "end": nullable(unix_seconds("null while it runs")),
            "throttledSeconds": NUMBER,
            "lowestLimit": NUMBER,
            "peakBacklog": COUNT,
            "reason": said(STRING, "why the limit was held down, as the throttle said when it was lowest"),
        }
    )
