"""What a scrape costs by the number of series."""

from __future__ import annotations

import time

from benchmarks.scale.curve import Cost, Costs, Curve, each_apart
from benchmarks.scrape import series_in
from exporter.prometheus import Exposer
from tests.support.engines import FakeEngine
from tests.support.snapshots import wide_snapshot

# What one partition with its two subtasks brings, and what there is beside all partitions.
_SERIES_A_PARTITION, _SERIES_BESIDE = 133, 183


def of_series(series: int) -> Costs:
    """Rendered once before, so that what is kept between scrapes is there."""
    partitions = max(1, round((series - _SERIES_BESIDE) / _SERIES_A_PARTITION))
    exposer = Exposer(FakeEngine(wide_snapshot(partitions=partitions, subtasks=2 * partitions)))

    def rendered() -> bytes:
        return exposer.expose(accept="", accept_encoding="").body

    began = time.perf_counter()
    found = series_in(rendered())
    first = time.perf_counter() - began
    assert 0.7 * series < found < 1.3 * series, f"{found} series instead of {series}"
    repetitions = 3
    began = time.perf_counter()
    for _ in range(repetitions):
        rendered()
    return {"first": 1000 * first, "rendering": 1000 * (time.perf_counter() - began) / repetitions}


CURVES = (
    Curve(
        name="series",
        cause="series",
        setup="the exposition of a snapshot, the first time and again",
        costs=(Cost("first", "ms", 1), Cost("rendering", "ms", 1)),
        points=each_apart(of_series, (1000, 3000, 10_000, 30_000, 100_000), (1000, 10_000)),
    ),
)
