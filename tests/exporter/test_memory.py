"""Scraping for ever costs no memory, however much the engine behind it changes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

from engine.core.clock import ManualClock
from engine.core.snapshot import EngineSnapshot
from exporter.prometheus import Exposer
from tests.support.engines import FakeEngine
from tests.support.snapshots import TAKEN_MONOTONIC_NS, busy_snapshot, engine_snapshot, partition, task

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
# A handful of caches that fill once; a leak of one object a scrape would be thousands.
BLOCKS_MAX = 1000


def blocks_gained(work: Callable[[int], None], times: int) -> int:
    """How many blocks of memory more are in use after doing it so often, a first round left aside."""
    for n in range(times // 10):
        work(n)
    gc.collect()
    before = sys.getallocatedblocks()
    for n in range(times):
        work(n)
    gc.collect()
    return sys.getallocatedblocks() - before


def test_ten_thousand_scrapes_leave_nothing_behind() -> None:
    exposer = Exposer(FakeEngine(busy_snapshot()), clock=ManualClock(monotonic_ns=TAKEN_MONOTONIC_NS))

    def scrape(n: int) -> None:
        exposer.expose(accept=OPEN_METRICS if n % 2 else "", accept_encoding="gzip" if n % 3 else "")

    assert blocks_gained(scrape, 10_000) < BLOCKS_MAX


def changing(n: int) -> EngineSnapshot:
    """Another partition and another task each time."""
    return engine_snapshot(partitions=(partition(n), partition(n + 1)), tasks=(task(f"step {n}"),))


def test_a_thousand_partitions_and_tasks_that_come_and_go_leave_nothing_behind() -> None:
    engine = FakeEngine()
    exposer = Exposer(engine, clock=ManualClock(monotonic_ns=TAKEN_MONOTONIC_NS))

    def scrape(n: int) -> None:
        engine.told = changing(n)
        body = exposer.expose(accept="", accept_encoding="").body
        assert body.count(b"penstock_throttled{") == 2, "and nothing of those that are gone is told"

    assert blocks_gained(scrape, 1000) < BLOCKS_MAX
