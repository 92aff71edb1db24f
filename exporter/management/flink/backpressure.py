"""The answer behind Flink's Back Pressure tab."""

from __future__ import annotations

from engine.core.snapshot import BackPressureSnapshot, VertexBackPressure
from exporter.management.flink.words import Json, milliseconds


def back_pressure(vertex: VertexBackPressure) -> Json:
    """`deprecated` alone while there is nothing, and with the old body while it is being measured anew.

    Levels are written in both spellings: old clients read the one, new ones the other.
    """
    if vertex.level is None or vertex.sampled_wall_ns is None:
        return {"status": "deprecated"}
    return {
        "status": "ok" if vertex.is_fresh else "deprecated",
        **_level(vertex.level),
        "end-timestamp": milliseconds(vertex.sampled_wall_ns),
        "subtasks": [_subtask(number, vertex.subtasks[number]) for number in sorted(vertex.subtasks)],
    }


def _subtask(number: int, reading: BackPressureSnapshot) -> Json:
    return {
        "subtask": number,
        **_level(reading.level),
        "ratio": reading.ratio,
        "idleRatio": _known(reading.idle_ratio),
        "busyRatio": _known(reading.busy_ratio),
    }


def _known(ratio: float | None) -> float | str:
    """As Flink writes what it does not know."""
    return "NaN" if ratio is None else ratio


def _level(level: str) -> Json:
    return {"backpressure-level": level, "backpressureLevel": level}
