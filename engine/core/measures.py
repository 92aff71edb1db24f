"""Plain-number measuring cells of the hot path; one writer each, read by whoever builds the snapshot."""

from __future__ import annotations

from bisect import bisect_left

from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import Exemplar, HistogramSnapshot

# From a hand-over between threads (50 µs) to a retry that backs off (60 s), about three bounds a decade.
LATENCY_BOUNDS_SECONDS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
# From an acknowledgement at once to a backlog of a day.
AGE_BOUNDS_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0,
)  # fmt: skip


class Histogram:
    """Counts durations in nanoseconds. One thread writes; `snapshot()` may be called from any."""

    __slots__ = ("_bounds_ns", "_bounds_seconds", "_counts", "_exemplars", "_sum_ns")

    def __init__(self, bounds_seconds: tuple[float, ...] = LATENCY_BOUNDS_SECONDS) -> None:
        assert list(bounds_seconds) == sorted(set(bounds_seconds)), "bounds rise"
        self._bounds_seconds = bounds_seconds
        self._bounds_ns = [round(b * NS_PER_SECOND) for b in bounds_seconds]
        self._counts = [0] * (len(bounds_seconds) + 1)
        self._sum_ns = 0
        # By bucket; None until somebody marks a duration.
        self._exemplars: list[Exemplar | None] | None = None

    def observe(self, duration_ns: int, count: int = 1) -> None:
        """Counts `count` observations of the same duration."""
        self._counts[bisect_left(self._bounds_ns, duration_ns)] += count
        self._sum_ns += duration_ns * count

    def mark(self, duration_ns: int, labels: tuple[tuple[str, str], ...], wall_ns: int) -> None:
        """Remembers an observation that was counted before, in place of the last one of its bucket. One thread."""
        if self._exemplars is None:
            self._exemplars = [None] * len(self._counts)
        bucket = bisect_left(self._bounds_ns, duration_ns)
        self._exemplars[bucket] = Exemplar(labels=labels, value=duration_ns / NS_PER_SECOND, wall_ns=wall_ns)

    def snapshot(self) -> HistogramSnapshot:
        # Before the counts: what is marked has been counted.
        exemplars = () if self._exemplars is None else tuple(self._exemplars)
        return HistogramSnapshot(
            bounds=self._bounds_seconds,
            counts=tuple(self._counts),
            sum=self._sum_ns / NS_PER_SECOND,
            exemplars=exemplars,
        )
