"""What several workers say of themselves, as one."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.core.snapshot import BackPressureSnapshot, EngineSnapshot, VertexBackPressure
from engine.runtime.merging import merged
from tests.support.snapshots import busy_snapshot, engine_snapshot, partition, task, vertex, wide_snapshot


def shares(whole: EngineSnapshot, owners: list[int], workers: int) -> list[EngineSnapshot]:
    """The snapshot cut into those of workers; whatever comes first belongs to the worker that `owners` says."""
    return [
        replace(
            whole,
            partitions=tuple(p for n, p in enumerate(whole.partitions) if owners[n % len(owners)] == worker),
            tasks=tuple(t for n, t in enumerate(whole.tasks) if owners[n % len(owners)] == worker),
        )
        for worker in range(workers)
    ]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
def test_however_it_was_dealt_the_whole_is_the_same(owners: list[int]) -> None:
    whole = wide_snapshot(partitions=5, subtasks=7)
    empty = replace(whole, partitions=(), tasks=())
    together = merged(empty, shares(whole, owners, 3))
    assert together.partitions == whole.partitions
    assert together.tasks == whole.tasks
    assert together.vertices == whole.vertices


def test_without_workers_nothing_is_known() -> None:
    assert merged(engine_snapshot(), []) == engine_snapshot()


def test_a_vertex_is_as_bad_as_its_worst_subtask_in_any_worker() -> None:
    parse = vertex("parse")

    def worker(number: int, ratio: float, level: str, *, is_fresh: bool = True) -> EngineSnapshot:
        seen = BackPressureSnapshot(ratio=ratio, samples=100, level=level)
        return engine_snapshot(
            vertices=(parse,),
            partitions=(partition(number + 1),),
            tasks=(task("parse", number, back_pressure=seen),),
            back_pressure=(
                VertexBackPressure(
                    vertex_id=parse.vertex_id,
                    is_fresh=is_fresh,
                    level=level,
                    sampled_wall_ns=number,
                    subtasks={number: seen},
                    sampling=None,
                    problem=None,
                ),
            ),
        )

    whole = engine_snapshot(partitions=(), tasks=())
    (seen,) = merged(whole, [worker(0, 0.05, "ok"), worker(1, 0.7, "high")]).back_pressure
    assert (seen.level, seen.is_fresh, sorted(seen.subtasks)) == ("high", True, [0, 1])
    (seen,) = merged(whole, [worker(0, 0.05, "ok"), worker(1, 0.7, "high", is_fresh=False)]).back_pressure
    assert not seen.is_fresh


def test_the_parent_alone_says_how_the_run_is_and_which_workers_there_are() -> None:
    busy = busy_snapshot()
    together = merged(busy, [replace(busy, workers=(), started_wall_ns=0)])
    assert together.workers == busy.workers
    assert together.started_wall_ns == busy.started_wall_ns
