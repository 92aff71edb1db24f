"""What is known of a worker over the lives of its processes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from engine.flow.episodes import Episode
from engine.flow.events import LimitChanged
from engine.workers.process import WorkerProcess
from engine.workers.seat import Seat


def episode(start: int) -> Episode:
    return Episode(
        partition=1,
        start_wall_ns=start,
        end_wall_ns=None,
        lowest_limit_per_second=1,
        peak_backlog_records=1,
        reason="",
        throttled_ns=1,
    )


def changed(wall_ns: int) -> LimitChanged:
    return LimitChanged(
        partition=1,
        wall_ns=wall_ns,
        old_limit_per_second=None,
        new_limit_per_second=1.0,
        backlog_records=None,
        acceptable_backlog_records=None,
        factor=None,
        exporting_rate_per_second=None,
        reason="by hand",
    )


def test_a_worker_that_dies_again_and_again_leaves_the_last_of_its_history_and_no_more() -> None:
    seat = Seat(1)
    lives, kept = 120, 10
    for life in range(lives):
        seat.taken_by(cast(WorkerProcess, SimpleNamespace(ended=None)))
        first = life * kept
        seat.take_history(
            tuple(episode(first + n) for n in range(kept)), tuple(changed(first + n) for n in range(kept))
        )
        assert seat.episodes[-1].end_wall_ns is None
        seat.emptied(first + kept)
    assert [one.start_wall_ns for one in seat.episodes] == [*range(lives * kept)][-500:]
    assert [one.wall_ns for one in seat.limit_changes] == [*range(lives * kept)][-500:]
    assert all(one.end_wall_ns is not None for one in seat.episodes)
