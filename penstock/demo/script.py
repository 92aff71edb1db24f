"""The script of the demo: which phase follows which, and what the world is like in each. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from engine import (
    FixedSettings,
    FlowControlSettings,
    RequestAlgorithm,
    RequestLimitSettings,
    ThrottlingSettings,
    WriteLimitSettings,
)
from engine.core.clock import NS_PER_SECOND

FLIGHTS_PER_SECOND = 240
EXPORTER = "archive"
# What a slow exporter takes on each partition: less than the 610 records a second that so many flights make on the
# busier one.
SLOW_EXPORTER = 250
# What it takes while it catches up: slow enough that one can watch.
CATCHING_UP = 1200
SLOW_PARSE = 60


class Until(Enum):
    """What ends a phase before its time is over."""

    TIME = "nothing"
    THROTTLED = "a partition is throttled"
    FREE = "no partition is throttled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One state of the world. Phases of one name that follow one another are one to whoever watches."""

    name: str
    # How long it lasts at most.
    seconds: float
    # What happens, and what to look at.
    sentence: str
    # Records a second that the exporter takes on each partition; None is as fast as it can.
    exporter_speed: float | None = None
    # Flights a second that `parse` manages; None is as fast as it can.
    parse_speed: float | None = None
    until: Until = Until.TIME


PHASES = (
    Phase(
        name="calm",
        seconds=25,
        sentence=f"{FLIGHTS_PER_SECOND} flights a second come in and all tasks keep up. The backlog is near 0, the "
        "write limit at its maximum.",
    ),
    Phase(
        name="slow exporter",
        seconds=30,
        sentence=f"The exporter {EXPORTER} takes only {SLOW_EXPORTER} records a second from each partition. "
        "Look at the backlog of partition 1: it grows.",
        exporter_speed=SLOW_EXPORTER,
        until=Until.THROTTLED,
    ),
    Phase(
        name="throttled",
        seconds=44,
        sentence="Half of the acceptable backlog is reached. The write limit now follows the exporter, and all tasks "
        "in front of the log wait: they are back-pressured.",
        exporter_speed=SLOW_EXPORTER,
    ),
    Phase(
        name="throttled",
        seconds=30,
        sentence="The exporter is quick again. Its measured rate rises, the write limit with it, and the throttling "
        "ends by itself.",
        exporter_speed=CATCHING_UP,
        until=Until.FREE,
    ),
    Phase(
        name="recovery",
        seconds=20,
        sentence="Writes run at full speed again, and the exporter works off what has gathered. Look at the "
        "backlog: it shrinks.",
        exporter_speed=CATCHING_UP,
    ),
    Phase(
        name="slow task",
        seconds=36,
        sentence=f"parse manages only {SLOW_PARSE} flights a second. It is busy, and flights in front of it is "
        "back-pressured; behind it all is idle. No backlog, no throttling.",
        parse_speed=SLOW_PARSE,
    ),
    Phase(name="calm", seconds=25, sentence="parse is quick again. All is as it was in the beginning."),
)


def scaled(phases: Sequence[Phase], factor: float) -> tuple[Phase, ...]:
    """The same story in `factor` times the time."""
    return tuple(replace(phase, seconds=phase.seconds * factor) for phase in phases)


def flow_control(factor: float) -> FlowControlSettings:
    """Limits under which the story happens: throttling sets in some 12 s × `factor` after the exporter got slow.

    The backlog of the busier partition then rises by 360 records a second, and half of the acceptable one
    throttles. The exporting rate is measured over less than that time, so that the first limit fits the exporter.
    """
    return FlowControlSettings(
        write=WriteLimitSettings(
            enabled=True,
            limit=1200,
            throttling=ThrottlingSettings(
                enabled=True,
                acceptable_backlog=round(8000 * factor),
                minimum_limit=50,
                resolution_ns=round(NS_PER_SECOND * max(factor, 0.5)),
                measurement_window_ns=round(8 * NS_PER_SECOND * factor),
                measurement_resolution_ns=round(NS_PER_SECOND * factor),
            ),
        ),
        # In calm one or two batches are in flight. While results wait for the write limit this keeps commands from
        # piling up in the log, which would come as one burst when the throttling ends.
        request=RequestLimitSettings(enabled=True, algorithm=RequestAlgorithm.FIXED, fixed=FixedSettings(limit=10)),
    )
