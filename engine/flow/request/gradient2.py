"""A limit that follows the ratio of the long-term to the present round trip."""

from __future__ import annotations

from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import Gradient2Settings

_MAX = 200
_SMOOTHING = 0.2
_QUEUE = 4
# So many first samples are averaged plainly before the long average becomes exponential.
_WARM_UP = 10
# How fast the long average falls while it is more than twice the present round trip.
_CATCH_UP = 0.95


class Gradient2Limit:
    """Multiplies itself by (tolerance × long-term ÷ present round trip), within ½ … 1, and adds a small queue.

    The long-term round trip is an exponential average over `long_window` samples; it comes down faster after
    a long stretch of load. Always smoothed; does not change while less than half of it is used.
    Source: Netflix/concurrency-limits, `Gradient2Limit`.
    """

    def __init__(self, settings: Gradient2Settings) -> None:
        self._settings = settings
        self._estimated = float(settings.initial_limit)
        # Of the first samples: how many, and their sum.
        self._samples = 0
        self._sum_ns = 0
        self._long_ns = 0.0
        self.limit = settings.initial_limit

    def on_sample(self, start_ns: int, rtt_ns: int, in_flight: int, dropped: bool) -> None:
        long_ns = self._lengthen(rtt_ns)
        limit = self._estimated
        if in_flight < limit / 2:
            return
        gradient = max(0.5, min(1.0, self._settings.rtt_tolerance * long_ns / rtt_ns))
        wanted = limit * (1 - _SMOOTHING) + (limit * gradient + _QUEUE) * _SMOOTHING
        self._estimated = min(max(wanted, float(self._settings.min_limit)), float(_MAX))
        self.limit = int(self._estimated)

    def _lengthen(self, rtt_ns: int) -> float:
        """Takes a round trip into the long average and returns it."""
        if self._samples < _WARM_UP:
            # What it was brought down by meanwhile is forgotten with the next sample.
            self._samples += 1
            self._sum_ns += rtt_ns
            self._long_ns = self._sum_ns / self._samples
        else:
            weight = 2 / (self._settings.long_window + 1)
            self._long_ns = self._long_ns * (1 - weight) + rtt_ns * weight
        long_ns = self._long_ns
        if long_ns > 2 * rtt_ns:
            self._long_ns *= _CATCH_UP
        return long_ns

    def state(self) -> RequestLimiterState:
        return RequestLimiterState(
            algorithm="gradient2",
            limit=self.limit,
            min_limit=self._settings.min_limit,
            max_limit=_MAX,
            estimated_limit=self._estimated,
            smoothing=_SMOOTHING,
        )
