"""The measured rate of a position."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_SECOND
from engine.flow.rate import RateMeasurement

WINDOW_NS = 300 * NS_PER_SECOND
RESOLUTION_NS = 10 * NS_PER_SECOND


def measured(*observations: tuple[float, int], resolution_s: int = 10) -> RateMeasurement:
    rate = RateMeasurement(WINDOW_NS, resolution_s * NS_PER_SECOND)
    for at_s, position in observations:
        rate.observe(position, round(at_s * NS_PER_SECOND))
    return rate


def test_without_two_observations_the_rate_is_unknown() -> None:
    assert measured().per_second(0) is None
    assert measured((0, 100)).per_second(50 * NS_PER_SECOND) is None
    assert measured((0, 100), (0, 200)).per_second(0) is None


def test_a_whole_window_gives_its_mean() -> None:
    rate = measured((0, 0), (300, 12345))
    assert int(rate.per_second(WINDOW_NS) or 0) == 41


def test_a_steady_movement_is_measured_exactly() -> None:
    rate = measured(*((s, 10 * s) for s in range(301)), resolution_s=1)
    assert rate.per_second(WINDOW_NS) == 10


def test_the_last_window_counts_and_what_was_before_does_not() -> None:
    before = [(s, 1000 * s) for s in range(1000)]
    after = [(1000 + s, 1_000_000 + 10 * s) for s in range(400)]
    assert measured(*before, *after).per_second(1399 * NS_PER_SECOND) == pytest.approx(10)


def test_a_movement_that_ended_is_gone_one_window_later_though_nobody_observes() -> None:
    rate = measured(*((s, 100 * s) for s in range(601)))
    assert rate.per_second(600 * NS_PER_SECOND) == pytest.approx(100)
    assert rate.per_second(750 * NS_PER_SECOND) == pytest.approx(50)
    assert rate.per_second(900 * NS_PER_SECOND) == 0
    assert rate.per_second(9000 * NS_PER_SECOND) == 0


def test_idle_hours_do_not_drag_down_what_follows() -> None:
    rate = measured(*((s, 0) for s in range(0, 7200, 60)), *((7200 + s, 50 * s) for s in range(301)))
    assert rate.per_second(7500 * NS_PER_SECOND) == pytest.approx(50)


def test_a_gap_in_the_observations_is_bridged_along_a_straight_line() -> None:
    rate = measured((0, 0), (400, 40_000))
    assert rate.per_second(400 * NS_PER_SECOND) == pytest.approx(100)


def test_a_changed_window_keeps_what_was_observed() -> None:
    rate = measured(*((s, 10 * s) for s in range(0, 301, 10)), *((300 + s, 3000 + 90 * s) for s in range(0, 61, 10)))
    rate.configure(60 * NS_PER_SECOND, RESOLUTION_NS)
    assert rate.per_second(360 * NS_PER_SECOND) == pytest.approx(90)


@pytest.mark.parametrize(("window", "resolution"), [(10, 10), (5, 10), (10, 0), (10, -1), (-10, -20)])
def test_a_window_no_longer_than_its_resolution_is_refused(window: int, resolution: int) -> None:
    with pytest.raises(ValueError, match="must be longer"):
        RateMeasurement(window, resolution)


def test_a_long_window_of_fine_resolution_stays_small() -> None:
    rate = RateMeasurement(24 * 3600 * NS_PER_SECOND, NS_PER_SECOND)
    for s in range(100_000):
        rate.observe(s, s * NS_PER_SECOND)
    assert len(rate._points) <= 1002
    assert rate.per_second(99_999 * NS_PER_SECOND) == pytest.approx(1)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 100_000)), min_size=2, max_size=60),
    st.integers(0, 700),
)
def test_a_rate_lies_between_zero_and_the_steepest_step(steps: list[tuple[int, int]], later_s: int) -> None:
    rate = RateMeasurement(WINDOW_NS, RESOLUTION_NS)
    at_s, position = 0, 0
    for wait_s, rise in steps:
        at_s, position = at_s + wait_s, position + rise
        rate.observe(position, at_s * NS_PER_SECOND)
    value = rate.per_second((at_s + later_s) * NS_PER_SECOND)
    assert value is None or 0 <= value <= position / (1 / NS_PER_SECOND)
    if later_s > 300:
        assert value == 0
