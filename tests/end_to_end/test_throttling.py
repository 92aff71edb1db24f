"""A slow exporter throttles the writers, the backlog settles, and the throttle ends by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Engine, FlowControlSettings, ThrottlingSettings, WriteLimitSettings
from engine.core.clock import NS_PER_MS
from engine.core.snapshot import PartitionSnapshot
from engine.workers.engine import WorkerEngine
from tests.support.surfaces import WORKERS, WORKERS_IDS
from tests.support.waiting import wait_until
from tests.support.worker_pipelines import Refusing, engine_of

ACCEPTABLE = 400
LIMIT = 4000
PATIENCE_SECONDS = 60
SETTINGS = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=LIMIT,
        throttling=ThrottlingSettings(
            enabled=True,
            acceptable_backlog=ACCEPTABLE,
            minimum_limit=50,
            resolution_ns=50 * NS_PER_MS,
            measurement_window_ns=1000 * NS_PER_MS,
            measurement_resolution_ns=50 * NS_PER_MS,
        ),
    )
)
pytestmark = pytest.mark.parametrize("workers", WORKERS, ids=WORKERS_IDS)


def watch(engine: Engine | WorkerEngine) -> tuple[PartitionSnapshot, ...]:
    """A snapshot, of which must hold that throttled is said exactly while the throttle lowers the limit."""
    partitions = engine.snapshot().partitions
    assert [partition.partition for partition in partitions] == [1, 2]
    for partition in partitions:
        flow = partition.flow
        assert flow.write_limit_per_second is not None
        assert flow.throttled == (flow.write_limit_per_second < LIMIT)
        assert partition.backlog_records is not None
        assert partition.backlog_records >= 0
    return partitions


def test_the_backlog_settles_and_the_throttle_ends_when_the_exporter_recovers(workers: int, tmp_path: Path) -> None:
    with engine_of("filling", tmp_path, workers=workers, flow_control=SETTINGS) as engine:
        engine.pace_exporter("slow", 500)
        assert wait_until(lambda: all(p.flow.throttled for p in watch(engine)), PATIENCE_SECONDS)
        # Settled: within a quarter of the acceptable backlog, hundreds of looks in a row.
        near = 0

        def settled() -> bool:
            nonlocal near
            distances = [abs((partition.backlog_records or 0) - ACCEPTABLE) for partition in watch(engine)]
            near = near + 1 if max(distances) <= ACCEPTABLE / 4 else 0
            return near >= 300

        assert wait_until(settled, PATIENCE_SECONDS)
        throttled_ns = [partition.flow.throttled_ns for partition in watch(engine)]
        engine.pace_exporter("slow", None)
        assert wait_until(lambda: not any(p.flow.throttled for p in watch(engine)), PATIENCE_SECONDS)
        for before_ns, partition in zip(throttled_ns, watch(engine), strict=True):
            assert partition.flow.throttled_ns > before_ns > 0
        engine.stop(drain=False)


def test_the_throttle_ends_when_traffic_simply_stops(workers: int, tmp_path: Path) -> None:
    with engine_of("filling", tmp_path, 1500, workers=workers, flow_control=SETTINGS) as engine:
        engine.pace_exporter("slow", 500)
        assert wait_until(lambda: all(p.flow.throttled_ns for p in watch(engine)), PATIENCE_SECONDS)
        assert wait_until(lambda: not any(p.flow.throttled for p in watch(engine)), PATIENCE_SECONDS)
        assert [partition.flow.write_limit_per_second for partition in watch(engine)] == [LIMIT, LIMIT]
        engine.stop(drain=False)


def test_an_exporter_that_never_acknowledged_anything_throttles_too(workers: int, tmp_path: Path) -> None:
    with engine_of("filling", tmp_path, 10**9, Refusing, workers=workers, flow_control=SETTINGS) as engine:
        assert wait_until(lambda: all(p.flow.write_limit_per_second == 50 for p in watch(engine)), PATIENCE_SECONDS)
        assert [exporter.acknowledged_position for p in watch(engine) for exporter in p.exporters] == [1, 1]
        # That is the engine's own record, which stays inside and counts as passed over.
        engine.stop(drain=False)
