"""What was before a restart, or a crash, is still there afterwards; what is kept is bounded, and never in the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import EngineSnapshot, EngineState
from engine.flow.episodes import Episode
from exporter.history import HistorySampler
from exporter.history.keeping import Keeping, Row
from tests.support.engines import FakeEngine
from tests.support.snapshots import TAKEN_MONOTONIC_NS, TAKEN_WALL_NS, engine_snapshot, partition

RUNNING_EPISODE = Episode(
    partition=1,
    start_wall_ns=TAKEN_WALL_NS + 2 * NS_PER_SECOND,
    end_wall_ns=None,
    lowest_limit_per_second=100.0,
    peak_backlog_records=7,
    reason="backlog 9 of 8",
    throttled_ns=NS_PER_SECOND,
)


def at(second: int, **changes: object) -> EngineSnapshot:
    """A snapshot so many seconds later, of an engine that was started anew when its monotonic clock says so."""
    told = engine_snapshot(partitions=(partition(1, backlog_records=second),), **changes)
    return replace(
        told,
        taken_wall_ns=TAKEN_WALL_NS + second * NS_PER_SECOND,
        taken_monotonic_ns=TAKEN_MONOTONIC_NS + second * NS_PER_SECOND,
    )


def run(folder: Path, seconds: range, engine: FakeEngine | None = None) -> HistorySampler:
    """A process that samples each of these seconds and is killed: nobody closes anything."""
    engine = engine or FakeEngine()
    sampler = HistorySampler(engine, data=folder)
    for second in seconds:
        engine.told = at(second)
        sampler.sample()
    return sampler


def backlogs(sampler: HistorySampler) -> list[float]:
    told = cast(Any, sampler.recorder.columns())
    return list(told["partitions"][0]["columns"]["backlogRecords"])


def test_a_killed_process_leaves_its_minutes_to_the_next_one(tmp_path: Path) -> None:
    run(tmp_path, range(5))
    found = backlogs(run(tmp_path, range(10, 12)))
    assert found[:5] == [0, 1, 2, 3, 4]
    # The time in which nobody ran is a gap, over which no line leads.
    assert found[5] != found[5]
    assert found[6:] == [10, 11]


def test_times_rise_over_a_restart(tmp_path: Path) -> None:
    run(tmp_path, range(5))
    times = cast(Any, run(tmp_path, range(5, 8)).recorder.columns())["times"]
    assert times == sorted(times)
    assert len(times) == 9


def test_what_is_kept_is_at_most_two_histories(tmp_path: Path) -> None:
    run(tmp_path, range(2500))
    files = sorted(path.name for path in (tmp_path / "history").iterdir())
    assert files == ["newer.rows", "older.rows"]
    kept = Keeping(tmp_path).read("flights", wall_ns=TAKEN_WALL_NS + 2500 * NS_PER_SECOND)
    assert len(kept) == 900
    assert kept[-1].wall_ns == TAKEN_WALL_NS + 2499 * NS_PER_SECOND


def test_a_row_that_was_torn_ends_what_is_read_and_stops_nobody(tmp_path: Path) -> None:
    run(tmp_path, range(5))
    file = tmp_path / "history" / "newer.rows"
    file.write_bytes(file.read_bytes()[:-3])
    assert backlogs(run(tmp_path, range(10, 11)))[:4] == [0, 1, 2, 3]


@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"something else", b"\xff" * 5000])
def test_what_is_no_file_of_ours_is_left_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "older.rows").write_bytes(content)
    (tmp_path / "history" / "episodes.json").write_bytes(content)
    assert backlogs(run(tmp_path, range(2))) == [0, 1]


def test_another_pipelines_history_is_not_ours(tmp_path: Path) -> None:
    Keeping(tmp_path).append("orders", Row(TAKEN_WALL_NS, {}, {}))
    assert backlogs(run(tmp_path, range(1, 3))) == [1, 2]


def test_nothing_is_written_before_the_engine_holds_its_folder(tmp_path: Path) -> None:
    sampler = HistorySampler(FakeEngine(at(0, state=EngineState.STARTING)), data=tmp_path)
    sampler.sample()
    assert list(tmp_path.iterdir()) == []


def test_a_throttle_that_a_kill_ended_is_told_with_its_end(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.episodes = (RUNNING_EPISODE,)
    run(tmp_path, range(8), engine)
    (found,) = run(tmp_path, range(20, 21)).episodes()
    assert found.end_wall_ns == TAKEN_WALL_NS + 7 * NS_PER_SECOND
    assert found.throttled_ns == 5 * NS_PER_SECOND
    assert found.reason == "backlog 9 of 8; it ended with its process"


def test_episodes_of_all_runs_are_told_and_bounded(tmp_path: Path) -> None:
    engine = FakeEngine()
    ended = replace(RUNNING_EPISODE, end_wall_ns=RUNNING_EPISODE.start_wall_ns + NS_PER_SECOND)
    engine.episodes = tuple(replace(ended, start_wall_ns=ended.start_wall_ns + n) for n in range(600))
    run(tmp_path, range(3), engine)
    later = FakeEngine()
    later.episodes = (replace(RUNNING_EPISODE, start_wall_ns=TAKEN_WALL_NS + 30 * NS_PER_SECOND),)
    found = run(tmp_path, range(31, 33), later).episodes()
    assert len(found) == 501
    assert found[-1].end_wall_ns is None


def test_a_folder_that_cannot_be_written_is_said_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "history").write_text("a file where the folder should be")
    sampler = run(tmp_path, range(4))
    assert backlogs(sampler) == [0, 1, 2, 3]
    assert len([record for record in caplog.records if "not kept" in record.message]) == 1
