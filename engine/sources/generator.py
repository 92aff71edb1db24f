"""Made-up records at a chosen pace: for load, for demonstrations, for finding out what limits do."""

from __future__ import annotations

from typing import Any, Literal

from engine.core.clock import NS_PER_MS, Clock, SystemClock
from engine.core.errors import SettingError
from engine.sources.protocol import SourceBatch, SourceStart
from engine.sources.traffic import BURST_NS, PERIOD_NS, Shape, Traffic

# Values are handed out in strokes of this length, so that a high rate does not come in tiny buffers.
_STROKE_NS = 10 * NS_PER_MS
_64_BITS = 2**64 - 1


def generator(
    shape: Literal["steady", "burst", "ramp", "sine"] = "steady",
    *,
    rate: float = 1000.0,
    peak: float | None = None,
    period_ns: int = PERIOD_NS,
    burst_ns: int = BURST_NS,
    keys: int = 100,
    seed: int = 0,
    count: int | None = None,
    clock: Clock | None = None,
) -> Generator:
    """The source for `Pipeline.source`: records at `rate` per second, in one of the shapes of `Traffic`."""
    traffic = Traffic(shape=Shape(shape), rate=rate, peak=peak, period_ns=period_ns, burst_ns=burst_ns)
    return Generator(traffic, keys=keys, seed=seed, count=count, clock=clock)


class Generator:
    """Gives `{"n": offset, "key": "key-17", "value": 0.7351}`, the same at the same offset in every run.

    `key` is one of `keys`, all equally likely; `value` lies in [0, 1). It ends behind offset `count`, or never. What
    could not be handed over in time, because the pipeline is slow, is handed over as soon as it can be.
    """

    prompt = True
    of_this_machine = True

    def __init__(
        self, traffic: Traffic, *, keys: int = 100, seed: int = 0, count: int | None = None, clock: Clock | None = None
    ) -> None:
        if keys < 1:
            raise SettingError("keys", "must be at least 1", keys)
        if count is not None and count < 0:
            raise SettingError("count", "must be 0 or more", count)
        self._traffic = traffic
        self._keys = keys
        self._seed = _mixed(seed & _64_BITS)
        self._count = count
        self._clock = clock or SystemClock()
        self._began_ns = 0
        self._began_at = 0
        self._offset = 0

    def describe(self) -> str:
        traffic = self._traffic
        pace = f"{traffic.rate:g}"
        if traffic.shape is not Shape.STEADY:
            pace += f" to {traffic.highest_rate:g}"
        bound = "without end" if self._count is None else f"{self._count} in all"
        return f"{traffic.shape} {pace} made-up records per second, {bound}"

    def check(self) -> None:
        """There is nothing that could be missing."""

    def open(self, start: SourceStart) -> None:
        self._began_ns = self._clock.monotonic_ns()
        self._began_at = self._offset = start.offset

    def read(self, max_values: int) -> SourceBatch | None:
        if self._count is not None and self._offset >= self._count:
            return None
        elapsed_ns = (self._clock.monotonic_ns() - self._began_ns) // _STROKE_NS * _STROKE_NS
        until = min(self._began_at + self._traffic.due(elapsed_ns), self._offset + max_values)
        if self._count is not None:
            until = min(until, self._count)
        first = self._offset + 1
        self._offset = max(self._offset, until)
        return SourceBatch(first, [self._value(n) for n in range(first, self._offset + 1)])

    def close(self) -> None:
        """Nothing is open."""

    def _value(self, n: int) -> dict[str, Any]:
        bits = _mixed(self._seed + n)
        return {"n": n, "key": f"key-{bits % self._keys}", "value": (bits >> 11) / 2**53}


def _mixed(number: int) -> int:
    """Well mixed 64 bits of a number, without state: the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    z = (number * 0x9E3779B97F4A7C15) & _64_BITS
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return z ^ (z >> 31)
