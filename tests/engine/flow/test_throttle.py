"""The throttle's pure rules: the documented table, its edges, and what holds for any numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.flow.settings import ThrottlingAlgorithm, ThrottlingSettings
from engine.flow.throttle import ThrottleDecision, decide, step_ns, throttle_factor

FORMULA = ThrottlingSettings(enabled=True)
ADAPTIVE = ThrottlingSettings(enabled=True, algorithm=ThrottlingAlgorithm.ADAPTIVE)


def decided(
    backlog: int | None,
    rate: float | None,
    *,
    throttling: ThrottlingSettings = FORMULA,
    limit: int = 1000,
    stored: float = 0.0,
) -> ThrottleDecision:
    return decide(
        backlog_records=backlog,
        exporting_rate_per_second=rate,
        limit_per_second=limit,
        throttling=throttling,
        stored_records=stored,
    )


@pytest.mark.parametrize(
    ("backlog", "rate", "limit"),
    [
        (0, 300, 1000),
        (40_000, 0, 1000),
        (49_999, 300, 1000),
        (50_000, 300, 1000),
        (50_001, 300, 100_000 / 50_001 * 300),
        (60_000, 900, 1000),
        (100_000, 300, 300),
        (200_000, 300, 150),
        (200_000, 100, 100),
        (100_000, 0, 100),
        (100_000, None, 100),
        (-5, 300, 1000),
        (None, 300, 1000),
        (None, None, 1000),
    ],
)
def test_the_formula_gives_the_documented_limit(backlog: int | None, rate: float | None, limit: float) -> None:
    decision = decided(backlog, rate)
    assert decision.limit_per_second == pytest.approx(limit)
    assert decision.throttled == (limit < 1000)


@pytest.mark.parametrize("algorithm", ThrottlingAlgorithm)
def test_where_no_backlog_is_acceptable_only_an_empty_one_has_the_whole_limit(
    algorithm: ThrottlingAlgorithm,
) -> None:
    throttling = ThrottlingSettings(enabled=True, acceptable_backlog=0, algorithm=algorithm)
    assert decided(0, 500, throttling=throttling).limit_per_second == 1000
    assert decided(1, 500, throttling=throttling).limit_per_second == 100


def test_an_unknown_exporting_rate_is_said_to_be_unknown() -> None:
    assert "unknown" in decided(100_000, None).reason
    assert "unknown" not in decided(100_000, 0).reason


def test_throttling_that_is_off_never_throttles() -> None:
    decision = decided(10**9, 0, throttling=ThrottlingSettings(enabled=False))
    assert decision.limit_per_second == 1000
    assert not decision.throttled


def test_a_minimum_of_zero_lets_the_throttle_stop_writes() -> None:
    throttling = ThrottlingSettings(enabled=True, minimum_limit=0)
    assert decided(100_000, 0, throttling=throttling).limit_per_second == 0


def test_the_adaptive_rule_spreads_the_room_that_is_left_over_the_time_to_its_next_decision() -> None:
    assert decided(99_000, None, throttling=ADAPTIVE).limit_per_second == pytest.approx(1000 / 3)
    assert decided(99_000, None, throttling=ADAPTIVE, stored=400).limit_per_second == pytest.approx(600 / 3)
    assert decided(100_000, 5000, throttling=ADAPTIVE).limit_per_second == ADAPTIVE.minimum_limit


def test_the_adaptive_rule_does_not_throttle_half_of_the_acceptable_backlog_however_coarse_the_resolution() -> None:
    coarse = ThrottlingSettings(
        enabled=True, algorithm=ThrottlingAlgorithm.ADAPTIVE, resolution_ns=3600 * NS_PER_SECOND
    )
    assert not decided(50_000, 0, throttling=coarse).throttled
    assert decided(50_100, 0, throttling=coarse).throttled
    assert step_ns(1000, coarse) == 50 * NS_PER_SECOND


def test_a_decision_holds_for_the_resolution_and_the_adaptive_one_for_a_fifth_of_it() -> None:
    assert step_ns(1_000_000, FORMULA) == 15 * NS_PER_SECOND
    assert step_ns(4000, ADAPTIVE) == 3 * NS_PER_SECOND
    # However high the limit, the ticker is not asked for more than ten decisions a second.
    assert step_ns(2_000_000, ADAPTIVE) == 100 * NS_PER_MS
    short = ThrottlingSettings(enabled=True, resolution_ns=50 * NS_PER_MS, algorithm=ThrottlingAlgorithm.ADAPTIVE)
    assert step_ns(4000, short) == 50 * NS_PER_MS


def test_the_factor_is_finite_or_unknown() -> None:
    assert throttle_factor(200_000, 100_000) == 0.5
    assert throttle_factor(0, 100_000) == 100_000
    assert throttle_factor(0, 0) is None
    assert throttle_factor(None, 100_000) is None


_THROTTLINGS = st.builds(
    ThrottlingSettings,
    enabled=st.booleans(),
    acceptable_backlog=st.integers(0, 2**62),
    minimum_limit=st.integers(0, 5000),
    resolution_ns=st.integers(1, 10**12),
    algorithm=st.sampled_from(ThrottlingAlgorithm),
)
_BACKLOGS = st.none() | st.integers(-(2**62), 2**62)
_RATES = st.none() | st.floats(0, 1e12)


@given(_BACKLOGS, _RATES, _THROTTLINGS, st.integers(1, 2**40), st.floats(0, 1e9))
def test_any_numbers_give_a_limit_between_the_minimum_and_the_configured_one(
    backlog: int | None, rate: float | None, throttling: ThrottlingSettings, above: int, stored: float
) -> None:
    limit = throttling.minimum_limit + above
    decision = decided(backlog, rate, throttling=throttling, limit=limit, stored=stored)
    assert math.isfinite(decision.limit_per_second)
    assert throttling.minimum_limit <= decision.limit_per_second <= limit
    assert decision.throttled == (decision.limit_per_second < limit)
    if not throttling.enabled or backlog is None or backlog <= 0:
        assert not decision.throttled
    assert decision.factor is None or math.isfinite(decision.factor)


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.floats(0, 5000), st.sampled_from(ThrottlingAlgorithm))
def test_more_backlog_never_gives_a_higher_limit(
    backlog: int, more: int, rate: float, algorithm: ThrottlingAlgorithm
) -> None:
    throttling = ThrottlingSettings(enabled=True, algorithm=algorithm)
    less = decided(backlog, rate, throttling=throttling).limit_per_second
    assert decided(backlog + more, rate, throttling=throttling).limit_per_second <= less + 1e-9


@given(st.integers(0, 120_000) | st.integers(85_000, 101_000), st.floats(0, 4000))
def test_no_adaptive_decision_fills_more_than_the_acceptable_backlog_even_if_nothing_is_exported(
    backlog: int, stored: float
) -> None:
    limit = decided(backlog, None, throttling=ADAPTIVE, limit=4000, stored=stored).limit_per_second
    if limit > ADAPTIVE.minimum_limit:
        step_seconds = step_ns(4000, ADAPTIVE) / NS_PER_SECOND
        assert backlog + stored + limit * step_seconds <= 100_000 + 1e-6
