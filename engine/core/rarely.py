"""How often a line that repeats is said."""

from __future__ import annotations

from engine.core.clock import NS_PER_SECOND, Clock

_EVERY_NS = 10 * NS_PER_SECOND


class Rarely:
    """Lets the first through at once, then one in ten seconds. One thread at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said_ns: int | None = None
        self._unsaid = 0

    def more(self, count: int = 1) -> int | None:
        """`count` more have happened: how many there are since the last line, if one is to be said now."""
        self._unsaid += count
        now_ns = self._clock.monotonic_ns()
        if self._said_ns is not None and now_ns - self._said_ns < _EVERY_NS:
            return None
        told, self._unsaid, self._said_ns = self._unsaid, 0, now_ns
        return told


def and_more(count: int) -> str:
    """Behind the one that is shown."""
    return f" (and {count - 1:,} more)" if count > 1 else ""
