"""What the gate reports about its limits: values for the log's `internal` records and for log lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.flow.episodes import Episode


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChanged:
    """The write limit of a partition changed; None stands for *no limit*."""

    partition: int
    wall_ns: int
    old_limit_per_second: float | None
    new_limit_per_second: float | None
    # What the decision rested on; None where it is unknown or did not matter.
    backlog_records: int | None
    acceptable_backlog_records: int | None
    factor: float | None
    exporting_rate_per_second: float | None
    reason: str


def by_time(changes: Iterable[LimitChanged]) -> tuple[LimitChanged, ...]:
    """Those of several partitions, oldest first."""
    return tuple(sorted(changes, key=lambda change: change.wall_ns))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottlingStarted:
    """The throttle begins to hold the limit below the configured one."""

    partition: int
    wall_ns: int
    limit_per_second: float
    limit_max_per_second: float
    backlog_records: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottlingEnded:
    """The configured limit holds again."""

    partition: int
    wall_ns: int
    episode: Episode
    reason: str


FlowEvent = LimitChanged | ThrottlingStarted | ThrottlingEnded
