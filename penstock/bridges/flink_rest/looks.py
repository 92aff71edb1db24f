"""When to look at the back pressure of a vertex, where a look may start a measurement: Flink up to 1.12."""

from __future__ import annotations

from penstock.bridges.flink_rest.answers import BackPressure

# A measurement takes some seconds. One that is not there after so many looks has failed; the next look would begin it.
_FETCHES_MAX = 3


class LookBook:
    """What is known of one vertex, and whether it is time for another look; times are milliseconds of Flink's clock.

    A look at a measurement that is younger than Flink's refresh interval costs nothing; an older or a missing one is
    measured anew, which takes some seconds, and a look meanwhile starts no other. So one look begins a measurement,
    the following ones fetch it, and then none is due until the interval is over. Source: Flink's classic monitor.
    """

    def __init__(self, refresh_interval_ms: int) -> None:
        self._refresh_interval_ms = refresh_interval_ms
        self._found: BackPressure | None = None
        # When the look was that began the last measurement; None before the first.
        self._began_ms: int | None = None
        self._fetches = 0

    def is_due(self, now_ms: int) -> bool:
        if self._began_ms is None:
            return True
        if self._found is None or self._found.sampled_ms < self._began_ms:
            return self._fetches < _FETCHES_MAX or now_ms - self._began_ms >= self._refresh_interval_ms
        return now_ms - self._found.sampled_ms >= self._refresh_interval_ms

    def looked(self, found: BackPressure | None, now_ms: int) -> None:
        """Takes what a look at `now_ms` brought, one that was due."""
        if self._begins(now_ms):
            self._began_ms, self._fetches = now_ms, 0
        else:
            self._fetches += 1
        assert self._began_ms is not None
        if found is not None:
            self._found = found
            if now_ms - found.sampled_ms < self._refresh_interval_ms:
                # It was there already: somebody else's measurement will do.
                self._began_ms = min(self._began_ms, found.sampled_ms)

    def known(self, now_ms: int, grace_ms: int) -> BackPressure | None:
        """The last measurement, unless it should have been replaced by now: some versions call any age of it `ok`."""
        found = self._found
        if found is None or now_ms - found.sampled_ms > self._refresh_interval_ms + grace_ms:
            return None
        return found

    def _begins(self, now_ms: int) -> bool:
        """Whether a look begins a measurement rather than fetch one."""
        began_ms, found = self._began_ms, self._found
        if began_ms is None or now_ms - began_ms >= self._refresh_interval_ms:
            return True
        return found is not None and found.sampled_ms >= began_ms
