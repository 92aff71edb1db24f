"""The algorithms of the request limit, against the vectors and formulas of their sources."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.flow.request.aimd import AimdLimit
from engine.flow.request.algorithms import request_limit
from engine.flow.request.gradient import GradientLimit
from engine.flow.request.gradient2 import Gradient2Limit
from engine.flow.request.limit import RequestLimit
from engine.flow.request.vegas import legacy_vegas, vegas
from engine.flow.request.windowed import WindowedLimit
from engine.flow.settings import (
    AimdSettings,
    Gradient2Settings,
    GradientSettings,
    LegacyVegasSettings,
    RequestAlgorithm,
    RequestLimitSettings,
    VegasSettings,
)


def aimd(initial: int = 10, *, minimum: int = 1) -> AimdLimit:
    return AimdLimit(AimdSettings(initial_limit=initial, min_limit=minimum, request_timeout_ns=NS_PER_SECOND))


def sample(limit: RequestLimit, rtt_ms: float, in_flight: int, *, at_s: float = 0, dropped: bool = False) -> int:
    limit.on_sample(round(at_s * NS_PER_SECOND), round(rtt_ms * NS_PER_MS), in_flight, dropped)
    return limit.limit


@pytest.mark.parametrize(
    ("rtt_ms", "in_flight", "limit"), [(1, 9, 11), (1, 2, 10), (2000, 9, 9), (2000, 11, 10), (1000, 9, 11)]
)
def test_aimd_adds_one_when_used_and_quick_and_multiplies_when_slow(rtt_ms: float, in_flight: int, limit: int) -> None:
    assert sample(aimd(), rtt_ms, in_flight) == limit


def test_aimd_takes_a_lost_command_as_a_slow_one() -> None:
    limit = AimdLimit(AimdSettings(initial_limit=100))
    assert [sample(limit, 1, 4, dropped=True) for _ in range(4)] == [90, 81, 72, 64]


def test_aimd_stays_between_its_bounds() -> None:
    limit = AimdLimit(AimdSettings(initial_limit=5, min_limit=5, max_limit=6))
    assert sample(limit, 1000, 1) == 5
    assert [sample(limit, 1, 6) for _ in range(3)] == [6, 6, 6]


def test_vegas_keeps_its_estimated_queue_between_alpha_and_beta() -> None:
    limit = vegas(VegasSettings(alpha=3, beta=6, initial_limit=20), Random(1))
    assert sample(limit, 10, 20) == 20  # the shortest round trip
    assert sample(limit, 10, 20) == 26  # no queue: + beta
    assert sample(limit, 10.6, 20) == 27  # ceil(26 × 0.6 ÷ 10.6) = 2, between log10 and alpha: + log10
    assert sample(limit, 12, 20) == 27  # ceil(27 × 2 ÷ 12) = 5, between alpha and beta
    assert sample(limit, 20, 20) == 26  # ceil(27 × ½) = 14, above beta: − log10
    assert sample(limit, 20, 12) == 26  # less than half used
    assert sample(limit, 20, 20, dropped=True) == 25


def test_vegas_measures_the_shortest_round_trip_afresh_now_and_then() -> None:
    limit = vegas(VegasSettings(initial_limit=10), Random(1))
    sample(limit, 1, 1)
    for _ in range(30 * 10):
        sample(limit, 50, 1)
    assert limit.state().rtt_noload_ns == 50 * NS_PER_MS


def test_legacy_vegas_takes_its_bounds_as_shares_of_the_limit() -> None:
    limit = legacy_vegas(LegacyVegasSettings(), Random(1))
    assert limit.limit == 1024
    sample(limit, 10, 1024)
    # ceil(1024 × 0.6) = 615 < int(1024 × 0.7) = 716: one step up, of ln 1024 = 6.9.
    assert sample(limit, 25, 1024) == 1030
    # ceil(1030.9 × 0.99) = 1021 > int(1030 × 0.95) = 978: one step down.
    assert sample(limit, 1000, 1024) == 1023
    assert limit.state().max_limit == 32768


def test_gradient_grows_by_the_root_of_itself_and_shrinks_with_the_ratio_of_round_trips() -> None:
    limit = GradientLimit(GradientSettings(initial_limit=100, rtt_tolerance=1.0), Random(1))
    assert sample(limit, 10, 100) == 110
    # ratio ½: 110 × ½ + 10 = 65, smoothed 110 × 0.8 + 65 × 0.2.
    assert sample(limit, 20, 110) == 101
    assert sample(limit, 10, 50) == 101  # not used
    # However slow, at most half of it at once: 101 × ½ + 10 = 60.5, smoothed 101 × 0.8 + 60.5 × 0.2 = 92.9.
    assert sample(limit, 10_000, 101) == 92
    # nine tenths of 92.9, smoothed: 92.9 × 0.8 + 83.6 × 0.2 = 91.04.
    assert sample(limit, 10, 92, dropped=True) == 91


def test_gradient_probes_from_a_small_limit_after_one_to_two_thousand_samples() -> None:
    limit = GradientLimit(GradientSettings(initial_limit=100, min_limit=10), Random(1))
    limits = [sample(limit, 10, 1) for _ in range(2001)]
    assert set(limits[:1000]) == {100}
    assert min(limits) == 10


def test_gradient2_follows_the_long_average_smoothly() -> None:
    limit = Gradient2Limit(Gradient2Settings(initial_limit=20, rtt_tolerance=1.0))
    assert sample(limit, 10, 20) == 20  # 20 + 4 × 0.2 = 20.8
    state = limit.state()
    assert state.estimated_limit == pytest.approx(20.8)
    # The mean of 10 and 30 is 20: ratio ⅔.
    sample(limit, 30, 20)
    assert limit.state().estimated_limit == pytest.approx(20.8 * 0.8 + (20.8 * 2 / 3 + 4) * 0.2)
    sample(limit, 30, 5)
    assert limit.state().estimated_limit == pytest.approx(20.8 * 0.8 + (20.8 * 2 / 3 + 4) * 0.2)


def test_gradient2_forgets_a_long_stretch_of_load_faster_than_its_window() -> None:
    limit = Gradient2Limit(Gradient2Settings())
    for _ in range(1000):
        sample(limit, 1000, 20)
    for _ in range(100):
        sample(limit, 10, 20)
    assert limit._long_ns < 100 * NS_PER_MS


# -- windows ----------------------------------------------------------------------------------------------------


def test_a_window_hands_on_its_mean_round_trip_and_its_most_in_flight_once_a_second() -> None:
    limit = WindowedLimit(aimd())
    for tenth in range(11):
        assert sample(limit, 1, 9 if tenth == 3 else 2, at_s=tenth / 10) == 10
    assert sample(limit, 1, 2, at_s=1.1) == 11
    # One slow command among many quick ones does not lower the mean's limit.
    for tenth in range(11):
        sample(limit, 3000 if tenth == 5 else 1, 9, at_s=2 + tenth / 10)
    assert limit.limit == 12


def test_a_loss_within_a_window_counts_for_the_whole_of_it() -> None:
    limit = WindowedLimit(aimd())
    for tenth in range(12):
        sample(limit, 1, 9, at_s=tenth / 10, dropped=tenth == 4)
    sample(limit, 1, 9, at_s=2)
    assert limit.limit == 9


@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("rtt_ms", [0.01, 50])
def test_a_limit_at_its_minimum_recovers_under_one_command_every_two_seconds(windowed: bool, rtt_ms: float) -> None:
    limit = request_limit(
        RequestLimitSettings(enabled=True, use_windowed=windowed, aimd=AimdSettings(initial_limit=1)), Random(1)
    )
    assert limit is not None
    for second in range(0, 60, 2):
        sample(limit, rtt_ms, 1, at_s=second)
    assert limit.limit == 3


def test_a_sparse_window_is_over_after_ten_seconds() -> None:
    limit = WindowedLimit(aimd(1))
    for second in range(0, 50, 8):
        sample(limit, 50, 1, at_s=second)
    assert limit.limit == 3


def test_a_window_says_what_it_wraps() -> None:
    state = WindowedLimit(aimd()).state()
    assert (state.algorithm, state.windowed, state.limit) == ("aimd", True, 10)


# -- all of them ------------------------------------------------------------------------------------------------


def test_the_settings_choose_the_algorithm_and_its_first_limit() -> None:
    firsts = {
        algorithm: request_limit(RequestLimitSettings(enabled=True, algorithm=algorithm), Random(1))
        for algorithm in RequestAlgorithm
    }
    assert {algorithm: limit.limit for algorithm, limit in firsts.items() if limit} == {
        RequestAlgorithm.AIMD: 100,
        RequestAlgorithm.FIXED: 20,
        RequestAlgorithm.VEGAS: 20,
        RequestAlgorithm.GRADIENT: 20,
        RequestAlgorithm.GRADIENT2: 20,
        RequestAlgorithm.LEGACY_VEGAS: 1024,
    }
    for algorithm, limit in firsts.items():
        assert limit is not None
        assert limit.state().algorithm == algorithm
    assert request_limit(RequestLimitSettings(enabled=False), Random(1)) is None


def test_what_the_documented_answer_shows_of_vegas_is_there() -> None:
    state = vegas(VegasSettings(alpha=3, beta=6, initial_limit=50), Random(1)).state()
    assert (state.limit, state.estimated_limit, state.rtt_noload_ns, state.max_limit, state.smoothing) == (
        50,
        50.0,
        0,
        1000,
        1.0,
    )


@given(
    st.sampled_from(RequestAlgorithm),
    st.booleans(),
    st.integers(0, 100),
    st.lists(
        st.tuples(
            st.integers(1, 10 * NS_PER_SECOND), st.integers(1, 40_000), st.booleans(), st.integers(0, NS_PER_SECOND)
        ),
        max_size=300,
    ),
)
def test_whatever_the_round_trips_a_limit_stays_between_its_bounds(
    algorithm: RequestAlgorithm, windowed: bool, seed: int, samples: list[tuple[int, int, bool, int]]
) -> None:
    limit = request_limit(RequestLimitSettings(enabled=True, use_windowed=windowed, algorithm=algorithm), Random(seed))
    assert limit is not None
    now_ns = 0
    for rtt_ns, in_flight, dropped, wait_ns in samples:
        now_ns += wait_ns
        limit.on_sample(now_ns, rtt_ns, in_flight, dropped)
        state = limit.state()
        assert limit.limit == state.limit
        assert (state.min_limit or 1) <= limit.limit <= (state.max_limit or limit.limit)
        assert state.estimated_limit is None or int(state.estimated_limit) == limit.limit


@given(st.sampled_from([a for a in RequestAlgorithm if a is not RequestAlgorithm.FIXED]))
def test_a_limit_that_learns_falls_under_load_and_rises_again_after_it(algorithm: RequestAlgorithm) -> None:
    limit = request_limit(RequestLimitSettings(enabled=True, use_windowed=False, algorithm=algorithm), Random(7))
    assert limit is not None
    for step in range(300):
        sample(limit, 5, limit.limit, at_s=step)
    used = limit.limit
    # The processor becomes slower and slower, far beyond the tolerance of any algorithm.
    for step in range(60):
        sample(limit, 500 * 1.2**step, limit.limit, at_s=1000 + step)
    loaded = limit.limit
    assert loaded < used
    for step in range(300):
        sample(limit, 5, limit.limit, at_s=2000 + step)
    assert limit.limit > loaded
