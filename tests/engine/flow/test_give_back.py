"""Permits that were granted and not used go back as if they had never been taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_SECOND
from engine.flow.write_limiter import BurstyLimiter, WarmingUpLimiter


@given(rate=st.floats(0.5, 100_000), idle=st.floats(0, 5), records=st.integers(1, 5000), later=st.floats(0, 3))
def test_taken_and_given_back_at_once_changes_nothing_of_what_follows(
    rate: float, idle: float, records: int, later: float
) -> None:
    limiter, other = BurstyLimiter(rate, 0), BurstyLimiter(rate, 0)
    now_ns = int(idle * NS_PER_SECOND)
    assert limiter.try_acquire(records, now_ns)
    limiter.give_back(records, now_ns)
    after_ns = now_ns + int(later * NS_PER_SECOND)
    assert limiter.stored_records(after_ns) == pytest.approx(other.stored_records(after_ns), rel=1e-6, abs=1e-3)
    assert limiter.try_acquire(1, after_ns)


@given(rate=st.floats(1, 10_000), first=st.integers(1, 3000), records=st.integers(1, 3000))
def test_giving_back_never_pays_for_what_others_took(rate: float, first: int, records: int) -> None:
    limiter = BurstyLimiter(rate, 0)
    assert limiter.try_acquire(first, 0)
    owed_until = limiter.next_free_ns()
    assert owed_until is not None
    assert limiter.try_acquire(records, owed_until)
    limiter.give_back(records, owed_until)
    assert limiter.stored_records(owed_until) <= 0.01 + 1e-6 * records
    assert limiter.next_free_ns() == pytest.approx(owed_until, abs=1000)


@given(rate=st.floats(1, 10_000), records=st.integers(1, 1000))
def test_a_warming_up_limiter_gets_no_more_than_it_gave(rate: float, records: int) -> None:
    limiter = WarmingUpLimiter(rate, 10 * NS_PER_SECOND, 0)
    stored = limiter.stored_records(0)
    assert limiter.try_acquire(records, 0)
    limiter.give_back(records, 0)
    assert limiter.stored_records(0) <= stored


def test_with_a_limit_of_nothing_the_debt_is_forgiven_in_records() -> None:
    limiter = BurstyLimiter(10, 0)
    assert limiter.try_acquire(30, 0)
    limiter.set_limit(0, 0)
    limiter.give_back(20, 0)
    limiter.set_limit(10, 0)
    assert limiter.next_free_ns() == NS_PER_SECOND
