"""The figures of a simulation that an operator decides by, for machines and for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.core.clock import NS_PER_SECOND
from engine.core.durations import format_duration
from engine.flow.plant import SimulationResult

# Of a longer course only so many moments are given out.
_MOMENTS_MAX = 720


def figures(result: SimulationResult) -> dict[str, Any]:
    """Plain numbers: records, records per second, seconds, shares."""
    settled = result.settled_after_seconds(result.near) if result.throttled_seconds else None
    return {
        "peakBacklog": result.peak_backlog_records,
        "peakOvershoot": result.peak_backlog_records / max(1, result.settings.throttling.acceptable_backlog) - 1,
        "settledAfterSeconds": settled,
        "meanDistance": result.mean_distance,
        "throttledShare": result.throttled_seconds / len(result.moments),
        "lowestLimit": result.lowest_limit_per_second,
        "offeredRecords": result.offered_records,
        "writtenRecords": result.accepted_records,
        "exportedRecords": result.exported_records,
        "backlogAtEnd": result.moments[-1].backlog_records,
    }


def course(result: SimulationResult) -> list[dict[str, Any]]:
    """The plant over time, at most a few hundred moments of it."""
    every = -(-len(result.moments) // _MOMENTS_MAX)
    return [
        {
            "second": moment.second,
            "backlog": moment.backlog_records,
            "limit": moment.limit_per_second,
            "throttled": moment.throttled,
        }
        for moment in result.moments[::every]
    ]


def table(results: Mapping[str, SimulationResult], as_set: str) -> str:
    """Two aligned columns of words and one of figures for each algorithm; the one that is set is marked."""
    columns = [[f"{name} (as set)" if name == as_set else name, *_cells(result)] for name, result in results.items()]
    labels = ["", *_LABELS]
    left = max(map(len, labels))
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for index, label in enumerate(labels):
        cells = (f"{column[index]:>{width}}" for column, width in zip(columns, widths, strict=True))
        lines.append(f"{label:{left}}   {'   '.join(cells)}".rstrip())
    return "\n".join(lines)


_LABELS = (
    "highest backlog",
    "  against the acceptable one",
    "settled after",
    "mean distance while throttled",
    "throttled",
    "lowest limit",
    "written",
    "  of what was offered",
    "exported",
    "backlog at the end",
)


def _cells(result: SimulationResult) -> list[str]:
    told = figures(result)
    settled, distance = told["settledAfterSeconds"], told["meanDistance"]
    if not result.throttled_seconds:
        settled_text = "never throttled"
    else:
        settled_text = "not at all" if settled is None else format_duration(settled * NS_PER_SECOND)
    return [
        f"{told['peakBacklog']:,}",
        f"{told['peakOvershoot']:+.0%}",
        settled_text,
        "–" if distance is None else f"{distance:.0%}",
        f"{told['throttledShare']:.0%}",
        f"{told['lowestLimit']:,.0f}/s",
        f"{told['writtenRecords']:,}",
        f"{told['writtenRecords'] / max(1, told['offeredRecords']):.0%}",
        f"{told['exportedRecords']:,}",
        f"{told['backlogAtEnd']:,}",
    ]
