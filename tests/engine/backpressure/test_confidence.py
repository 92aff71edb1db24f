from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.backpressure.confidence import wilson_interval


def test_without_samples_everything_is_possible() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    # Worked out by hand from Wilson's formula with z = 1.959964.
    ("matching", "samples", "low", "high"),
    [(50, 100, 0.4038, 0.5962), (0, 100, 0.0, 0.0370), (100, 100, 0.9630, 1.0), (8, 100, 0.0411, 0.1500)],
)
def test_the_interval_is_wilsons(matching: int, samples: int, low: float, high: float) -> None:
    assert wilson_interval(matching, samples) == pytest.approx((low, high), abs=0.0001)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_it_holds_the_share_and_stays_between_0_and_1(seen: tuple[int, int]) -> None:
    matching, samples = seen
    low, high = wilson_interval(matching, samples)
    assert 0 <= low <= matching / samples <= high <= 1
    assert low < high


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_ten_times_the_samples_make_it_narrower(seen: tuple[int, int]) -> None:
    matching, samples = seen
    low, high = wilson_interval(matching, samples)
    closer_low, closer_high = wilson_interval(10 * matching, 10 * samples)
    assert closer_high - closer_low < high - low
