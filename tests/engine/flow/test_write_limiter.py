"""The limiter of writes: the vectors of the limiter it follows, and what must hold for any sequence of calls."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.flow.write_limiter import BurstyLimiter, WarmingUpLimiter, WriteRateLimiter, write_rate_limiter


def grants(limiter: WriteRateLimiter, now_ns: int) -> int:
    """How many single permits are granted at one moment."""
    count = 0
    while limiter.try_acquire(1, now_ns):
        count += 1
    return count


def full(limit: float) -> tuple[BurstyLimiter, int]:
    """A bursty limiter that has been idle for longer than it can store."""
    return BurstyLimiter(limit, 0), 5 * NS_PER_SECOND


def test_a_new_limiter_has_nothing_stored_and_grants_the_next_permit_one_interval_later() -> None:
    limiter = BurstyLimiter(100, 0)
    assert limiter.try_acquire(1, 0)
    assert not limiter.try_acquire(1, 0)
    assert not limiter.try_acquire(1, 10 * NS_PER_MS - 1)
    assert limiter.try_acquire(1, 10 * NS_PER_MS)


def test_idling_stores_one_second_of_permits_and_no_more() -> None:
    limiter, now_ns = full(100)
    assert limiter.stored_records(now_ns) == 100
    assert grants(limiter, now_ns) == 101


def test_a_large_batch_is_granted_and_paid_for_by_the_next() -> None:
    limiter, now_ns = full(100)
    assert limiter.try_acquire(500, now_ns)
    assert limiter.next_free_ns() == now_ns + 4000 * NS_PER_MS
    assert not limiter.try_acquire(1, now_ns + 4000 * NS_PER_MS - 1)
    assert limiter.try_acquire(1, now_ns + 4000 * NS_PER_MS)


def test_a_lowered_limit_shrinks_the_store_with_it() -> None:
    limiter, now_ns = full(100)
    limiter.set_limit(10, now_ns)
    assert grants(limiter, now_ns) == 11


def test_a_raised_limit_takes_effect_on_open_debt_at_once() -> None:
    limiter = BurstyLimiter(100, 0)
    assert limiter.try_acquire(1000, 0)
    assert limiter.next_free_ns() == 10_000 * NS_PER_MS
    limiter.set_limit(1000, 0)
    assert limiter.next_free_ns() == 1000 * NS_PER_MS


def test_a_lowered_limit_does_not_cheapen_open_debt() -> None:
    limiter = BurstyLimiter(1000, 0)
    limiter.try_acquire(1000, 0)
    limiter.set_limit(100, 0)
    assert limiter.next_free_ns() == 10_000 * NS_PER_MS


def test_going_down_and_up_again_gives_nothing_away() -> None:
    limiter = BurstyLimiter(1000, 0)
    limiter.set_limit(10, 0)
    now_ns = NS_PER_SECOND
    limiter.set_limit(1000, now_ns)
    assert grants(limiter, now_ns) == 11


def test_a_limit_of_zero_grants_nothing_and_remembers_the_debt() -> None:
    limiter = BurstyLimiter(100, 0)
    limiter.try_acquire(100, 0)
    limiter.set_limit(0, NS_PER_SECOND // 2)
    assert limiter.next_free_ns() is None
    assert limiter.stored_records(NS_PER_SECOND) == 0
    assert not limiter.try_acquire(1, 1000 * NS_PER_SECOND)
    limiter.set_limit(50, 2000 * NS_PER_SECOND)
    assert limiter.next_free_ns() == 2001 * NS_PER_SECOND


def test_a_limiter_may_begin_stopped() -> None:
    limiter = write_rate_limiter(0, 0, 0)
    assert not limiter.try_acquire(1, 10 * NS_PER_SECOND)
    limiter.set_limit(10, 10 * NS_PER_SECOND)
    assert grants(limiter, 10 * NS_PER_SECOND) == 1


@pytest.mark.parametrize("limit", [-1, math.nan, math.inf])
def test_what_is_no_limit_is_a_mistake_of_the_programmer(limit: float) -> None:
    with pytest.raises(AssertionError):
        BurstyLimiter(limit, 0)
    with pytest.raises(AssertionError):
        BurstyLimiter(1, 0).set_limit(limit, 0)


@pytest.mark.parametrize("records", [0, -1])
def test_a_batch_without_records_is_a_mistake_of_the_programmer(records: int) -> None:
    with pytest.raises(AssertionError):
        BurstyLimiter(1, 0).try_acquire(records, 0)


def grants_by_second(limiter: WriteRateLimiter, poll_ns: int, seconds: int) -> list[int]:
    counts = [0] * seconds
    for now_ns in range(0, seconds * NS_PER_SECOND, poll_ns):
        counts[now_ns // NS_PER_SECOND] += limiter.try_acquire(1, now_ns)
    return counts


def test_a_ramp_up_begins_at_a_third_and_reaches_the_limit_when_it_is_over() -> None:
    polled_finely = grants_by_second(WarmingUpLimiter(100, 10 * NS_PER_SECOND, 0), NS_PER_MS // 10, 12)
    assert polled_finely == [35, 35, 38, 40, 43, 46, 51, 58, 66, 84, 100, 100]
    polled_coarsely = grants_by_second(WarmingUpLimiter(100, 10 * NS_PER_SECOND, 0), NS_PER_MS, 12)
    assert polled_coarsely == [34, 35, 37, 39, 41, 44, 48, 53, 59, 70, 87, 100]


def test_the_momentary_rate_of_a_ramp_up_goes_from_a_third_to_the_limit() -> None:
    limiter = WarmingUpLimiter(300, 10 * NS_PER_SECOND, 0)
    assert limiter.momentary_rate_per_second(0) == pytest.approx(100)
    now_ns = 0
    while now_ns < 10 * NS_PER_SECOND:
        limiter.try_acquire(1, now_ns)
        now_ns = limiter.next_free_ns() or 0
    assert limiter.momentary_rate_per_second(now_ns) == pytest.approx(300)
    assert limiter.momentary_rate_per_second(now_ns + 10 * NS_PER_SECOND) == pytest.approx(100)


def test_a_ramp_up_gives_no_burst_after_idling() -> None:
    limiter = WarmingUpLimiter(100, 10 * NS_PER_SECOND, 0)
    assert grants(limiter, 100 * NS_PER_SECOND) == 1


def test_a_changed_limit_neither_restarts_nor_skips_the_ramp_up() -> None:
    limiter = WarmingUpLimiter(100, 10 * NS_PER_SECOND, 0)
    now_ns = 0
    while now_ns < 5 * NS_PER_SECOND:
        limiter.try_acquire(1, now_ns)
        now_ns = limiter.next_free_ns() or 0
    share = limiter.momentary_rate_per_second(now_ns) / 100
    assert 0.4 < share < 0.6
    limiter.set_limit(500, now_ns)
    assert limiter.momentary_rate_per_second(now_ns) / 500 == pytest.approx(share)


def test_a_ramp_up_that_was_stopped_begins_cold() -> None:
    limiter = WarmingUpLimiter(100, 10 * NS_PER_SECOND, 0)
    limiter.set_limit(0, 0)
    assert limiter.momentary_rate_per_second(0) == 0
    limiter.set_limit(300, NS_PER_SECOND)
    assert limiter.momentary_rate_per_second(NS_PER_SECOND) == pytest.approx(100)


def test_a_limiter_that_takes_over_owes_the_same_records() -> None:
    old = BurstyLimiter(100, 0)
    old.try_acquire(1000, 0)
    new = WarmingUpLimiter(1000, NS_PER_SECOND, 0)
    new.take_over_debt(old, 0)
    assert new.next_free_ns() == NS_PER_SECOND
    stopped = BurstyLimiter(0, 0)
    stopped.take_over_debt(new, 0)
    stopped.set_limit(500, 0)
    assert stopped.next_free_ns() == 2 * NS_PER_SECOND


_LIMITS = st.one_of(st.just(0.0), st.floats(0.5, 20_000))
_STEPS = st.lists(
    st.tuples(
        st.integers(0, 3 * NS_PER_SECOND),
        st.one_of(st.tuples(st.just("acquire"), st.integers(1, 5000)), st.tuples(st.just("limit"), _LIMITS)),
    ),
    max_size=80,
)


@given(_LIMITS, st.sampled_from([0, NS_PER_SECOND, 30 * NS_PER_SECOND]), _STEPS)
def test_no_sequence_of_calls_grants_more_than_the_limits_integral_a_second_of_burst_and_one_batch(
    limit: float, ramp_up_ns: int, steps: list[tuple[int, tuple[str, float]]]
) -> None:
    limiter = write_rate_limiter(limit, ramp_up_ns, 0)
    now_ns, integral, granted, largest, highest, rounding = 0, 0.0, 0, 0, limit, 0.0
    for wait_ns, (what, number) in steps:
        now_ns += wait_ns
        integral += limit * wait_ns / NS_PER_SECOND
        if what == "limit":
            limiter.set_limit(number, now_ns)
            limit = number
            highest = max(highest, limit)
        elif limiter.try_acquire(int(number), now_ns):
            granted += int(number)
            largest = max(largest, int(number))
        # Times are whole nanoseconds: each call may round one away, from the store as from the debt.
        rounding += 2 * highest / NS_PER_SECOND
        assert granted <= integral + highest + largest + rounding + 1e-6 * granted


@given(st.floats(1, 50_000), st.lists(st.integers(1, 300), min_size=50, max_size=200))
def test_a_writer_that_always_waits_for_its_turn_gets_the_whole_limit(limit: float, batches: list[int]) -> None:
    limiter = BurstyLimiter(limit, 0)
    now_ns = 0
    for records in batches:
        assert limiter.try_acquire(records, now_ns)
        now_ns = limiter.next_free_ns() or 0
    assert now_ns == pytest.approx(sum(batches) / limit * NS_PER_SECOND, rel=1e-6, abs=len(batches))


@given(_LIMITS, _LIMITS, st.integers(1, 1000), st.integers(0, NS_PER_SECOND))
def test_a_refusal_changes_nothing(limit: float, other: float, records: int, wait_ns: int) -> None:
    asked, unasked = BurstyLimiter(limit, 0), BurstyLimiter(limit, 0)
    for limiter in (asked, unasked):
        limiter.try_acquire(1000, 0)
        limiter.set_limit(other, 0)
    if not asked.try_acquire(records, wait_ns):
        assert asked.next_free_ns() == unasked.next_free_ns()
        assert asked.stored_records(wait_ns) == unasked.stored_records(wait_ns)
