"""Which commands are due, and when the next one will be."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable

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
        # Numbers of some that still lie in the heap and are nobody's any more.
        self._canceled: set[int] = set()
        self.add(timers, wall_ahead_ns(clock))

    def add(self, timers: Iterable[Timer], ahead_ns: int) -> None:
        """`ahead_ns` is wall minus monotonic time as it was when their times were set."""
        for timer in timers:
            heapq.heappush(self._heap, (timer.due_wall_ns - ahead_ns, timer.timer_id, timer))

    def cancel(self, timer_ids: Collection[int]) -> None:
        """Takes some back; those that have fired, or were never added, are passed over."""
        if not timer_ids:
            return
        self._canceled.update(timer_ids)
        if len(self._canceled) > len(self._heap) // 2:
            # Looked through now and then, so that one costs little and they do not pile up.
            self._heap = [entry for entry in self._heap if entry[1] not in self._canceled]
            heapq.heapify(self._heap)
            self._canceled.clear()

    def next_due_ns(self) -> int | None:
        """Monotonic time of the next one."""
        while self._heap and self._heap[0][1] in self._canceled:
            self._canceled.discard(heapq.heappop(self._heap)[1])
        return self._heap[0][0] if self._heap else None

    def due(self, count_max: int) -> list[Timer]:
        """Those whose time has come, earliest first; they stay until `fired`."""
        now_ns = self._clock.monotonic_ns()
        found: list[tuple[int, int, Timer]] = []
        while self._heap and self._heap[0][0] <= now_ns and len(found) < count_max:
            entry = heapq.heappop(self._heap)
            if entry[1] in self._canceled:
                self._canceled.discard(entry[1])
            else:
                found.append(entry)
        for entry in found:
            heapq.heappush(self._heap, entry)
        return [timer for _, _, timer in found]

    def fired(self, count: int) -> None:
        """The first `count` are done."""
        for _ in range(count):
            heapq.heappop(self._heap)

    def __len__(self) -> int:
        return len(self._heap) - len(self._canceled)
