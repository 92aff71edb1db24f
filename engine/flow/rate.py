"""How fast a position has moved of late."""

from __future__ import annotations

from collections import deque

from engine.core.clock import NS_PER_SECOND

# However long the window, its memory is bounded: older points are then further apart than asked for.
_POINTS_MAX = 1000


class RateMeasurement:
    """Records per second by which a position rose over the last `window_ns`.

    Remembers a point at most each `resolution_ns`, reads between two points along a straight line and takes the
    position to stand still after the last observation: a rate read later falls by itself and is 0 one window
    after the movement ended, whether or not anybody observes. One caller at a time.
    """

    __slots__ = ("_current", "_observations", "_points", "_resolution_ns", "_window_ns")

    def __init__(self, window_ns: int, resolution_ns: int) -> None:
        # (monotonic ns, position), oldest first. Invariant: at most one point is older than the window.
        self._points: deque[tuple[int, int]] = deque()
        self._current: tuple[int, int] | None = None
        self._observations = 0
        self.configure(window_ns, resolution_ns)

    def configure(self, window_ns: int, resolution_ns: int) -> None:
        """Sets window and resolution and keeps what was observed."""
        if resolution_ns <= 0 or window_ns <= resolution_ns:
            raise ValueError(
                f"the window ({window_ns} ns) must be longer than its resolution ({resolution_ns} ns), "
                "and both longer than 0"
            )
        self._window_ns = window_ns
        self._resolution_ns = max(resolution_ns, window_ns // _POINTS_MAX)

    def observe(self, position: int, now_ns: int) -> None:
        """Says that the position is `position` now. Time must not go back between calls."""
        points = self._points
        self._current = (now_ns, position)
        self._observations += 1
        if not points or now_ns - points[-1][0] >= self._resolution_ns:
            points.append(self._current)
        # One point stays before the window's beginning, to draw the line from.
        while len(points) > 1 and points[1][0] <= now_ns - self._window_ns:
            points.popleft()

    def go_on_from(self, position: int, per_second: float, now_ns: int) -> None:
        """Takes over what somebody else measured: as if the position had moved that fast for a whole window."""
        before = position - round(per_second * self._window_ns / NS_PER_SECOND)
        self._points.clear()
        self._points.append((now_ns - self._window_ns, before))
        self._current = (now_ns, position)
        self._observations = 2

    def per_second(self, now_ns: int) -> float | None:
        """The mean rate over the window that ends now; None while there are fewer than two observations."""
        if self._current is None or self._observations < 2:
            return None
        begin_ns = max(now_ns - self._window_ns, self._points[0][0])
        if now_ns <= begin_ns:
            return None
        return (self._current[1] - self._position_at(begin_ns)) * NS_PER_SECOND / (now_ns - begin_ns)

    def _position_at(self, when_ns: int) -> float:
        assert self._current is not None
        before_ns, before = self._points[0]
        for at_ns, position in (*self._points, self._current):
            if at_ns >= when_ns:
                if at_ns == before_ns:
                    return position
                return before + (position - before) * (when_ns - before_ns) / (at_ns - before_ns)
            before_ns, before = at_ns, position
        return before
