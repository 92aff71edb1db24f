from __future__ import annotations

import logging

import pytest

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.records import Record, RecordType
from engine.partition.in_hand import RecordInHand
from engine.processing.context import UnitContext
from engine.processing.state import StateOverlay

SECOND = NS_PER_SECOND


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def context(clock: ManualClock) -> UnitContext:
    state = StateOverlay(lambda _: None, lambda _: iter(()))
    context = UnitContext(2, 2, clock, state, next_timer_id=1, next_sequence=1)
    begin(context, 41)
    return context


@pytest.fixture
def in_hand(context: UnitContext, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> RecordInHand:
    caplog.set_level(logging.WARNING, logger="penstock.processing")
    return RecordInHand(2, lambda: context.position, clock)


def begin(context: UnitContext, position: int) -> None:
    context.begin(Record(RecordType.COMMAND, "t", "create", "k", None, position=position))


def look_every_second(in_hand: RecordInHand, clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        in_hand.look()
        clock.advance(1)


def test_between_units_there_is_no_age(in_hand: RecordInHand, clock: ManualClock) -> None:
    assert in_hand.age_ns() is None
    in_hand.unit_since_ns = clock.monotonic_ns()
    in_hand.look()
    clock.advance(3)
    assert in_hand.age_ns() == 3 * SECOND
    assert in_hand.position == 41
    in_hand.unit_since_ns = None
    assert in_hand.age_ns() is None


def test_a_record_that_nobody_has_looked_at_yet_has_no_age(
    in_hand: RecordInHand, context: UnitContext, clock: ManualClock
) -> None:
    in_hand.unit_since_ns = clock.monotonic_ns()
    look_every_second(in_hand, clock, 30)
    begin(context, 42)
    assert in_hand.age_ns() == 0


def test_a_record_that_takes_long_is_said_at_ten_seconds_and_at_each_doubling_and_when_it_goes_on(
    in_hand: RecordInHand, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    in_hand.unit_since_ns = clock.monotonic_ns()
    look_every_second(in_hand, clock, 60)
    at = "the processor of partition 2 has been at position 41 for {} s"
    assert caplog.messages == [at.format(10), at.format(20), at.format(40)]
    caplog.clear()
    in_hand.unit_since_ns = None
    look_every_second(in_hand, clock, 30)
    assert caplog.messages == ["the processor of partition 2 goes on, after 60 s"]


def test_a_slow_processor_that_goes_on_is_not_taken_for_one_that_hangs(
    in_hand: RecordInHand, context: UnitContext, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    in_hand.unit_since_ns = clock.monotonic_ns()
    for position in range(41, 61):
        begin(context, position)
        look_every_second(in_hand, clock, 9)
    for _ in range(20):
        # The same record again, in units of its own.
        in_hand.unit_since_ns = clock.monotonic_ns()
        look_every_second(in_hand, clock, 9)
    assert caplog.messages == []


def test_of_two_long_records_one_behind_the_other_each_is_said(
    in_hand: RecordInHand, context: UnitContext, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    in_hand.unit_since_ns = clock.monotonic_ns()
    look_every_second(in_hand, clock, 15)
    begin(context, 42)
    look_every_second(in_hand, clock, 15)
    said = "the processor of partition 2 "
    assert caplog.messages == [
        f"{said}has been at position 41 for 10 s",
        f"{said}goes on, after 15 s",
        f"{said}has been at position 42 for 10 s",
    ]
