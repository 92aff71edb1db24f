"""Limits that keep the estimated queue short."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import LegacyVegasSettings, VegasSettings

_VEGAS_MAX = 1000
# A new shortest round trip is looked for after about this many commands per unit of the limit.
_PROBE_MULTIPLIER = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounds:
    """How the two kinds of Vegas differ: the queue they like, and their steps, at a given limit."""

    alpha: Callable[[int], int]
    beta: Callable[[int], int]
    step: Callable[[float], float]


class VegasLimit:
    """Estimates the queue as limit × (1 − shortest ÷ present round trip) and keeps it between alpha and beta.

    Grows by beta while there is no queue to speak of, by one step below alpha, shrinks by one step above beta
    or after a lost command; stays while less than half of it is used. The shortest round trip is measured
    afresh now and then, for a system may have become slower for good.
    Source: Brakmo and Peterson 1995 (TCP Vegas), in the form of Netflix/concurrency-limits.
    """

    def __init__(self, algorithm: str, *, initial_limit: int, max_limit: int, bounds: _Bounds, random: Random) -> None:
        self._algorithm = algorithm
        self._estimated = float(initial_limit)
        self._max_limit = max_limit
        self._bounds = bounds
        self._random = random
        self._rtt_noload_ns = 0
        self._since_probe = 0
        self._jitter = random.uniform(0.5, 1)
        self.limit = initial_limit

    def on_sample(self, start_ns: int, rtt_ns: int, in_flight: int, dropped: bool) -> None:
        self._since_probe += 1
        if self._since_probe >= self._jitter * _PROBE_MULTIPLIER * self._estimated:
            self._jitter = self._random.uniform(0.5, 1)
            self._since_probe = 0
            self._rtt_noload_ns = rtt_ns
        elif self._rtt_noload_ns == 0 or rtt_ns < self._rtt_noload_ns:
            self._rtt_noload_ns = rtt_ns
        else:
            wanted = self._wanted(rtt_ns, in_flight, dropped)
            if wanted != self._estimated:
                self._estimated = max(1.0, min(float(self._max_limit), wanted))
                self.limit = int(self._estimated)

    def _wanted(self, rtt_ns: int, in_flight: int, dropped: bool) -> float:
        limit, bounds = self._estimated, self._bounds
        if dropped:
            return limit - bounds.step(limit)
        if in_flight * 2 < limit:
            return limit
        queue = math.ceil(limit * (1 - self._rtt_noload_ns / rtt_ns))
        if queue <= _log10(limit):
            return limit + bounds.beta(int(limit))
        if queue < bounds.alpha(int(limit)):
            return limit + bounds.step(limit)
        if queue > bounds.beta(int(limit)):
            return limit - bounds.step(limit)
        return limit

    def state(self) -> RequestLimiterState:
        return RequestLimiterState(
            algorithm=self._algorithm,
            limit=self.limit,
            max_limit=self._max_limit,
            estimated_limit=self._estimated,
            rtt_noload_ns=self._rtt_noload_ns,
            smoothing=1.0,
        )


def vegas(settings: VegasSettings, random: Random) -> VegasLimit:
    """Vegas with constant bounds and steps of log10."""
    return VegasLimit(
        "vegas",
        initial_limit=settings.initial_limit,
        max_limit=_VEGAS_MAX,
        bounds=_Bounds(alpha=lambda _: settings.alpha, beta=lambda _: settings.beta, step=_log10),
        random=random,
    )


def legacy_vegas(settings: LegacyVegasSettings, random: Random) -> VegasLimit:
    """The first Vegas: bounds are shares of the limit, steps its natural logarithm."""
    return VegasLimit(
        "legacy_vegas",
        initial_limit=settings.initial_limit,
        max_limit=settings.max_concurrency,
        bounds=_Bounds(
            alpha=lambda limit: max(3, int(limit * settings.alpha_limit)),
            beta=lambda limit: max(6, int(limit * settings.beta_limit)),
            step=math.log,
        ),
        random=random,
    )


def _log10(limit: float) -> float:
    """The whole part of the decimal logarithm, at least 1."""
    return float(max(1, int(math.log10(limit))))
