"""How hard a task is pushed back, in three words."""

from __future__ import annotations

from enum import StrEnum

# Upper bounds, inclusive: exactly a tenth is still ok, exactly a half is still low. Source: Flink's monitor.
OK_RATIO_MAX = 0.10
LOW_RATIO_MAX = 0.5


class Level(StrEnum):
    """The levels of Flink's Back Pressure tab."""

    OK = "ok"
    LOW = "low"
    HIGH = "high"


def level_of(ratio: float) -> Level:
    """The level of a share of time, 0 to 1, spent back-pressured."""
    assert 0.0 <= ratio <= 1.0, "a ratio is a share"
    if ratio <= OK_RATIO_MAX:
        return Level.OK
    return Level.LOW if ratio <= LOW_RATIO_MAX else Level.HIGH
