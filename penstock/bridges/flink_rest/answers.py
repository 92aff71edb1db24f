"""What Flink answers, read into plain values: what it does not say, or says as NaN, is None.

Keys and shapes are those of 1.9.3 and 1.20.1, of which answers lie in tests/contracts/flink. Times of Flink's are
milliseconds of its own clock. Each reader raises `LookError` for what is no answer of that route.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.bridges.asking import LookError

# Flink's own words; a job in one of these is over.
OVER = frozenset({"FINISHED", "CANCELED", "FAILED"})
JOB_STATES = (
    "INITIALIZING", "CREATED", "RUNNING", "FAILING", "FAILED", "CANCELLING", "CANCELED", "FINISHED", "RESTARTING",
    "SUSPENDED", "RECONCILING",
)  # fmt: skip
_ID = re.compile(r"[0-9a-f]{32}")
# The first version whose back pressure is by timers: a look at it costs nothing.
_TIMED_SINCE = (1, 13)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A line of `/jobs/overview`."""

    job_id: str
    name: str
    state: str
    started_ms: int
    ended_ms: int | None
    subtasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexRow:
    """A vertex as `/jobs/{id}` tells of it."""

    vertex_id: str
    name: str
    parallelism: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    source_id: str
    target_id: str
    ship_strategy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetails:
    """`/jobs/{id}`. Vertices stand in the order in which records flow."""

    job_id: str
    name: str
    state: str
    started_ms: int
    ended_ms: int | None
    # Flink's own clock, for the age of what it says.
    now_ms: int
    vertices: tuple[VertexRow, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """Shares of a subtask's time, 0 to 1."""

    back_pressured: float
    idle: float | None
    busy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackPressure:
    """`…/backpressure`, where there is something; `sampled_ms` is when it was measured."""

    sampled_ms: int
    subtasks: Mapping[int, Ratios]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtaskRow:
    """A subtask as `…/vertices/{id}` tells of it. Counts are since it started, times in milliseconds."""

    status: str
    started_ms: int | None
    ended_ms: int | None
    records_in: int | None
    records_out: int | None
    busy_ms: int | None
    idle_ms: int | None
    back_pressured_ms: int | None


def version(config: Any) -> str:
    """Of `/config`; empty where it does not say."""
    found = config.get("flink-version") if isinstance(config, dict) else None
    return found[:40] if isinstance(found, str) else ""


def is_timed(version: str) -> bool:
    """Whether back pressure is by timers (from 1.13 on). What cannot be told is taken for older, which costs less."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= _TIMED_SINCE


def job_rows(body: Any) -> list[JobRow]:
    """All jobs that Flink still knows, of any state."""
    return [
        JobRow(
            job_id=_id(_at(row, "jid")),
            name=_text(_at(row, "name")),
            state=_text(_at(row, "state")),
            started_ms=_whole(_at(row, "start-time")),
            ended_ms=_moment(row.get("end-time")),
            subtasks=_whole(_object(row.get("tasks") or {}).get("total") or 0),
        )
        for row in _objects(_at(body, "jobs"))
    ]


def job_details(body: Any) -> JobDetails:
    vertices = {
        vertex_id: VertexRow(
            vertex_id=vertex_id, name=_text(_at(row, "name")), parallelism=max(1, _whole(_at(row, "parallelism")))
        )
        for row in _objects(_at(body, "vertices"))
        for vertex_id in [_id(_at(row, "id"))]
    }
    edges = tuple(
        Edge(
            source_id=_id(_at(source, "id")),
            target_id=_id(_at(node, "id")),
            ship_strategy=str(source.get("ship_strategy") or "FORWARD")[:40],
        )
        for node in _objects(_object(_at(body, "plan")).get("nodes") or [])
        for source in _objects(node.get("inputs") or [])
    )
    edges = tuple(edge for edge in edges if edge.source_id in vertices and edge.target_id in vertices)
    return JobDetails(
        job_id=_id(_at(body, "jid")),
        name=_text(_at(body, "name")),
        state=_text(_at(body, "state")),
        started_ms=_whole(_at(body, "start-time")),
        ended_ms=_moment(body.get("end-time")),
        now_ms=_whole(_at(body, "now")),
        vertices=tuple(vertices[vertex_id] for vertex_id in _in_order(list(vertices), edges)),
        edges=edges,
    )


def back_pressure(body: Any) -> BackPressure | None:
    """None for `deprecated`, and where no subtask has a ratio."""
    if _at(body, "status") != "ok" or "subtasks" not in body:
        return None
    subtasks: dict[int, Ratios] = {}
    for row in _objects(body["subtasks"]):
        ratio = _share(row.get("ratio"))
        if ratio is not None:
            # Of several attempts at one subtask the first is the current one.
            subtasks.setdefault(
                _whole(_at(row, "subtask")),
                Ratios(back_pressured=ratio, idle=_share(row.get("idleRatio")), busy=_share(row.get("busyRatio"))),
            )
    if not subtasks:
        return None
    return BackPressure(sampled_ms=_whole(_at(body, "end-timestamp")), subtasks=subtasks)


def subtask_rows(body: Any) -> Mapping[int, SubtaskRow]:
    rows: dict[int, SubtaskRow] = {}
    for row in _objects(_at(body, "subtasks")):
        counts = _object(row.get("metrics") or {})
        rows.setdefault(
            _whole(_at(row, "subtask")),
            SubtaskRow(
                status=_text(_at(row, "status")),
                started_ms=_moment(row.get("start-time")),
                ended_ms=_moment(row.get("end-time")),
                records_in=_complete(counts, "read-records"),
                records_out=_complete(counts, "write-records"),
                busy_ms=_count(counts.get("accumulated-busy-time")),
                idle_ms=_count(counts.get("accumulated-idle-time")),
                back_pressured_ms=_count(counts.get("accumulated-backpressured-time")),
            ),
        )
    return rows


def _in_order(ids: list[str], edges: tuple[Edge, ...]) -> list[str]:
    """As records flow; Flink tells of a plan from its end. What goes round in a circle stands at the end."""
    left = {vertex_id: {edge.source_id for edge in edges if edge.target_id == vertex_id} for vertex_id in ids}
    order: list[str] = []
    while left:
        ready = [vertex_id for vertex_id, sources in left.items() if not sources.intersection(left)]
        if not ready:
            return [*order, *left]
        order += ready
        for vertex_id in ready:
            del left[vertex_id]
    return order


# -- values ---


def _at(body: Any, key: str) -> Any:
    if not isinstance(body, dict) or key not in body:
        raise LookError("malformed", f"an answer of Flink has no {key!r}; is it the address of its REST API?")
    return body[key]


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise LookError("malformed", "an answer of Flink is not what its REST API is documented to say")
    return value


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(value, list):
        raise LookError("malformed", "an answer of Flink is not what its REST API is documented to say")
    return map(_object, value)


def _id(value: Any) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value.lower()):
        raise LookError("malformed", "an answer of Flink holds an id that is none")
    return value.lower()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise LookError("malformed", "an answer of Flink is not what its REST API is documented to say")
    return value


def _number(value: Any) -> float | None:
    """None for what is none, NaN in either spelling among it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int:
    number = _number(value)
    if number is None:
        raise LookError("malformed", "an answer of Flink has no number where its REST API is documented to have one")
    return int(number)


def _count(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or number < 0 else int(number)


def _moment(value: Any) -> int | None:
    """-1 is a moment that has not come."""
    number = _number(value)
    return None if number is None or number <= 0 else int(number)


def _share(value: Any) -> float | None:
    number = _number(value)
    return None if number is None or number < 0 else min(1.0, number)


def _complete(counts: Mapping[str, Any], name: str) -> int | None:
    """A count that Flink itself calls whole."""
    return _count(counts.get(name)) if counts.get(f"{name}-complete") is True else None
