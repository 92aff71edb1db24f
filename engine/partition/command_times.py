"""How long user commands take, from their acceptance to the end of their processing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from engine.core.clock import Clock
from engine.core.measures import Histogram


class CommandTimes:
    """Of one partition, which holds its lock around every call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.duration = Histogram()
        # Last position, monotonic time of acceptance and count of each unit, in the order of the log.
        self._accepted: deque[tuple[int, int, int]] = deque()
        # The longest of those that ended since it was asked for.
        self._longest_ns: int | None = None
        # A unit of commands is stored. Bound here, so that it costs no Python frame.
        self.stored: Callable[[tuple[int, int, int]], None] = self._accepted.append

    def processed(self, position: int) -> None:
        """Everything up to `position` is processed."""
        accepted = self._accepted
        if accepted and accepted[0][0] <= position:
            now_ns = self._clock.monotonic_ns()
            self._longest_ns = now_ns - accepted[0][1]
            while accepted and accepted[0][0] <= position:
                _, accepted_ns, count = accepted.popleft()
                self.duration.observe(now_ns - accepted_ns, count)

    def take_longest_ns(self) -> int | None:
        """The longest of what the last step ended; None when it is known already, or there was none."""
        taken, self._longest_ns = self._longest_ns, None
        return taken
