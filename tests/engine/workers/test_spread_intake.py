"""Writes from outside whose partitions are in several workers, of which one may be away."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from engine import ConfigurationError, EngineOptions, FlowControlSettings, Place, WriteFailedError, Written
from engine.core.clock import NS_PER_SECOND
from engine.core.errors import PenstockError
from engine.core.snapshot import Outcome
from engine.flow.gate import Refusal
from engine.runtime.share import Share
from engine.workers.part import Part, PartOrder
from engine.workers.process import WorkerLost, WorkerProcess
from engine.workers.seat import Seat
from engine.workers.spread_intake import SpreadIntake
from tests.support.worker_pipelines import still

PLACES = {1: Place(1, 11), 2: Place(2, 22)}


class PlayedProcess:
    """Owns one partition; a value is the number of its partition. Answers as a worker would, or as it is told."""

    process_id = 0
    is_gone = False
    ended = None

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self.asked: list[str] = []
        # What a method does instead; may raise.
        self.instead: dict[str, Callable[[], Any]] = {}

    def call(self, method: str, *arguments: Any, **_: Any) -> Future[Any]:
        self.asked.append(method)
        future: Future[Any] = Future()
        try:
            future.set_result(self.instead.get(method, lambda: self._usual(method, arguments))())
        except Exception as error:
            future.set_exception(error)
        return future

    def _usual(self, method: str, arguments: tuple[Any, ...]) -> Any:
        match method:
            case "partitions_of":
                return arguments[0]
            case "write" | "write_reserved":
                return Written((PLACES[self._partition],))
        return None


def away() -> None:
    raise WorkerLost("gone")


@pytest.fixture
def processes() -> tuple[PlayedProcess, PlayedProcess]:
    return PlayedProcess(1), PlayedProcess(2)


@pytest.fixture
def seats(processes: tuple[PlayedProcess, PlayedProcess]) -> tuple[Seat, Seat]:
    both = Seat(1), Seat(2)
    for seat, process in zip(both, processes, strict=True):
        seat.share = Share(partitions=(seat.number,), sources=())
        seat.taken_by(cast(WorkerProcess, process))
        seat.is_open = True
    return both


def test_what_is_for_two_workers_is_admitted_by_both_before_either_writes(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat]
) -> None:
    assert SpreadIntake(seats).write([2, 1]) == Written((PLACES[2], PLACES[1]))
    assert [process.asked for process in processes] == [
        ["partitions_of", "reserve", "write_reserved"],
        ["reserve", "write_reserved"],
    ]


def test_a_refusal_of_one_worker_gives_back_what_the_other_admitted(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat]
) -> None:
    refusal = Refusal(
        outcome=Outcome.WRITE_RATE_LIMIT_EXHAUSTED, partition=2, records=1, limit=1, retry_after_ns=NS_PER_SECOND
    )
    processes[1].instead["reserve"] = lambda: refusal
    assert SpreadIntake(seats).write([1, 2]) == refusal
    assert processes[0].asked == ["partitions_of", "reserve", "give_back"]


@pytest.mark.parametrize("values", [[2], [1, 2]])
@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_worker_that_is_away_is_a_failure_that_says_come_back_and_nothing_is_kept_elsewhere(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat], values: list[int], is_replaced: bool
) -> None:
    if is_replaced:
        # Another process is there, and has not opened its partitions.
        seats[1].is_open = False
        processes[1].instead = dict.fromkeys(("write", "reserve"), away)
    else:
        seats[1].emptied(0)
    with pytest.raises(WriteFailedError, match="worker 2 is away and is started again") as failure:
        SpreadIntake(seats).write(values)
    assert failure.value.passing
    assert failure.value.written == {}
    assert ("give_back" in processes[0].asked) == (len(values) == 2)


def test_a_worker_that_dies_after_it_admitted_leaves_word_of_what_the_other_wrote(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat]
) -> None:
    processes[1].instead["write_reserved"] = away
    with pytest.raises(WriteFailedError, match="may have been written or not") as failure:
        SpreadIntake(seats).write([2, 1])
    assert failure.value.written == {1: PLACES[1]}


def test_a_fault_of_one_worker_keeps_nothing_admitted_at_the_others_and_hides_nothing_that_they_wrote(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat]
) -> None:
    def fault() -> None:
        raise PenstockError("reserve failed: KeyError: 7")

    processes[0].instead["reserve"] = fault
    with pytest.raises(PenstockError, match="KeyError: 7"):
        SpreadIntake(seats).write([1, 2])
    assert processes[1].asked == ["reserve", "give_back"]

    processes[0].instead = {"write_reserved": fault}
    with pytest.raises(WriteFailedError, match="worker 1: reserve failed: KeyError: 7") as failure:
        SpreadIntake(seats).write([1, 2])
    assert (failure.value.passing, failure.value.written) == (False, {1: PLACES[2]})


def test_with_nobody_there_nothing_can_be_written(seats: tuple[Seat, Seat]) -> None:
    for seat in seats:
        seat.emptied(0)
    with pytest.raises(WriteFailedError, match="not running") as failure:
        SpreadIntake(seats).write([1])
    assert failure.value.passing


def test_what_a_dead_process_admitted_the_next_one_does_not_know(tmp_path: Path) -> None:
    order = PartOrder(
        worker=1,
        share=Share(partitions=(1, 2), sources=()),
        owners={1: 1, 2: 1},
        data=tmp_path,
        options=EngineOptions(storage="memory"),
        flow_control=FlowControlSettings(),
        overrides={},
        paused={},
        paces={},
    )
    part = Part(still(), order)
    for act in (part.write_reserved, part.give_back):
        with pytest.raises(WorkerLost):
            act(7)


def test_what_is_wrong_with_a_request_is_no_absence(
    processes: tuple[PlayedProcess, PlayedProcess], seats: tuple[Seat, Seat]
) -> None:
    def refuse() -> None:
        raise ConfigurationError("no such thing")

    processes[0].instead["partitions_of"] = refuse
    with pytest.raises(ConfigurationError):
        SpreadIntake(seats).write([1])
