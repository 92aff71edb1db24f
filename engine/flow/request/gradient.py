"""A limit that follows the ratio of the shortest to the present round trip."""

from __future__ import annotations

import math
from random import Random

from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import GradientSettings

_MAX = 1000
_SMOOTHING = 0.2
_QUEUE_MIN = 4
_BACK_OFF = 0.9
# The shortest round trip is measured afresh after this many samples, and up to as many again.
_PROBE_INTERVAL = 1000


class GradientLimit:
    """Multiplies itself by (tolerance × shortest ÷ present round trip), within ½ … 1, and allows a queue of √limit.

    Shrinks smoothed, grows at once, takes a lost command for a ratio of `_BACK_OFF`; does not change while less than
    half of it is used. A probe for a new shortest round trip begins from a small limit, or the load itself would be
    measured.
    Source: Netflix/concurrency-limits, `GradientLimit`.
    """

    def __init__(self, settings: GradientSettings, random: Random) -> None:
        self._min_limit = settings.min_limit
        self._tolerance = settings.rtt_tolerance
        self._random = random
        self._estimated = float(settings.initial_limit)
        self._shortest_ns = 0
        self._until_probe = self._countdown()
        self.limit = settings.initial_limit

    def on_sample(self, start_ns: int, rtt_ns: int, in_flight: int, dropped: bool) -> None:
        limit = self._estimated
        queue = max(_QUEUE_MIN, math.isqrt(int(limit)))
        self._until_probe -= 1
        if self._until_probe < 0:
            self._until_probe = self._countdown()
            self._shortest_ns = 0
            self._become(max(queue, self._min_limit))
            return
        self._shortest_ns = min(self._shortest_ns or rtt_ns, rtt_ns)
        gradient = max(0.5, min(1.0, self._tolerance * self._shortest_ns / rtt_ns))
        if dropped:
            wanted = limit * _BACK_OFF
        elif in_flight < limit / 2:
            return
        else:
            wanted = limit * gradient + queue
        if wanted < limit:
            wanted = max(self._min_limit, limit * (1 - _SMOOTHING) + wanted * _SMOOTHING)
        self._become(max(queue, min(_MAX, wanted)))

    def _become(self, estimated: float) -> None:
        self._estimated = float(estimated)
        self.limit = int(self._estimated)

    def _countdown(self) -> int:
        return _PROBE_INTERVAL + self._random.randrange(_PROBE_INTERVAL)

    def state(self) -> RequestLimiterState:
        return RequestLimiterState(
            algorithm="gradient",
            limit=self.limit,
            min_limit=self._min_limit,
            max_limit=_MAX,
            estimated_limit=self._estimated,
            rtt_noload_ns=self._shortest_ns,
            smoothing=_SMOOTHING,
        )
