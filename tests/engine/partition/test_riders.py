"""Small facts ride on the next commit, and none is lost or goes back."""

from __future__ import annotations

import pytest

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.unit import Acknowledgement, SourceProgress
from engine.partition.riders import Riders

SECOND = NS_PER_SECOND


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def riders(clock: ManualClock) -> Riders:
    return Riders(clock)


def test_who_takes_them_gets_all_of_them_once(riders: Riders) -> None:
    assert riders.take() is None
    riders.acknowledged(Acknowledgement("a", 3, b"three"))
    riders.acknowledged(Acknowledgement("b", 1, None))
    riders.acknowledged(Acknowledgement("a", 5, b"five"))
    riders.passed(SourceProgress("s", 7))
    riders.passed(SourceProgress("t", 1))
    riders.passed(SourceProgress("s", 9))
    riders.delivered(2, 4)
    riders.processed(6)
    taken = riders.take()
    assert taken is not None
    assert taken.records == []
    assert taken.acknowledged == {"a": Acknowledgement("a", 5, b"five"), "b": Acknowledgement("b", 1, None)}
    assert taken.progress == [SourceProgress("t", 1), SourceProgress("s", 9)]
    assert taken.delivered == {2: 4}
    assert taken.processed_position == 6
    assert riders.take() is None


def test_what_could_not_be_stored_waits_again_but_for_what_is_newer(riders: Riders) -> None:
    riders.acknowledged(Acknowledgement("a", 3, None))
    riders.acknowledged(Acknowledgement("b", 1, None))
    riders.passed(SourceProgress("s", 7))
    riders.passed(SourceProgress("t", 1))
    riders.delivered(1, 4)
    riders.processed(6)
    refused = riders.take()
    assert refused is not None
    riders.acknowledged(Acknowledgement("a", 5, None))
    riders.passed(SourceProgress("s", 9))
    riders.delivered(2, 1)
    riders.processed(8)
    riders.give_back(refused)
    taken = riders.take()
    assert taken is not None
    assert {name: known.position for name, known in taken.acknowledged.items()} == {"a": 5, "b": 1}
    assert {known.source: known.offset for known in taken.progress} == {"s": 9, "t": 1}
    assert taken.delivered == {1: 4, 2: 1}
    assert taken.processed_position == 8


def test_what_was_given_back_alone_is_taken_again_as_it_was(riders: Riders) -> None:
    riders.processed(6)
    refused = riders.take()
    assert refused is not None
    riders.give_back(refused)
    again = riders.take()
    assert again is not None
    assert again.processed_position == 6


def test_they_are_due_when_the_oldest_has_waited_so_long(riders: Riders, clock: ManualClock) -> None:
    assert not riders.are_due(0)
    riders.processed(1)
    assert riders.are_due(0)
    clock.advance(1)
    riders.processed(2)
    assert riders.are_due(SECOND)
    assert not riders.are_due(SECOND + 1)
    riders.take()
    assert not riders.are_due(0)
