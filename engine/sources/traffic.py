"""How many values a generator owes at a moment: steady, bursts, a ramp, a sine. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from engine.core.clock import NS_PER_SECOND
from engine.core.durations import format_duration
from engine.core.errors import SettingError

PERIOD_NS = 60 * NS_PER_SECOND
BURST_NS = 5 * NS_PER_SECOND


class Shape(StrEnum):
    """How the rate moves between `rate` and `peak`."""

    STEADY = "steady"
    BURST = "burst"
    RAMP = "ramp"
    SINE = "sine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A rate over time, in records per second; time begins with each run.

    - steady: `rate`, always.
    - burst: `rate`, and `peak` for the last `burst` of each `period`.
    - ramp: from `rate` to `peak` in a straight line over one `period`, then `peak`.
    - sine: from `rate` up to `peak` and back in each `period`.
    """

    shape: Shape = Shape.STEADY
    rate: float = 1000.0
    # As high as `rate` where none is given.
    peak: float | None = None
    period_ns: int = PERIOD_NS
    burst_ns: int = BURST_NS

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate >= 0):
            raise SettingError("rate", "must be 0 or more records per second", self.rate)
        if self.shape is Shape.STEADY:
            if self.rate == 0:
                raise SettingError("rate", "must be greater than 0", self.rate)
            return
        if self.peak is None or not math.isfinite(self.peak) or self.peak < self.rate or self.peak == 0:
            raise SettingError("peak", f"must be given for a {self.shape}, above 0 and not below rate", self.peak)
        if self.period_ns <= 0:
            raise SettingError("period", "must be longer than 0", format_duration(self.period_ns))
        if self.shape is Shape.BURST and not 0 < self.burst_ns <= self.period_ns:
            raise SettingError(
                "burst", "must be longer than 0 and not longer than period", format_duration(self.burst_ns)
            )

    @property
    def highest_rate(self) -> float:
        return self.rate if self.peak is None or self.shape is Shape.STEADY else self.peak

    def due(self, elapsed_ns: int) -> int:
        """Records that should have come `elapsed_ns` after the start: the integral of the rate, rounded down."""
        return math.floor(self._integral(elapsed_ns / NS_PER_SECOND) + 1e-9)

    def _integral(self, t: float) -> float:
        low, high = self.rate, self.highest_rate
        period = self.period_ns / NS_PER_SECOND
        match self.shape:
            case Shape.STEADY:
                return low * t
            case Shape.BURST:
                burst = self.burst_ns / NS_PER_SECOND
                whole, rest = divmod(t, period)
                return low * t + (high - low) * (whole * burst + max(0.0, rest - (period - burst)))
            case Shape.RAMP:
                rising = min(t, period)
                return low * rising + (high - low) * rising**2 / (2 * period) + high * (t - rising)
            case Shape.SINE:
                turn = 2 * math.pi / period
                return (low + high) / 2 * t - (high - low) / 2 * math.sin(turn * t) / turn
            case _:
                assert_never(self.shape)
