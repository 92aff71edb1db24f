"""The task metrics that Flink's page and tools read, from timers; two shapes: each subtask's, and aggregated."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence

from engine.core.snapshot import BlockReason, EngineSnapshot, RecentTimes, TaskSnapshot
from exporter.management.flink.errors import unreadable
from exporter.management.flink.words import NS_PER_MS, Json

NS_PER_SECOND = 1_000_000_000
Value = int | float | bool
_SUBTASKS = re.compile(r"\d{1,6}(?:-\d{1,6})?")


def _recent(value: Callable[[RecentTimes], float]) -> Callable[[TaskSnapshot], Value]:
    """0 while nothing is known, as a metric that was never updated."""
    return lambda task: 0 if task.recent is None else value(task.recent)


def _per_second(value: Callable[[RecentTimes], int]) -> Callable[[TaskSnapshot], Value]:
    return _recent(lambda recent: value(recent) * NS_PER_SECOND / recent.span_ns)


def _blocked_ns(task: TaskSnapshot) -> int:
    return sum(task.back_pressured_ns.values())


_BLOCKED_PER_SECOND = _recent(lambda recent: round(1000 * recent.blocked_share))

# A thread that is held back here is always blocked: its back pressure is what Flink calls hard.
METRICS: Mapping[str, Callable[[TaskSnapshot], Value]] = {
    "backPressuredTimeMsPerSecond": _BLOCKED_PER_SECOND,
    "hardBackPressuredTimeMsPerSecond": _BLOCKED_PER_SECOND,
    "softBackPressuredTimeMsPerSecond": lambda _task: 0,
    "idleTimeMsPerSecond": _recent(lambda recent: round(1000 * recent.idle_share)),
    "busyTimeMsPerSecond": _recent(lambda recent: 1000 * recent.busy_share),
    "accumulateBackPressuredTimeMs": lambda task: _blocked_ns(task) // NS_PER_MS,
    "accumulateIdleTimeMs": lambda task: (task.idle_ns or 0) // NS_PER_MS,
    "accumulateBusyTimeMs": lambda task: math.nan if task.busy_ns is None else task.busy_ns / NS_PER_MS,
    "maxHardBackPressureTimeMs": lambda task: (task.longest_blocked_ns or 0) // NS_PER_MS,
    "isBackPressured": lambda task: task.state in tuple(BlockReason),
    "numRecordsIn": lambda task: task.records_in or 0,
    "numRecordsOut": lambda task: task.records_out or 0,
    "numRecordsInPerSecond": _per_second(lambda recent: recent.records_in),
    "numRecordsOutPerSecond": _per_second(lambda recent: recent.records_out),
    "buffers.outPoolUsage": lambda task: (task.buffers_in_use or 0) / task.buffers if task.buffers else 0.0,
    "buffers.outputQueueLength": lambda task: task.buffers_in_use or 0,
    # A consumer has no pool of its own here: what waits for it lies in its producer's.
    "buffers.inPoolUsage": lambda _task: 0.0,
    "buffers.inputQueueLength": lambda _task: 0,
    "maxSoftBackPressureTimeMs": lambda _task: 0,
}


def _skew(values: Sequence[float]) -> float:
    """How far the values lie from their mean, in per cent of the mean. Source: Flink's aggregation of that name."""
    mean = statistics.fmean(values)
    return 100 * statistics.fmean(abs(value - mean) for value in values) / mean if mean else 0.0


AGGREGATIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "avg": statistics.fmean,
    "sum": sum,
    "skew": _skew,
}


def of_subtasks(tasks: Sequence[TaskSnapshot], wanted: str | None) -> list[Json]:
    """`<subtask>.<metric>` with its value as text; names alone where no metric is asked for, unknown ones left out."""
    chosen = None if wanted is None else set(wanted.split(","))
    found: list[Json] = []
    for task in tasks:
        for name, value in METRICS.items():
            key = f"{task.subtask}.{name}"
            if chosen is None:
                found.append({"id": key})
            elif key in chosen or name in chosen:
                found.append({"id": key, "value": _text(value(task))})
    return found


def aggregated(
    tasks: Sequence[TaskSnapshot], wanted: str | None, aggregations: str | None, subtasks: str | None
) -> list[Json]:
    """Each metric over the subtasks asked for, by the aggregations asked for; all of them without a word."""
    if wanted is None:
        return [{"id": name} for name in METRICS]
    names = [name for name in dict.fromkeys(wanted.split(",")) if name in METRICS]
    functions = _functions(aggregations)
    numbers = None if subtasks is None else _numbers(subtasks)
    chosen = [task for task in tasks if numbers is None or any(task.subtask in some for some in numbers)]
    if not chosen:
        return []
    answer: list[Json] = []
    for name in names:
        values = [float(METRICS[name](task)) for task in chosen]
        answer.append({"id": name, **{word: function(values) for word, function in functions.items()}})
    return answer


def _functions(aggregations: str | None) -> Mapping[str, Callable[[Sequence[float]], float]]:
    if aggregations is None:
        return AGGREGATIONS
    words = aggregations.lower().split(",")
    for word in words:
        if word not in AGGREGATIONS:
            raise unreadable("query", "agg", word)
    return {word: AGGREGATIONS[word] for word in words}


def _numbers(subtasks: str) -> list[range]:
    """`0,2-3` as ranges, because a few characters may ask for a million."""
    numbers: list[range] = []
    for part in subtasks.split(","):
        if not _SUBTASKS.fullmatch(part):
            raise unreadable("query", "subtasks", part)
        first, _, last = part.partition("-")
        numbers.append(range(int(first), int(last or first) + 1))
    return numbers


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def of_job(snapshot: EngineSnapshot, wanted: str | None) -> list[Json]:
    """Of the job as a whole; names alone where no metric is asked for."""
    values = _of_job(snapshot)
    if wanted is None:
        return [{"id": name} for name in values]
    return [{"id": name, "value": str(values[name])} for name in wanted.split(",") if name in values]


def of_jobs(snapshots: Sequence[EngineSnapshot], wanted: str | None, aggregations: str | None) -> list[Json]:
    """The same over all jobs, by the aggregations asked for."""
    told = [_of_job(snapshot) for snapshot in snapshots]
    names = list(told[0]) if told else []
    if wanted is None:
        return [{"id": name} for name in names]
    functions = _functions(aggregations)
    return [
        {"id": name, **{word: function([float(one[name]) for one in told]) for word, function in functions.items()}}
        for name in dict.fromkeys(wanted.split(","))
        if name in names
    ]


def _of_job(snapshot: EngineSnapshot) -> Mapping[str, int]:
    """There are no checkpoints, and who restarts a pipeline begins a new one."""
    uptime_ms = (snapshot.taken_wall_ns - snapshot.started_wall_ns) // NS_PER_MS
    nothing = ("numRestarts", "fullRestarts", "downtime", "restartingTime", "totalNumberOfCheckpoints")
    counts = ("numberOfCompletedCheckpoints", "numberOfFailedCheckpoints", "numberOfInProgressCheckpoints")
    return {
        "uptime": uptime_ms,
        "runningTime": uptime_ms,
        **dict.fromkeys((*nothing, *counts), 0),
        "lastCheckpointDuration": -1,
        "lastCheckpointSize": -1,
    }
