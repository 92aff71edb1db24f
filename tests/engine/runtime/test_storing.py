from __future__ import annotations

import logging

import pytest

from engine.clock import ManualClock
from engine.errors import AppendError
from engine.storing import Storing

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
    assert caplog.messages == [FIRST, "partition 3: writes are stored again; they failed for 0 s"]


def test_it_is_not_over_because_nobody_writes(
    storing: Storing, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    storing.failed(FULL)
    clock.advance(100)
    storing.look()
    assert storing.is_troubled
    assert storing.error == str(FULL)
    assert caplog.messages == [FIRST]
