"""Two snapshots give exactly the events that lie between them."""

from __future__ import annotations

from engine.core.snapshot import EngineState, ExporterState
from exporter.history.changes import changes
from tests.support.snapshots import busy_snapshot, engine_snapshot, flow, partition, record_exporter


def test_nothing_happens_between_equal_snapshots() -> None:
    assert list(changes(busy_snapshot(), busy_snapshot())) == []


def test_every_kind_of_change_is_told_once() -> None:
    before = engine_snapshot(partitions=(partition(1, exporters=(record_exporter("file"),)), partition(2)))
    now = engine_snapshot(
        state=EngineState.STOPPING,
        bottleneck="file",
        partitions=(
            partition(
                1,
                flow=flow(
                    throttled=True,
                    write_limit_per_second=500.0,
                    write_limit_max_per_second=1000.0,
                    overridden=True,
                    reason="backlog",
                ),
                exporters=(record_exporter("file", state=ExporterState.RETRYING, last_error="no route"),),
            ),
            partition(2),
        ),
    )
    assert [(change.name, change.facts) for change in changes(before, now)] == [
        ("engine", {"state": "stopping", "failure": None}),
        ("throttling", {"partition": 1, "throttled": True, "writeLimitPerSecond": 500.0, "reason": "backlog"}),
        ("limit", {"partition": 1, "writeLimitMaxPerSecond": 1000.0, "overridden": True}),
        ("exporter", {"partition": 1, "exporter": "file", "state": "retrying", "lastError": "no route"}),
        ("bottleneck", {"task": "file"}),
    ]


def test_a_partition_or_an_exporter_that_was_not_there_before_is_no_change() -> None:
    before = engine_snapshot(partitions=())
    now = engine_snapshot(partitions=(partition(1, exporters=(record_exporter("file"),)),))
    assert list(changes(before, now)) == []
    assert list(changes(engine_snapshot(), now)) == []
