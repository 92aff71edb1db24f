"""When a worker that died is started again, and when no more."""

from __future__ import annotations

from collections import deque

from engine.core.clock import NS_PER_SECOND

FIRST_DELAY_NS = NS_PER_SECOND // 2
LONGEST_DELAY_NS = 10 * NS_PER_SECOND
# So many deaths in so short a time, with nothing done in between, and the run is given up.
DEATHS_MAX = 5
WITHIN_NS = 60 * NS_PER_SECOND


class Restarts:
    """The deaths of one worker. One caller at a time; times are monotonic."""

    def __init__(self) -> None:
        # Those since it last got something done.
        self._deaths_ns: deque[int] = deque(maxlen=DEATHS_MAX)
        self._in_a_row = 0

    def died(self, now_ns: int, *, got_something_done: bool) -> int | None:
        """How long to wait before the next start: twice as long each time. None: it keeps dying, give up."""
        if got_something_done:
            self._deaths_ns.clear()
            self._in_a_row = 0
        self._deaths_ns.append(now_ns)
        self._in_a_row += 1
        if len(self._deaths_ns) == DEATHS_MAX and now_ns - self._deaths_ns[0] <= WITHIN_NS:
            return None
        doublings = min(self._in_a_row - 1, LONGEST_DELAY_NS.bit_length())
        return min(LONGEST_DELAY_NS, FIRST_DELAY_NS << doublings)
