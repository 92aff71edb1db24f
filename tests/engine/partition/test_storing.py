from __future__ import annotations

import logging

import pytest

from engine.core.clock import ManualClock
from engine.core.errors import AppendError
from engine.partition.storing import Storing

FULL = AppendError("partition 3 could not store a write: database or disk is full")
FIRST = f"{FULL}; it is tried again until it is stored"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def storing(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> Storing:
    caplog.set_level(logging.WARNING, logger="penstock.partition")
    return Storing(3, clock)


def test_a_time_of_failing_writes_is_two_lines_however_often_it_is_tried(
    storing: Storing, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(24):
        storing.failed(FULL)
        storing.look()
        clock.advance(0.5)
    assert storing.is_troubled
    assert storing.error == str(FULL)
    assert caplog.messages == [FIRST]
    storing.stored()
    assert storing.error == str(FULL), "it may be a small write"
    clock.advance(5)
    storing.look()
    assert not storing.is_troubled
    assert storing.error is None
    assert caplog.messages == [FIRST, "partition 3: writes are stored again; they failed for 11 s"]


def test_where_small_writes_pass_and_large_ones_fail_there_is_still_one_line(
    storing: Storing, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        storing.failed(FULL)
        clock.advance(2)
        storing.stored()
        assert storing.error == str(FULL)
        clock.advance(2)
    assert caplog.messages == [FIRST]


def test_at_the_end_of_a_run_it_is_said_at_once(storing: Storing, caplog: pytest.LogCaptureFixture) -> None:
    storing.failed(FULL)
    storing.look(at_end=True)
    assert caplog.messages == [FIRST]
    storing.stored()
    storing.look(at_end=True)
    assert caplog.messages == [FIRST, "partition 3: writes are stored again; they failed for less than a second"]


def test_it_is_not_over_while_somebody_waits_to_try_again(
    storing: Storing, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    storing.failed(FULL)
    storing.will_retry()
    clock.advance(100)
    storing.look()
    assert storing.is_troubled
    assert storing.error == str(FULL)
    assert caplog.messages == [FIRST]


def test_it_is_over_after_a_while_when_nobody_tries_again(
    storing: Storing, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    storing.failed(FULL)
    clock.advance(3)
    storing.failed(FULL)
    clock.advance(4.9)
    storing.look()
    assert storing.error == str(FULL)
    clock.advance(0.1)
    storing.look()
    assert not storing.is_troubled
    assert storing.error is None
    over = "partition 3: nobody tries again what was not stored; writes failed for 3 s"
    assert caplog.messages == [FIRST, over]
    storing.failed(FULL)
    assert caplog.messages == [FIRST, over, FIRST], "the next one is said again"


def test_who_stored_what_it_tried_again_is_waited_for_no_more(storing: Storing, clock: ManualClock) -> None:
    storing.failed(FULL)
    storing.will_retry()
    storing.stored()
    # Somebody else, who does not try again.
    storing.failed(FULL)
    clock.advance(5)
    storing.look()
    assert storing.error is None


def test_a_run_that_ends_with_a_write_that_was_not_stored_does_not_say_that_it_is_over(
    storing: Storing, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    storing.failed(FULL)
    clock.advance(100)
    storing.look(at_end=True)
    assert storing.error == str(FULL)
    assert caplog.messages == [FIRST]
