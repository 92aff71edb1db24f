"""How fast records may be handed over."""

from __future__ import annotations

from engine.core.clock import NS_PER_SECOND

_BURST_SECONDS = 0.1


class Pace:
    """At most so many records per second, with a tenth of a second saved up. One caller at a time.

    Invariant: debt is kept in records, and paid off at whatever pace holds: a raised one takes effect at once.
    """

    def __init__(self) -> None:
        self._owed = 0.0
        self._seen_ns = 0

    def wait_ns(self, records: int, per_second: float | None, now_ns: int) -> int:
        """0 when `records` may go now, and then they have gone; else how long to wait before asking again."""
        if per_second is None:
            self._owed = 0.0
            return 0
        paid = (now_ns - self._seen_ns) / NS_PER_SECOND * per_second
        self._owed = max(self._owed - paid, -_BURST_SECONDS * per_second)
        self._seen_ns = now_ns
        if self._owed > 0:
            return max(1, round(self._owed / per_second * NS_PER_SECOND))
        self._owed += records
        return 0
