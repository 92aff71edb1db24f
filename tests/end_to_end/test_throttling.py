"""A slow exporter throttles the writers, the backlog settles, and the throttle ends by itself."""

from __future__ import annotations

from pathlib import Path

from engine import Engine, FlowControlSettings, Pipeline, ThrottlingSettings, WriteLimitSettings
from engine.clock import NS_PER_MS
from engine.snapshot import PartitionSnapshot
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import wait_until

ACCEPTABLE = 400
LIMIT = 4000
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


def watch(engine: Engine) -> PartitionSnapshot:
    """A snapshot, of which must hold that throttled is said exactly while the throttle lowers the limit."""
    (partition,) = engine.snapshot().partitions
    flow = partition.flow
    assert flow.write_limit_per_second is not None
    assert flow.throttled == (flow.write_limit_per_second < LIMIT)
    assert partition.backlog_records is not None
    assert partition.backlog_records >= 0
    return partition


def test_the_backlog_settles_and_the_throttle_ends_when_the_exporter_recovers(tmp_path: Path) -> None:
    source = ListSource(range(10**9), batch=100)
    pipeline = Pipeline("p").source("n", source).export("slow", CollectingExporter().factory)
    with pipeline.run(tmp_path, flow_control=SETTINGS) as engine:
        engine.pace_exporter("slow", 500)
        assert wait_until(lambda: watch(engine).flow.throttled)
        # Settled: within a quarter of the acceptable backlog, a thousand looks in a row.
        near = 0

        def settled() -> bool:
            nonlocal near
            backlog = watch(engine).backlog_records or 0
            near = near + 1 if abs(backlog - ACCEPTABLE) <= ACCEPTABLE / 4 else 0
            return near >= 1000

        assert wait_until(settled)
        throttled_ns = watch(engine).flow.throttled_ns
        engine.pace_exporter("slow", None)
        assert wait_until(lambda: not watch(engine).flow.throttled)
        assert watch(engine).flow.throttled_ns > throttled_ns > 0
        engine.stop(drain=False)


def test_the_throttle_ends_when_traffic_simply_stops(tmp_path: Path) -> None:
    source = ListSource(range(1500), batch=100, endless=True)
    pipeline = Pipeline("p").source("n", source).export("slow", CollectingExporter().factory)
    with pipeline.run(tmp_path, flow_control=SETTINGS) as engine:
        engine.pace_exporter("slow", 500)
        assert wait_until(lambda: watch(engine).flow.throttled)
        assert wait_until(lambda: not watch(engine).flow.throttled)
        assert watch(engine).flow.write_limit_per_second == LIMIT


def test_an_exporter_that_never_acknowledged_anything_throttles_too(tmp_path: Path) -> None:
    exporter = CollectingExporter()

    def refuse(_: object) -> None:
        raise ConnectionError("no such host")

    exporter.before = refuse
    pipeline = Pipeline("p").source("n", ListSource(range(10**9), batch=100)).export("wrong", exporter.factory)
    with pipeline.run(tmp_path, flow_control=SETTINGS) as engine:
        assert wait_until(lambda: watch(engine).flow.write_limit_per_second == 50)
        assert watch(engine).exporters[0].acknowledged_position == 0
        engine.stop(drain=False)
