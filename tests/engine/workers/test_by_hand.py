"""What is set by hand reaches the workers concerned, and those that come back."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from engine.errors import ConfigurationError
from engine.flow.overrides import Override
from engine.flow.settings import FlowControlSettings
from engine.share import Share
from engine.workers.by_hand import ByHand
from engine.workers.process import WorkerProcess
from engine.workers.seat import Seat

SET = Override(settings=FlowControlSettings(), since_wall_ns=1, until_wall_ns=None, by="test")


class PlayedProcess:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def call(self, method: str, *arguments: Any, descriptors: tuple[int, ...], **keywords: Any) -> Future[Any]:
        assert not descriptors
        self.told.append((method, *arguments, *keywords.values()))
        future: Future[Any] = Future()
        future.set_result(None)
        return future


@pytest.fixture
def processes() -> tuple[PlayedProcess, PlayedProcess]:
    return PlayedProcess(), PlayedProcess()


@pytest.fixture
def seats(processes: tuple[PlayedProcess, PlayedProcess]) -> tuple[Seat, Seat]:
    """Worker 1 has partitions 1 and 3, worker 2 has partition 2."""
    both = Seat(1), Seat(2)
    for seat, process, partitions in zip(both, processes, ((1, 3), (2,)), strict=True):
        seat.share = Share(partitions=partitions, sources=())
        seat.taken_by(cast(WorkerProcess, process))
        seat.is_open = True
    return both


def test_limits_are_told_to_the_workers_of_their_partitions_alone(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat], tmp_path: Path
) -> None:
    by_hand = ByHand(seats, tmp_path, persistent=False)
    assert len(by_hand.override({3: SET}, by="me")) == 1
    assert processes[0].told == [("set_overrides", {3: SET}, "me")]
    assert processes[1].told == []
    assert by_hand.standing().overrides == {3: SET}


def test_a_worker_that_was_away_is_told_all_that_stands_when_it_is_back(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat], tmp_path: Path
) -> None:
    by_hand = ByHand(seats, tmp_path, persistent=False)
    seats[0].is_open = False
    assert by_hand.override({1: SET, 3: SET}, by="me") == []
    by_hand.override({3: None}, by="me")
    by_hand.pause("out", paused=True)
    by_hand.pause("other", paused=True)
    by_hand.pause("other", paused=False)
    by_hand.pace("out", 7.0)
    by_hand.tell_again(seats[0])
    assert processes[0].told == [
        ("set_overrides", {1: SET, 3: None}, None),
        ("pause_exporter", "out", True),
        ("pace_exporter", "out", 7.0),
    ]


@pytest.mark.parametrize("persistent", [True, False])
def test_limits_outlive_the_run_where_that_is_asked_for(
    seats: tuple[Seat, Seat], tmp_path: Path, *, persistent: bool
) -> None:
    ByHand(seats, tmp_path, persistent=persistent).override({2: SET}, by="me")
    after = ByHand(seats, tmp_path, persistent=persistent)
    after.recall()
    assert after.standing().overrides == ({2: SET} if persistent else {})


def test_what_cannot_be_kept_is_told_to_nobody(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat], tmp_path: Path
) -> None:
    by_hand = ByHand(seats, tmp_path / "missing", persistent=True)
    with pytest.raises(ConfigurationError, match="cannot be stored"):
        by_hand.override({2: SET}, by="me")
    assert [process.told for process in processes] == [[], []]
    assert by_hand.standing().overrides == {}
