"""What is set by hand reaches the workers concerned, and those that come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from engine.core.errors import ConfigurationError
from engine.core.pause import Pause
from engine.flow.overrides import Override
from engine.flow.settings import FlowControlSettings
from engine.runtime.kept import KeptInFolder
from engine.runtime.share import Share
from engine.workers.by_hand import ByHand
from engine.workers.process import WorkerProcess
from engine.workers.seat import Seat
from tests.support.waiting import WAIT_SECONDS, wait_until

HELD = Pause(since_wall_ns=1, by="test")
SET = Override(settings=FlowControlSettings(), since_wall_ns=1, until_wall_ns=None, by="test")


class PlayedProcess:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.before_call: Callable[[], None] | None = None

    def call(self, method: str, *arguments: Any, descriptors: tuple[int, ...], **keywords: Any) -> Future[Any]:
        assert not descriptors
        if self.before_call is not None:
            self.before_call()
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
    by_hand = ByHand(seats, KeptInFolder(tmp_path, limits=False))
    assert len(by_hand.override({3: SET}, by="me")) == 1
    assert processes[0].told == [("set_overrides", {3: SET}, "me")]
    assert processes[1].told == []
    assert by_hand.standing().overrides == {3: SET}


def test_a_worker_that_was_away_is_told_all_that_stands_when_it_is_back(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat], tmp_path: Path
) -> None:
    by_hand = ByHand(seats, KeptInFolder(tmp_path, limits=False))
    seats[0].is_open = False
    assert by_hand.override({1: SET, 3: SET}, by="me") == []
    by_hand.override({3: None}, by="me")
    by_hand.pause("out", HELD)
    by_hand.pause("other", HELD)
    by_hand.pause("other", None)
    by_hand.pace("out", 7.0)
    processes[0].told.clear()
    by_hand.tell_again(seats[0])
    assert processes[0].told == [
        ("set_overrides", {1: SET, 3: None}, None),
        ("set_exporter_pause", "out", HELD),
        ("set_exporter_pause", "other", None),
        ("pace_exporter", "out", 7.0),
    ]


def test_a_worker_whose_order_said_paused_is_told_when_the_exporter_went_on_before_it_was_open(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat], tmp_path: Path
) -> None:
    by_hand = ByHand(seats, KeptInFolder(tmp_path, limits=False))
    by_hand.pause("out", HELD)
    seats[0].is_open = False
    processes[0].told.clear()
    assert by_hand.standing().paused == {"out": HELD}, "so its order says"
    assert len(by_hand.pause("out", None)) == 1, "it is not there to be told"
    by_hand.tell_again(seats[0])
    assert processes[0].told[-1] == ("set_exporter_pause", "out", None)
    assert by_hand.standing().paused == {}


def test_every_worker_hears_of_pauses_and_paces_in_the_order_in_which_they_stand(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat], tmp_path: Path
) -> None:
    """Who is still telling one of them keeps the next from being set."""
    by_hand = ByHand(seats, KeptInFolder(tmp_path, limits=False))
    is_telling, may_go_on = threading.Event(), threading.Event()

    def keep_busy() -> None:
        is_telling.set()
        may_go_on.wait(WAIT_SECONDS)

    processes[0].before_call = keep_busy
    first = threading.Thread(target=by_hand.pause, args=["out", HELD], daemon=True)
    first.start()
    assert is_telling.wait(WAIT_SECONDS)
    processes[0].before_call = None
    second = threading.Thread(target=by_hand.pause, args=["out", None], daemon=True)
    second.start()
    third = threading.Thread(target=by_hand.pace, args=["out", 7.0], daemon=True)
    third.start()
    assert not wait_until(lambda: not (second.is_alive() and third.is_alive()), 0.05), "they wait for their turn"
    may_go_on.set()
    for thread in (first, second, third):
        thread.join(WAIT_SECONDS)
    assert by_hand.standing().paused == {}
    for process in processes:
        assert [told for told in process.told if told[0] == "set_exporter_pause"] == [
            ("set_exporter_pause", "out", HELD),
            ("set_exporter_pause", "out", None),
        ]
        assert ("pace_exporter", "out", 7.0) in process.told


@pytest.mark.parametrize("persistent", [True, False])
def test_limits_outlive_the_run_where_that_is_asked_for(
    seats: tuple[Seat, Seat], tmp_path: Path, *, persistent: bool
) -> None:
    ByHand(seats, KeptInFolder(tmp_path, limits=persistent)).override({2: SET}, by="me")
    after = ByHand(seats, KeptInFolder(tmp_path, limits=persistent))
    after.recall()
    assert after.standing().overrides == ({2: SET} if persistent else {})


def test_what_cannot_be_kept_is_told_to_nobody(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat], tmp_path: Path
) -> None:
    by_hand = ByHand(seats, KeptInFolder(tmp_path / "missing", limits=True))
    with pytest.raises(ConfigurationError, match="cannot be stored"):
        by_hand.override({2: SET}, by="me")
    assert [process.told for process in processes] == [[], []]
    assert by_hand.standing().overrides == {}
