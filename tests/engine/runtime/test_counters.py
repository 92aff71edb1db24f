"""Counters over the lives of a worker's processes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.core.snapshot import (
    BlockReason,
    EngineSnapshot,
    HistogramSnapshot,
    PartitionState,
    SampleBasis,
    SamplerSnapshot,
    TaskStatus,
)
from engine.runtime.counters import CounterBook
from exporter.catalogue import ENGINE_METRICS, Kind
from tests.support.snapshots import busy_snapshot, engine_snapshot, partition, record_exporter, task


def counted(snapshot: EngineSnapshot) -> dict[tuple[Any, ...], list[float]]:
    """Every number of every counter and histogram of the catalogue."""
    return {
        (metric.name, *labels): [*value.counts, value.sum] if isinstance(value, HistogramSnapshot) else [value]
        for collector, metrics in ENGINE_METRICS.items()
        for metric in metrics
        # A log in a cluster is no worker's: what it counts is never added up.
        if collector != "kafka"
        if metric.kind in (Kind.COUNTER, Kind.HISTOGRAM)
        for labels, value in metric.read(snapshot)
    }


def from_zero(snapshot: EngineSnapshot) -> EngineSnapshot:
    """What a new process says of the same partitions and tasks."""
    return replace(
        snapshot,
        partitions=tuple(
            partition(p.partition, exporters=tuple(record_exporter(e.exporter) for e in p.exporters))
            for p in snapshot.partitions
        ),
        tasks=tuple(task(t.task, t.subtask, idle_ns=0) for t in snapshot.tasks),
        observed=dict.fromkeys(snapshot.observed, 0),
        sampler=snapshot.sampler and replace(snapshot.sampler, ticks=0, missed=0, lateness_ns=0, lateness_max_ns=0),
    )


def test_no_counter_of_the_catalogue_goes_back_when_a_process_begins_from_zero() -> None:
    busy = busy_snapshot()
    book = CounterBook()
    last = counted(book.take(busy))
    assert len({name for name, *_ in last}) > 15, "the busy snapshot counts a bit of everything"
    for _ in range(3):
        book.process_ended()
        at_rest = book.total
        assert at_rest is not None
        assert counted(at_rest) == last, "the dead count on no more"
        assert counted(book.take(from_zero(busy))) == last
        grown = counted(book.take(busy))
        assert set(grown) == set(last)
        assert all(now >= before for name in last for now, before in zip(grown[name], last[name], strict=True))
        assert grown != last
        last = grown


def test_what_two_lives_counted_is_added_up() -> None:
    book = CounterBook()
    one = task(
        "parse",
        busy_ns=5,
        back_pressured_ns={BlockReason.BUFFER: 7},
        blocked_by_channel_ns=(1, 2),
        longest_blocked_ns=9,
        sample_basis=SampleBasis(by_stack=3),
    )
    other = task(
        "parse",
        busy_ns=10,
        back_pressured_ns={BlockReason.BUFFER: 1},
        blocked_by_channel_ns=(1,),
        longest_blocked_ns=4,
    )
    book.take(engine_snapshot(tasks=(one,)))
    book.process_ended()
    (together,) = book.take(engine_snapshot(tasks=(other,))).tasks
    assert together.busy_ns == 15
    assert together.back_pressured_ns[BlockReason.BUFFER] == 8
    assert together.blocked_by_channel_ns == (2, 2)
    assert together.longest_blocked_ns == 9
    assert together.sample_basis == SampleBasis(by_stack=3)


@given(st.lists(st.lists(st.integers(0, 100), min_size=1), min_size=1))
def test_whatever_lives_there_were_the_total_is_the_sum_of_their_ends(lives: list[list[int]]) -> None:
    book = CounterBook()
    shown = 0
    for life in lives:
        for ticks in sorted(life):
            total = book.take(engine_snapshot(sampler=sampler(ticks))).sampler
            assert total is not None
            assert total.ticks >= shown
            shown = total.ticks
        book.process_ended()
    assert shown == sum(max(life) for life in lives)


def test_a_dead_process_has_nothing_on_its_way() -> None:
    book = CounterBook()
    book.take(busy_snapshot())
    book.process_ended()
    at_rest = book.total
    assert at_rest is not None
    assert {p.state for p in at_rest.partitions} == {PartitionState.OPENING}
    assert {p.flow.requests_in_flight for p in at_rest.partitions} == {0}
    # Nor is anything refused or throttled by who is dead: what is to be said of it is that it comes back.
    assert any(p.flow.throttled for p in busy_snapshot().partitions)
    assert not any(p.flow.throttled or p.flow.refused_ns for p in at_rest.partitions)
    assert all(p.flow.write_limit_per_second == p.flow.write_limit_max_per_second for p in at_rest.partitions)
    assert {t.status for t in at_rest.tasks} == {TaskStatus.CREATED}
    assert {t.buffers_in_use for t in at_rest.tasks} <= {None, 0}
    # Positions stay: the log does.
    assert [p.last_written_position for p in at_rest.partitions] == [
        p.last_written_position for p in busy_snapshot().partitions
    ]


def sampler(ticks: int) -> SamplerSnapshot:
    return SamplerSnapshot(
        mode="continuous",
        num_samples=100,
        delay_between_samples_ns=1,
        refresh_interval_ns=1,
        ticks=ticks,
        missed=0,
        lateness_ns=0,
        lateness_max_ns=0,
    )
