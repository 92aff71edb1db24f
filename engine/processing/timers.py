"""Which commands are due, and when the next one will be."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from engine.core.clock import Clock
from engine.core.unit import Timer


def wall_ahead_ns(clock: Clock) -> int:
    """Wall minus monotonic time at this moment; jumps with the wall clock."""
    return clock.wall_ns() - clock.monotonic_ns()


class TimerQueue:
    """Timers by due time. Stored on the wall clock, waited for on the monotonic one.

    A timer's delay is fixed when it is added (or recovered), so that a jump of the wall clock while the engine runs
    neither fires a timer early nor holds it back. One thread only.
    """

    def __init__(self, clock: Clock, timers: Iterable[Timer] = ()) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Timer]] = []
        self.add(timers, wall_ahead_ns(clock))

    def add(self, timers: Iterable[Timer], ahead_ns: int) -> None:
        """`ahead_ns` is wall minus monotonic time as it was when their times were set."""
        for timer in timers:
            heapq.heappush(self._heap, (timer.due_wall_ns - ahead_ns, timer.timer_id, timer))

    def next_due_ns(self) -> int | None:
        """Monotonic time of the next one."""
        return self._heap[0][0] if self._heap else None

    def due(self, count_max: int) -> list[Timer]:
        """Those whose time has come, earliest first; they stay until `fired`."""
        now_ns = self._clock.monotonic_ns()
        found: list[tuple[int, int, Timer]] = []
        while self._heap and self._heap[0][0] <= now_ns and len(found) < count_max:
            found.append(heapq.heappop(self._heap))
        for entry in found:
            heapq.heappush(self._heap, entry)
        return [timer for _, _, timer in found]

    def fired(self, count: int) -> None:
        """The first `count` are done."""
        for _ in range(count):
            heapq.heappop(self._heap)

    def __len__(self) -> int:
        return len(self._heap)
