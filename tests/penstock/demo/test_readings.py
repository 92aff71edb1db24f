"""What two snapshots say together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_SECOND
from engine.core.records import WriteSource
from engine.core.snapshot import BlockReason, EngineSnapshot, Outcome, VertexKind
from penstock.demo.readings import TaskWord, readings
from tests.penstock.demo.frames import two_seconds_later
from tests.support.snapshots import busy_snapshot, engine_snapshot, flow, partition, task

VERTICES = busy_snapshot().vertices


def later(snapshot: EngineSnapshot, seconds: float, **changes: object) -> EngineSnapshot:
    taken = snapshot.taken_monotonic_ns + round(seconds * NS_PER_SECOND)
    return replace(snapshot, taken_monotonic_ns=taken, **changes)  # type: ignore[arg-type]


def written(count: int, refused: int = 0) -> EngineSnapshot:
    writes = {
        (WriteSource.USER_COMMAND, Outcome.ACCEPTED): count,
        (WriteSource.USER_COMMAND, Outcome.WRITE_RATE_LIMIT_EXHAUSTED): refused,
        (WriteSource.PROCESSING_RESULT, Outcome.ACCEPTED): 3 * count,
    }
    return engine_snapshot(partitions=(partition(1, flow=flow(writes=writes), lowest_acknowledged_position=count),))


def test_rates_are_differences_over_the_time_between() -> None:
    seen = readings(written(100), later(written(200, refused=50), 4))
    assert seen.written_per_second == 100, "all sources of writes count, refused ones do not"
    assert seen.exported_per_second == 25


def test_two_snapshots_of_one_moment_give_no_rate() -> None:
    seen = readings(written(100), written(200))
    assert seen.written_per_second == 0


def test_flights_read_are_what_sources_handed_on() -> None:
    assert readings(busy_snapshot(), two_seconds_later(busy_snapshot())).read_per_second == 240


def test_a_task_is_what_it_mostly_was_between_the_snapshots() -> None:
    tasks = {t.task: t for t in readings(busy_snapshot(), two_seconds_later(busy_snapshot())).tasks}
    assert tasks["flights"].word is TaskWord.BACK_PRESSURED
    assert tasks["flights"].back_pressured == 1
    assert (tasks["parse"].busy, tasks["parse"].idle) == (0.5, 0.5)
    assert tasks["file"].word is TaskWord.IDLE


def test_a_task_is_shown_as_its_most_troubled_subtask() -> None:
    before = engine_snapshot(vertices=VERTICES, tasks=(task("parse", 0), task("parse", 1)))
    blocked = task("parse", 1, back_pressured_ns={BlockReason.BUFFER: NS_PER_SECOND}, records_out=7)
    idle = task("parse", 0, idle_ns=task("parse", 0).idle_ns + NS_PER_SECOND, records_out=3)
    (seen,) = readings(before, later(before, 1, tasks=(idle, blocked))).tasks
    assert (seen.word, seen.subtasks) == (TaskWord.BACK_PRESSURED, 2)
    assert seen.out_per_second == 10, "records are those of all subtasks"


def test_tasks_stand_in_the_order_of_the_flow() -> None:
    seen = readings(busy_snapshot(), busy_snapshot())
    assert [t.task for t in seen.tasks] == ["flights", "parse", "processor", "file"]


def test_the_bottleneck_is_marked_and_blamed() -> None:
    seen = readings(busy_snapshot(), busy_snapshot())
    assert [t.task for t in seen.tasks if t.is_bottleneck] == ["file"]
    assert seen.blame == "file holds the others back"
    assert readings(engine_snapshot(), engine_snapshot()).blame is None


def test_throttled_partitions_are_named() -> None:
    assert readings(busy_snapshot(), busy_snapshot()).throttled_partitions == (1,)


@given(busy=st.integers(0, 10**10), idle=st.integers(0, 10**10), blocked=st.integers(0, 10**10))
def test_the_shares_of_a_task_sum_to_one_unless_no_time_was_counted(busy: int, idle: int, blocked: int) -> None:
    before = engine_snapshot(vertices=VERTICES, tasks=(task("flights", kind=VertexKind.SOURCE, idle_ns=0),))
    after = task("flights", busy_ns=busy, idle_ns=idle, back_pressured_ns={BlockReason.WRITE_LIMIT: blocked})
    (seen,) = readings(before, later(before, 1, tasks=(after,))).tasks
    total = seen.busy + seen.idle + seen.back_pressured
    assert total == (pytest.approx(1) if busy + idle + blocked else 0)
