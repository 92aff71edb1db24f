"""Pauses grow, vary, and honour what the target asks; a pace holds."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import SettingError
from engine.exporting.pace import Pace
from engine.exporting.retry import BackOff, RetryPolicy


@given(seed=st.integers(), failures=st.integers(1, 40))
def test_a_pause_lies_between_half_its_step_and_its_step(seed: int, failures: int) -> None:
    back_off = BackOff(RetryPolicy(first_ns=100 * NS_PER_MS, longest_ns=10 * NS_PER_SECOND), Random(seed))
    for failure in range(failures):
        step = min(10 * NS_PER_SECOND, 100 * NS_PER_MS * 2**failure)
        assert step / 2 <= back_off.next_ns() <= step
    assert back_off.is_failing
    back_off.reset()
    assert not back_off.is_failing
    assert back_off.next_ns() <= 100 * NS_PER_MS


def test_two_that_failed_together_do_not_come_back_together() -> None:
    first, second = (BackOff(RetryPolicy(), Random(seed)) for seed in (1, 2))
    assert [first.next_ns() for _ in range(5)] != [second.next_ns() for _ in range(5)]


def test_a_target_is_left_alone_for_as_long_as_it_asks_but_not_for_ever() -> None:
    back_off = BackOff(RetryPolicy(), Random(1))
    assert back_off.next_ns(asked_ns=30 * NS_PER_SECOND) == 30 * NS_PER_SECOND
    assert back_off.next_ns(asked_ns=86_400 * NS_PER_SECOND) == 300 * NS_PER_SECOND


@pytest.mark.parametrize(("first", "longest"), [(0, 1), (-1, 1), (2, 1)])
def test_pauses_that_make_no_sense_are_refused(first: int, longest: int) -> None:
    with pytest.raises(SettingError):
        RetryPolicy(first_ns=first, longest_ns=longest)


@given(rate=st.floats(1, 10_000), sizes=st.lists(st.integers(1, 500), min_size=1, max_size=50))
def test_a_pace_lets_through_its_rate_and_a_tenth_of_a_second_more(rate: float, sizes: list[int]) -> None:
    pace, now_ns, records = Pace(), NS_PER_SECOND, 0
    for size in sizes:
        while wait_ns := pace.wait_ns(size, rate, now_ns):
            now_ns += wait_ns
        records += size
    # The last batch is paid for by what would follow it.
    assert records - sizes[-1] <= rate * (now_ns / NS_PER_SECOND - 1 + 0.1) + 0.01
