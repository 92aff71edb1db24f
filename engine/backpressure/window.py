"""The last samples of one task, and how many of them said what."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum

from engine.backpressure.confidence import wilson_interval
from engine.backpressure.levels import level_of
from engine.core.snapshot import BackPressureSnapshot


class Verdict(IntEnum):
    """What a task was doing at a deadline. Numbers, because they count in a list: this is the sampler's hot path."""

    BUSY = 0
    IDLE = 1
    BLOCKED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Samples by verdict."""

    busy: int
    idle: int
    blocked: int

    @property
    def samples(self) -> int:
        return self.busy + self.idle + self.blocked

    def reading(self, sampled_wall_ns: int | None, *, waiting_kept: float = 1.0) -> BackPressureSnapshot | None:
        """What an outsider may see of them; None without samples. Of idle and blocked a part counts, `waiting_kept`."""
        samples = self.samples
        if not samples:
            return None
        low, high = wilson_interval(self.blocked, samples)
        ratio = waiting_kept * self.blocked / samples
        idle_ratio = waiting_kept * self.idle / samples
        return BackPressureSnapshot(
            ratio=ratio,
            samples=samples,
            level=level_of(ratio),
            idle_ratio=idle_ratio,
            busy_ratio=self.busy / samples if waiting_kept == 1.0 else max(0.0, 1 - ratio - idle_ratio),
            ratio_low=waiting_kept * low,
            ratio_high=waiting_kept * high,
            sampled_wall_ns=sampled_wall_ns,
        )


class SampleWindow:
    """Holds the last `size` verdicts. One caller at a time: the monitor holds the lock.

    Invariant: the counts are those of the verdicts held.
    """

    __slots__ = ("_counts", "_verdicts", "size")

    def __init__(self, size: int) -> None:
        assert size >= 1
        self.size = size
        self._verdicts: deque[Verdict] = deque()
        self._counts = [0] * len(Verdict)

    @property
    def is_full(self) -> bool:
        return len(self._verdicts) == self.size

    def add(self, verdict: Verdict) -> None:
        verdicts = self._verdicts
        if len(verdicts) == self.size:
            self._counts[verdicts.popleft()] -= 1
        verdicts.append(verdict)
        self._counts[verdict] += 1

    def counts(self) -> Counts:
        counts = self._counts
        return Counts(busy=counts[Verdict.BUSY], idle=counts[Verdict.IDLE], blocked=counts[Verdict.BLOCKED])
