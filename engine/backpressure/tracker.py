"""Measurements taken on demand: when to take one, how long to keep it.

The rules are those of Flink's classic monitor. Who looks gets what is there, and never waits; a look at something
absent or too old starts a measurement, unless one is under way; what nobody looks at is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.core.clock import Clock
from engine.core.snapshot import BackPressureSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One finished measurement of a vertex. Invariant: at least one subtask."""

    subtasks: Mapping[int, BackPressureSnapshot]
    ended_ns: int
    ended_wall_ns: int
    # Why it is not whole; None when it is.
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no measurement, one sentence."""

    text: str


Ended = Callable[[Measurement | Failure], None]
# Begins to measure a vertex; calls back exactly once, at once or later.
Start = Callable[[str, Ended], None]


@dataclass(slots=True)
class _Kept:
    measurement: Measurement
    accessed_ns: int


class MeasurementTracker:
    """Keeps the last measurement of each vertex. One caller at a time: the monitor holds the lock."""

    def __init__(
        self,
        clock: Clock,
        *,
        refresh_interval_ns: int,
        cleanup_interval_ns: int,
        start: Start,
        is_over: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._refresh_interval_ns = refresh_interval_ns
        self._cleanup_interval_ns = cleanup_interval_ns
        self._start = start
        # Whether the job has ended for good: nothing is measured then, and what comes in late is dropped.
        self._is_over = is_over
        self._kept: dict[str, _Kept] = {}
        self._pending: set[str] = set()
        self._problems: dict[str, str] = {}
        self._is_shut_down = False

    def get(self, vertex_id: str) -> Measurement | None:
        """What is there, old or not; starts a new measurement where that is due."""
        kept = self._kept.get(vertex_id)
        if kept is not None:
            kept.accessed_ns = self._clock.monotonic_ns()
        if kept is None or not self.is_fresh(kept.measurement):
            self.trigger(vertex_id)
        return None if kept is None else kept.measurement

    def peek(self, vertex_id: str) -> Measurement | None:
        """What is there, without any effect."""
        kept = self._kept.get(vertex_id)
        return None if kept is None else kept.measurement

    def is_fresh(self, measurement: Measurement) -> bool:
        return self._clock.monotonic_ns() - measurement.ended_ns < self._refresh_interval_ns

    def is_pending(self, vertex_id: str) -> bool:
        return vertex_id in self._pending

    def problem(self, vertex_id: str) -> str | None:
        """Why the last measurement of a vertex failed or is not whole."""
        return self._problems.get(vertex_id)

    def trigger(self, vertex_id: str) -> bool:
        """Starts a measurement; False when one is under way or none can be."""
        if self._is_shut_down or vertex_id in self._pending or self._is_over():
            return False
        self._pending.add(vertex_id)
        self._start(vertex_id, lambda result: self._ended(vertex_id, result))
        return True

    def clean_up(self) -> None:
        """Drops what nobody has got for the clean-up interval."""
        now_ns = self._clock.monotonic_ns()
        for vertex_id, kept in list(self._kept.items()):
            if now_ns - kept.accessed_ns >= self._cleanup_interval_ns:
                del self._kept[vertex_id]

    def shut_down(self) -> None:
        """Forgets everything, for good."""
        self._is_shut_down = True
        self._kept.clear()
        self._pending.clear()

    def _ended(self, vertex_id: str, result: Measurement | Failure) -> None:
        self._pending.discard(vertex_id)
        if self._is_shut_down or self._is_over():
            return
        problem = result.text if isinstance(result, Failure) else result.problem
        if problem is None:
            self._problems.pop(vertex_id, None)
        else:
            self._problems[vertex_id] = problem
        if isinstance(result, Measurement):
            self._kept[vertex_id] = _Kept(result, self._clock.monotonic_ns())
