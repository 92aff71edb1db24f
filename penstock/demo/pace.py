"""A steady pace for something that could go faster."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from engine import Clock
from engine.core.clock import NS_PER_SECOND

# Who comes late may make up for so much; what was missed beyond that is not.
_CATCH_UP_NS = NS_PER_SECOND // 10


@dataclass(slots=True)
class Speed:
    """How fast somebody goes, to be changed from any thread. None is as fast as he can."""

    per_second: float | None = None


class Pace:
    """Keeps one thread to a speed that another may change."""

    def __init__(self, speed: Speed, clock: Clock) -> None:
        self.speed = speed
        self._clock = clock
        self._free_ns = 0
        # Never set: waiting on it is a pause.
        self._never = threading.Event()

    def wait(self, count: int) -> None:
        """Waits until the next `count` may go."""
        seconds = self.reserve(count)
        if seconds > 0:
            self._never.wait(seconds)

    def try_go(self, count: int) -> bool:
        """Whether the next `count` may go at once; if so, they have gone."""
        if self.speed.per_second is not None and self._free_ns > self._clock.monotonic_ns():
            return False
        self.reserve(count)
        return True

    def reserve(self, count: int) -> float:
        """For how many seconds to wait before the next `count` may go; they count as gone."""
        per_second = self.speed.per_second
        if per_second is None:
            return 0.0
        now_ns = self._clock.monotonic_ns()
        start_ns = max(self._free_ns, now_ns - _CATCH_UP_NS)
        self._free_ns = start_ns + round(count * NS_PER_SECOND / per_second)
        return max(0, start_ns - now_ns) / NS_PER_SECOND
