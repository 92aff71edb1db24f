"""Asking all workers: who is away, silent or dead keeps nobody from an answer."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, cast

import pytest

from engine.core.clock import SystemClock
from engine.runtime.share import Share
from engine.workers.process import WorkerLost, WorkerProcess
from engine.workers.roll_call import RollCall
from engine.workers.seat import Seat


class PlayedProcess:
    """Answers, or never does, or is gone."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def call(self, method: str, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if isinstance(self._answer, Exception):
            future.set_exception(self._answer)
        elif self._answer is not None:
            future.set_result((method, self._answer) if isinstance(self._answer, str) else self._answer)
        return future


def seats(*answers: Any) -> list[Seat]:
    filled = []
    for number, answer in enumerate(answers, start=1):
        seat = Seat(number)
        seat.share = Share(partitions=(number,), sources=())
        seat.taken_by(cast(WorkerProcess, PlayedProcess(answer)))
        seat.is_open = True
        filled.append(seat)
    return filled


def test_each_worker_has_its_place_among_the_answers() -> None:
    three = seats("a", WorkerLost("gone"), "c")
    three[2].is_open = False
    assert RollCall(three, SystemClock()).of_all("look") == [("look", "a"), None, None]


def test_one_that_does_not_answer_keeps_nobody_from_the_others_answers() -> None:
    one, silent, other = (seat.call("look") for seat in seats("a", None, "c"))
    assert RollCall((), SystemClock()).answers([one, silent, other], 0.0) == [("look", "a"), None, ("look", "c")]


def test_what_workers_say_by_partition_is_put_together_in_order() -> None:
    assert RollCall(seats({2: "b"}, WorkerLost("gone"), {1: "a"}), SystemClock()).by_partition("look") == {
        1: "a",
        2: "b",
    }


def test_an_error_of_a_worker_is_not_taken_for_an_absence() -> None:
    with pytest.raises(ValueError, match="wrong"):
        RollCall(seats(ValueError("wrong")), SystemClock()).of_all("look")
