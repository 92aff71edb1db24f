"""The history holds fifteen minutes at one sample a second, in the same memory whatever happens."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.clock import NS_PER_SECOND
from engine.core.records import WriteSource
from engine.core.snapshot import BlockReason, EngineSnapshot, Outcome, PartitionSnapshot
from exporter.history import CAPACITY, HistoryRecorder
from exporter.history.fields import PARTITION_FIELDS, VERTEX_FIELDS
from exporter.history.recorder import PARTITIONS_MAX, VERTICES_MAX
from exporter.history.table import Table
from tests.support.snapshots import (
    STARTED_WALL_NS,
    busy_snapshot,
    engine_snapshot,
    flow,
    partition,
    record_exporter,
    task,
)
from tests.support.snapshots import vertex as vertex_snapshot


def at(second: float, snapshot: EngineSnapshot | None = None, **changes: Any) -> EngineSnapshot:
    """A snapshot of that second, on both clocks."""
    taken_ns = round(second * NS_PER_SECOND)
    times = {"taken_monotonic_ns": taken_ns, "taken_wall_ns": STARTED_WALL_NS + taken_ns}
    return replace(snapshot or engine_snapshot(), **{**times, **changes})


def told(recorder: HistoryRecorder, since: float | None = None) -> Any:
    """What a client reads."""
    return msgspec.json.decode(msgspec.json.encode(recorder.columns(since_seconds=since)))


def column(recorder: HistoryRecorder, field: str, number: int = 1) -> list[float | None]:
    columns = next(p["columns"] for p in told(recorder)["partitions"] if p["partition"] == number)
    return cast(list[float | None], columns[field])


def vertex_column(recorder: HistoryRecorder, field: str) -> list[float | None]:
    (vertex,) = told(recorder)["vertices"]
    return cast(list[float | None], vertex["columns"][field])


def test_an_empty_history_is_an_answer() -> None:
    answer = told(HistoryRecorder())
    assert (answer["times"], answer["partitions"], answer["vertices"]) == ([], [], [])


def test_a_gauge_is_kept_as_it_is_and_the_unknown_is_null() -> None:
    recorder = HistoryRecorder()
    recorder.record(at(1, busy_snapshot()))
    assert column(recorder, "backlogRecords") == [150_000]
    assert column(recorder, "writeLimitPerSecond") == [533.333]
    assert column(recorder, "throttled") == [1]
    assert column(recorder, "throttled", 2) == [0]
    assert column(recorder, "writeLimitPerSecond", 2) == [None]


def test_a_count_is_kept_as_a_rate_over_the_real_time_between_two_samples() -> None:
    recorder = HistoryRecorder()
    for second, accepted, acknowledged in ((1, 100, 10), (2, 400, 20), (4, 1000, 21)):
        writes = {
            (WriteSource.USER_COMMAND, Outcome.ACCEPTED): accepted - 50,
            (WriteSource.SCHEDULED, Outcome.ACCEPTED): 50,
            (WriteSource.USER_COMMAND, Outcome.REQUEST_LIMIT_EXHAUSTED): 7 * second,
        }
        recorder.record(
            at(second, partitions=(partition(1, flow=flow(writes=writes), lowest_acknowledged_position=acknowledged),))
        )
    assert column(recorder, "acceptedPerSecond") == [None, 300, 300]
    assert column(recorder, "acceptedUserCommandPerSecond") == [None, 300, 300]
    assert column(recorder, "acceptedScheduledPerSecond") == [None, 0, 0]
    assert column(recorder, "acceptedInterPartitionPerSecond") == [None, 0, 0], "which has written nothing yet"
    assert column(recorder, "refusedPerSecond") == [None, 7, 7]
    assert column(recorder, "acknowledgedPerSecond") == [None, 10, 0.5]


def test_the_accepted_writes_of_all_sources_are_those_of_the_partition() -> None:
    recorder = HistoryRecorder()
    for second in (1, 2):
        writes = {(source, Outcome.ACCEPTED): second * 10**n for n, source in enumerate(WriteSource)}
        recorder.record(at(second, partitions=(partition(1, flow=flow(writes=writes)),)))
    names = [f"accepted{source.title().replace('_', '')}PerSecond" for source in WriteSource]
    assert [column(recorder, name)[1] for name in names] == [1, 10, 100, 1000, 10000]
    assert column(recorder, "acceptedPerSecond")[1] == 11111


def test_at_its_fullest_it_takes_less_memory_than_is_promised() -> None:
    values = CAPACITY * (PARTITIONS_MAX * len(PARTITION_FIELDS) + VERTICES_MAX * len(VERTEX_FIELDS) + 1)
    assert values * 8 < 18_000_000


def test_a_count_that_went_back_gives_no_rate() -> None:
    recorder = HistoryRecorder()
    for second, position in ((1, 100), (2, 7), (3, 9)):
        recorder.record(at(second, partitions=(partition(1, last_processed_position=position),)))
    assert column(recorder, "processedPerSecond") == [None, None, 2]


def test_the_age_of_the_backlog_is_that_of_the_snapshot_s_moment() -> None:
    recorder = HistoryRecorder()
    recorder.record(at(9, partitions=(partition(1, oldest_unexported_wall_ns=STARTED_WALL_NS + NS_PER_SECOND),)))
    assert column(recorder, "oldestUnexportedSeconds") == [8]


def one_task(second: int, *subtasks: tuple[int, int, int]) -> EngineSnapshot:
    """A vertex whose subtasks have been busy, idle and back-pressured so many tenths of a second."""
    tenth = NS_PER_SECOND // 10
    tasks = tuple(
        task(
            "parse", n, busy_ns=busy * tenth, idle_ns=idle * tenth, back_pressured_ns={BlockReason.BUFFER: held * tenth}
        )
        for n, (busy, idle, held) in enumerate(subtasks)
    )
    return at(second, vertices=(vertex_snapshot("parse"),), tasks=tasks)


def test_shares_of_a_vertex_are_means_over_its_subtasks_and_sum_to_one() -> None:
    recorder = HistoryRecorder()
    recorder.record(one_task(1, (0, 10, 0), (0, 10, 0)))
    recorder.record(one_task(2, (5, 15, 0), (0, 10, 10)))
    assert vertex_column(recorder, "busyRatio") == [None, 0.25]
    assert vertex_column(recorder, "idleRatio") == [None, 0.25]
    assert vertex_column(recorder, "backPressuredRatio") == [None, 0.5]
    assert vertex_column(recorder, "backPressuredRatioMax") == [None, 1]


def test_a_subtask_that_is_new_or_whose_timers_began_anew_does_not_count() -> None:
    recorder = HistoryRecorder()
    recorder.record(one_task(1, (9, 0, 0), (10, 10, 10)))
    recorder.record(one_task(2, (10, 0, 0), (0, 0, 1), (7, 7, 7)))
    assert vertex_column(recorder, "busyRatio") == [None, 1]


def test_a_record_exporter_s_vertex_tells_its_backlog_over_all_partitions() -> None:
    recorder = HistoryRecorder()
    partitions = tuple(
        partition(n, exporters=(record_exporter("file", backlog_records=n * 10), record_exporter("other")))
        for n in (1, 2)
    )
    recorder.record(at(1, vertices=(vertex_snapshot("file"),), tasks=(task("file"),), partitions=partitions))
    assert vertex_column(recorder, "backlogRecords") == [30]


def test_a_snapshot_that_is_not_later_adds_nothing() -> None:
    recorder = HistoryRecorder()
    assert recorder.record(at(5))
    assert not recorder.record(at(5))
    assert not recorder.record(at(4))
    assert len(told(recorder)["times"]) == 1


def test_after_a_whole_round_the_oldest_second_gives_its_place_to_the_newest() -> None:
    recorder = HistoryRecorder()
    for second in range(1, CAPACITY + 101):
        recorder.record(at(second, partitions=(partition(1, backlog_records=second),)))
    answer = told(recorder)
    start = STARTED_WALL_NS / NS_PER_SECOND
    assert answer["times"] == [start + second for second in range(101, CAPACITY + 101)]
    assert column(recorder, "backlogRecords") == list(range(101, CAPACITY + 101))


@pytest.mark.parametrize(("since", "seconds"), [(0, [1, 2, 3]), (1, [2, 3]), (1.5, [2, 3]), (3, []), (1e300, [])])
def test_since_leaves_out_what_a_client_has_already(since: float, seconds: list[int]) -> None:
    recorder = HistoryRecorder()
    start = STARTED_WALL_NS / NS_PER_SECOND
    for second in (1, 2, 3):
        recorder.record(at(second))
    answer = told(recorder, start + since)
    assert answer["times"] == [start + second for second in seconds]
    assert [len(values) for values in answer["partitions"][0]["columns"].values()] == [len(seconds)] * len(
        PARTITION_FIELDS
    )


def test_times_rise_and_move_along_when_the_wall_clock_is_set() -> None:
    recorder = HistoryRecorder()
    start = STARTED_WALL_NS / NS_PER_SECOND
    recorder.record(at(1))
    recorder.record(at(2, taken_wall_ns=STARTED_WALL_NS + 2 * NS_PER_SECOND + 3_000_000))
    assert told(recorder)["times"] == [start + 1, start + 2], "slewed by 3 ms: told as before"
    recorder.record(at(3, taken_wall_ns=STARTED_WALL_NS - 3597 * NS_PER_SECOND))
    assert told(recorder)["times"] == [start - 3599, start - 3598, start - 3597], "an hour back, all of them"


def test_a_partition_that_comes_late_is_unknown_before_and_one_that_is_gone_after() -> None:
    recorder = HistoryRecorder()
    recorder.record(at(1, partitions=(partition(1, backlog_records=1),)))
    recorder.record(at(2, partitions=(partition(1, backlog_records=2), partition(2, backlog_records=5))))
    recorder.record(at(3, partitions=(partition(2, backlog_records=6),)))
    assert column(recorder, "backlogRecords", 1) == [1, 2, None]
    assert column(recorder, "backlogRecords", 2) == [None, 5, 6]


def test_beyond_its_room_partitions_are_left_out_and_counted() -> None:
    recorder = HistoryRecorder()
    recorder.record(at(1, partitions=tuple(partition(n) for n in range(1, PARTITIONS_MAX + 4))))
    answer = told(recorder)
    assert len(answer["partitions"]) == PARTITIONS_MAX
    assert answer["omitted"] == {"partitions": 3, "vertices": 0}


def test_the_newest_sample_alone_has_the_same_form() -> None:
    recorder = HistoryRecorder()
    assert recorder.newest()["times"] == []
    for second in (1, 2):
        recorder.record(at(second, busy_snapshot()))
    newest = recorder.newest()
    assert newest["times"] == [STARTED_WALL_NS / NS_PER_SECOND + 2]
    assert newest.keys() == recorder.columns().keys()


@settings(deadline=None)
@given(
    rows=st.lists(st.sets(st.integers(0, 6)), max_size=60),
    capacity=st.integers(1, 8),
    things_max=st.integers(1, 4),
)
def test_a_table_never_holds_more_than_its_room_and_forgets_what_is_gone_for_a_round(
    rows: list[set[int]], capacity: int, things_max: int
) -> None:
    table: Table[int] = Table(["n"], capacity=capacity, things_max=things_max)
    for row, present in enumerate(rows):
        table.write(row, {key: [row * 10 + key] for key in present})
        first = max(0, row + 1 - capacity)
        held = table.read(first, row + 1)
        assert len(held) <= things_max
        recent = set().union(*rows[first : row + 1])
        assert held.keys() <= recent
        for key, columns in held.items():
            # Whatever is told is what was written in that row, for that thing.
            told = {r: v for r, v in zip(range(first, row + 1), columns["n"], strict=True) if not math.isnan(v)}
            assert told == {r: r * 10 + key for r in told}
            assert told.keys() <= {r for r in range(first, row + 1) if key in rows[r]}
        assert table.omitted == len(present - held.keys())


def test_memory_does_not_grow_over_a_thousand_changes_of_partitions() -> None:
    import tracemalloc

    recorder = HistoryRecorder()

    def change(second: int) -> None:
        some: tuple[PartitionSnapshot, ...] = tuple(partition(second % 50 + n) for n in range(1, 5))
        recorder.record(at(second, partitions=some))

    for second in range(CAPACITY):
        change(second)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for second in range(CAPACITY, CAPACITY + 1000):
            change(second)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Columns that are replaced show up as new; what they replaced was not traced. Each is 7200 bytes.
    assert after - before < PARTITIONS_MAX * len(PARTITION_FIELDS) * 7400
