"""A request limit that learns from whole seconds instead of single round trips."""

from __future__ import annotations

from dataclasses import replace

from engine.core.clock import NS_PER_SECOND
from engine.flow.request.limit import RequestLimit, RequestLimiterState

_WINDOW_NS = NS_PER_SECOND
_SAMPLES_MIN = 10
# After this long a window with fewer samples counts too: a limit that fell must rise again under low traffic.
_WINDOW_NS_MAX = 10 * NS_PER_SECOND
# Below this a round trip tells of the machine's noise, not of load.
_RTT_NS_MIN = 100_000


class WindowedLimit:
    """Hands the mean round trip, the most in flight and any loss of a window to the limit it wraps.

    A window lasts a second and until it has ten samples, at most ten seconds.
    Source: Netflix/concurrency-limits, `WindowedLimit`, which throws sparse windows and short round trips away
    and so can stay at its minimum for ever; here they count.
    """

    def __init__(self, wrapped: RequestLimit) -> None:
        self._wrapped = wrapped
        self.limit = wrapped.limit
        self._begin_ns: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._samples = 0
        self._rtt_sum_ns = 0
        self._in_flight_max = 0
        self._dropped = False

    def on_sample(self, start_ns: int, rtt_ns: int, in_flight: int, dropped: bool) -> None:
        end_ns = start_ns + rtt_ns
        if self._begin_ns is None:
            # The first one only opens the first window.
            self._begin_ns = end_ns
            return
        self._in_flight_max = max(self._in_flight_max, in_flight)
        self._dropped = self._dropped or dropped
        self._samples += 1
        self._rtt_sum_ns += rtt_ns if rtt_ns > _RTT_NS_MIN else _RTT_NS_MIN
        age_ns = end_ns - self._begin_ns
        if age_ns > _WINDOW_NS and (self._samples >= _SAMPLES_MIN or age_ns > _WINDOW_NS_MAX):
            mean_ns = self._rtt_sum_ns // self._samples
            self._wrapped.on_sample(start_ns, mean_ns, self._in_flight_max, self._dropped)
            self.limit = self._wrapped.limit
            self._begin_ns = end_ns
            self._reset()

    def state(self) -> RequestLimiterState:
        return replace(self._wrapped.state(), windowed=True)
