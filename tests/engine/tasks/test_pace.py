from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import ManualClock
from engine.tasks.pace import PART_NS, WAIT_MAX_NS, PartPace


def test_the_first_part_goes_at_once() -> None:
    assert PartPace(ManualClock()).wait_ns() <= 0


def test_a_part_behind_a_single_one_waits_no_longer_than_that_one_is_worth() -> None:
    clock = ManualClock()
    pace = PartPace(clock)
    pace.handed_on(1)
    assert pace.wait_ns() == PART_NS
    clock.advance_ns(PART_NS)
    assert pace.wait_ns() <= 0


@given(parts=st.integers(0, 10_000))
def test_the_wait_grows_with_the_parts_that_went_and_has_an_end(parts: int) -> None:
    pace = PartPace(ManualClock())
    pace.handed_on(parts)
    assert pace.wait_ns() == min(parts * PART_NS, WAIT_MAX_NS)
