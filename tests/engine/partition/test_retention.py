from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import EngineOptions, Pipeline
from engine.core.snapshot import BlockReason
from engine.log.local.inspection import Inspection
from engine.partition.retention import DiskSpace, OldRecords, Retention, disk_space
from engine.runtime.data_folder import DataFolder
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("records", "done", "keep_from"),
    [
        (10, [100, 50], 41),
        (0, [100], 101),
        (10, [10], None),
        (None, [100], None),
        (10, [], None),
        (10, [100, None], None),
    ],
)
def test_what_lies_behind_everybody_may_go(records: int | None, done: list[int | None], keep_from: int | None) -> None:
    assert Retention(records).keep_from(done) == keep_from


@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**9), min_size=1))
def test_nothing_that_somebody_still_needs_may_go(records: int, done: list[int]) -> None:
    keep_from = Retention(records).keep_from(done)
    assert keep_from is None or keep_from <= min(done) + 1


def test_what_may_go_goes_in_steps_and_not_before_it_is_worth_it() -> None:
    asked: list[tuple[int, int]] = []
    batches = 1750

    def delete_before(position: int, batches_max: int) -> int:
        nonlocal batches
        asked.append((position, batches_max))
        deleted = min(batches, batches_max)
        batches -= deleted
        return deleted

    old = OldRecords(Retention(10), 1, delete_before)
    old.let_go([1009])
    assert asked == []
    old.let_go([2009])
    assert asked == [(2000, 100)] * 10
    old.let_go([2009])
    assert asked == [(2000, 100)] * 18
    old.let_go([2009])
    old.let_go([3008])
    assert len(asked) == 18, "what is gone is not asked for again"
    old.let_go([3009])
    assert asked[18:] == [(3000, 100)]


def test_disk_space_is_enough_low_or_exhausted_and_unknown_is_enough() -> None:
    assert disk_space(None, 100) is DiskSpace.ENOUGH
    assert disk_space(100, 100) is DiskSpace.ENOUGH
    assert disk_space(99, 100) is DiskSpace.LOW
    assert disk_space(25, 100) is DiskSpace.LOW
    assert disk_space(24, 100) is DiskSpace.EXHAUSTED


def oldest(folder: Path) -> int:

    with Inspection(1, folder / "partitions" / "1", DataFolder(folder).identity(1)) as inspection:
        return inspection.overview().oldest_position


def test_a_running_log_is_bounded_and_the_next_run_knows_where_it_begins(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    source = ListSource(range(20_000), batch=100, endless=True)
    options = EngineOptions(retained_records=500)
    pipeline = Pipeline("p").source("n", source).export("all", exporter.factory)
    with pipeline.run(tmp_path, options=options):
        assert wait_until(lambda: len(exporter.values("record")) == 20_000)
        assert wait_until(lambda: oldest(tmp_path) > 18_000)
    late = CollectingExporter()
    again = Pipeline("p").source("n", source).export("all", exporter.factory).export("late", late.factory)
    with again.run(tmp_path, options=options):
        assert wait_until(lambda: late.records.get(1))
        assert late.records[1][0].position == oldest(tmp_path)
    assert exporter.values("record") == list(range(20_000))


def test_an_exporter_that_stands_still_holds_its_records(tmp_path: Path) -> None:
    held = CollectingExporter()
    quick = CollectingExporter()
    held.open_gate.clear()
    source = ListSource(range(5_000), batch=100, endless=True)
    pipeline = Pipeline("p").source("n", source).export("quick", quick.factory).export("held", held.factory)
    with pipeline.run(tmp_path, options=EngineOptions(retained_records=100)):
        assert wait_until(lambda: len(quick.values("record")) == 5_000)
        assert oldest(tmp_path) == 1
        held.open_gate.set()
        assert wait_until(lambda: len(held.values("record")) == 5_000)
        assert wait_until(lambda: oldest(tmp_path) > 3_000)


def test_without_room_sources_wait_and_go_on_when_there_is_some(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    source = ListSource([], endless=True)
    pipeline = Pipeline("p").source("n", source).export("all", exporter.factory)
    with pipeline.run(tmp_path) as engine:
        (partition,) = engine._partitions.values()
        partition.set_disk_space(DiskSpace.LOW)
        source.values = range(100)
        assert wait_until(
            lambda: [t.state for t in engine.snapshot().tasks if t.task == "log-writer"] == [BlockReason.DISK_FULL]
        )
        assert exporter.values("record") == []
        partition.set_disk_space(DiskSpace.ENOUGH)
        assert wait_until(lambda: len(exporter.values("record")) == 100)
