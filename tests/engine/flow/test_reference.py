"""Our limiters and the libraries they follow answer alike, call by call; where they do not, it is a decision."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from random import Random

import pytest

from engine.flow.request import vegas as vegas_module
from engine.flow.request.aimd import AimdLimit
from engine.flow.request.fixed import FixedLimit
from engine.flow.request.gradient import GradientLimit
from engine.flow.request.gradient2 import Gradient2Limit
from engine.flow.request.limit import RequestLimit
from engine.flow.request.vegas import legacy_vegas, vegas
from engine.flow.request.windowed import WindowedLimit
from engine.flow.settings import (
    AimdSettings,
    FixedSettings,
    Gradient2Settings,
    GradientSettings,
    LegacyVegasSettings,
    VegasSettings,
)
from engine.flow.write_limiter import write_rate_limiter
from tests.support.reference import REQUEST_LIMITS, WRITE_LIMITS, answers

# Random sequences for each kind; `REFERENCE_ROUNDS=200` for a long run by hand.
ROUNDS = int(os.environ.get("REFERENCE_ROUNDS", "20"))
CALLS = 900
NS_PER_US = 1000
# The library keeps whole microseconds, ours nanoseconds: so near to the end of a debt nobody asks.
ROUNDED_US = 10
NEVER = 1_000_000_000


@pytest.fixture
def random() -> Random:
    seed = int(os.environ.get("TEST_SEED", "0")) or Random().randrange(1, 2**32)
    print(f"TEST_SEED={seed}")
    return Random(seed)


# -- the request limit ---


def aimd(random: Random) -> tuple[RequestLimit, str]:
    initial, low, ratio = random.randint(1, 200), random.randint(1, 20), random.choice((0.5, 0.8, 0.9))
    timeout_ns = random.randint(1, 400) * 1_000_000
    settings = AimdSettings(
        initial_limit=max(initial, low),
        min_limit=low,
        max_limit=500,
        backoff_ratio=ratio,
        request_timeout_ns=timeout_ns,
    )
    return AimdLimit(settings), f"aimd {max(initial, low)} {low} 500 {ratio} {timeout_ns}"


def fixed(random: Random) -> tuple[RequestLimit, str]:
    limit = random.randint(1, 1000)
    return FixedLimit(FixedSettings(limit=limit)), f"fixed {limit}"


def vegas_without_probes(random: Random) -> tuple[RequestLimit, str]:
    alpha = random.randint(1, 10)
    beta, initial = alpha + random.randint(1, 10), random.randint(1, 1500)
    settings = VegasSettings(alpha=alpha, beta=beta, initial_limit=initial)
    return vegas(settings, random), f"vegas {alpha} {beta} {initial} {NEVER}"


def legacy_vegas_without_probes(random: Random) -> tuple[RequestLimit, str]:
    most = random.choice((100, 1000, 32768))
    initial = random.randint(1, min(most, 2000))
    alpha = random.choice((0.3, 0.7))
    settings = LegacyVegasSettings(initial_limit=initial, max_concurrency=most, alpha_limit=alpha, beta_limit=0.95)
    return legacy_vegas(settings, random), f"legacy_vegas {initial} {most} {alpha} 0.95 {NEVER}"


def gradient(random: Random) -> tuple[RequestLimit, str]:
    low, tolerance = random.randint(1, 60), random.choice((1.0, 1.5, 2.0))
    initial = random.randint(low, 1200)
    settings = GradientSettings(min_limit=low, initial_limit=initial, rtt_tolerance=tolerance)
    return GradientLimit(settings, random), f"gradient {low} {initial} {tolerance}"


def gradient2(random: Random) -> tuple[RequestLimit, str]:
    low, tolerance = random.randint(1, 60), random.choice((1.0, 1.5, 2.0))
    initial = random.randint(low, 300)
    window = random.choice((10, 100, 600))
    settings = Gradient2Settings(min_limit=low, initial_limit=initial, rtt_tolerance=tolerance, long_window=window)
    return Gradient2Limit(settings), f"gradient2 {low} {initial} {tolerance} {window}"


Make = Callable[[Random], tuple[RequestLimit, str]]
ALGORITHMS: list[Make] = [aimd, fixed, vegas_without_probes, legacy_vegas_without_probes, gradient, gradient2]


@pytest.fixture(autouse=True)
def no_probes_of_vegas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both probe at random moments of their own; those of the gradients come later than a sequence is long."""
    monkeypatch.setattr(vegas_module, "_PROBE_MULTIPLIER", NEVER)


def samples(random: Random, limit: RequestLimit, *, is_dense: bool) -> Iterator[tuple[int, int, int, bool]]:
    """Load that comes and goes; dense is more than ten ends of round trips in each second, none below 100 µs."""
    at_ns, base_ns, slow = 1, random.randint(1, 5 if is_dense else 50) * 1_000_000, 1.0
    for _ in range(CALLS):
        if random.random() < 0.05:
            slow = random.choice((0.3, 1.0, 1.0, 2.5, 20.0))
        rtt_ns = max(100_000, int(base_ns * slow * random.uniform(0.5, 1.5)))
        used = random.choice((0.1, 0.49, 0.5, 0.51, 0.9, 1.0, 1.0, 1.0))
        at_ns += random.randint(0, 40_000_000) if is_dense else random.randint(0, 2_000_000_000)
        yield at_ns, rtt_ns, max(1, round(limit.limit * used)), random.random() < 0.02


def compared(random: Random, make: Make, *, windowed: bool, is_dense: bool = True) -> int:
    """Samples after which the two limits differ, of `ROUNDS` sequences."""
    lines, ours = [], []
    for _ in range(ROUNDS):
        limit, name = make(random)
        if windowed:
            limit = WindowedLimit(limit)
        lines.append(f"new {name}{' windowed' if windowed else ''}")
        for start_ns, rtt_ns, in_flight, dropped in samples(random, limit, is_dense=is_dense):
            lines.append(f"sample {start_ns} {rtt_ns} {in_flight} {int(dropped)}")
            limit.on_sample(start_ns, rtt_ns, in_flight, dropped)
            ours.append(limit.limit)
    theirs = answers(REQUEST_LIMITS, lines)
    assert len(ours) == len(theirs) == ROUNDS * CALLS
    different = sum(mine != other for mine, other in zip(ours, theirs, strict=True))
    print(f"{make.__name__}{', windowed' if windowed else ''}: {different} of {len(ours)} samples differ")
    return different


@pytest.mark.parametrize("windowed", [False, True], ids=["each", "windowed"])
@pytest.mark.parametrize("make", ALGORITHMS)
def test_a_request_limit_is_after_each_sample_what_the_librarys_is(random: Random, make: Make, windowed: bool) -> None:
    assert compared(random, make, windowed=windowed) == 0


def test_where_windows_are_sparse_ours_count_and_the_librarys_are_thrown_away(random: Random) -> None:
    assert compared(random, gradient2, windowed=True, is_dense=False) > 0


# -- the write limit ---


def write_calls(
    random: Random, ramp_up_us: int, rates: Callable[[Random, float, bool], float]
) -> tuple[list[str], list[int]]:
    """Lines for the library and our answers; `rates` says the next rate from the present and whether debt is open."""
    lines, ours = [], []
    for _ in range(ROUNDS):
        rate = float(random.choice((1, 3, 10, 100, 777, 4000)))
        limiter = write_rate_limiter(rate, ramp_up_us * NS_PER_US, 0)
        lines.append(f"new {rate} {ramp_up_us}")
        at_us = 0
        for _ in range(CALLS):
            if random.random() < 0.1:
                at_us += random.choice((0, int(5e6 / rate), 3_000_000, 30_000_000))
            at_us += int(random.expovariate(rate / 2e6))
            next_free_ns = limiter.next_free_ns()
            assert next_free_ns is not None
            if abs(next_free_ns - at_us * NS_PER_US) < ROUNDED_US * NS_PER_US:
                at_us += 2 * ROUNDED_US
            lines.append(f"at {at_us}")
            wanted = rates(random, rate, next_free_ns > at_us * NS_PER_US)
            if wanted != rate:
                rate = wanted
                lines.append(f"rate {rate}")
                limiter.set_limit(rate, at_us * NS_PER_US)
            records = random.choice((1, 1, 1, 2, 5, int(rate) + 1))
            lines.append(f"acquire {records}")
            ours.append(int(limiter.try_acquire(records, at_us * NS_PER_US)))
    return lines, ours


def steady(_random: Random, rate: float, _owes: bool) -> float:
    return rate


def without_debt(random: Random, rate: float, owes: bool) -> float:
    """Up and down, while nothing is owed."""
    return rate if owes or random.random() > 0.05 else random.choice((1.0, 10.0, 100.0, 4000.0))


def lowered_without_debt(random: Random, rate: float, owes: bool) -> float:
    return rate if owes or random.random() > 0.05 else max(1.0, rate / 10)


def any_time(random: Random, rate: float, _owes: bool) -> float:
    return rate if random.random() > 0.05 else random.choice((1.0, 10.0, 100.0, 4000.0))


def differing(random: Random, ramp_up_us: int, rates: Callable[[Random, float, bool], float]) -> tuple[int, int]:
    lines, ours = write_calls(random, ramp_up_us, rates)
    theirs = answers(WRITE_LIMITS, lines)
    different = sum(mine != other for mine, other in zip(ours, theirs, strict=True))
    print(f"ramp-up {ramp_up_us // 1000} ms, {rates.__name__}: {different} of {len(ours)} calls differ")
    return different, len(ours)


@pytest.mark.parametrize("ramp_up_us", [0, 500_000, 5_000_000])
def test_a_write_limit_grants_what_the_librarys_grants_at_the_same_moment(random: Random, ramp_up_us: int) -> None:
    assert differing(random, ramp_up_us, steady)[0] == 0


def test_so_it_does_when_it_is_lowered_while_nothing_is_owed(random: Random) -> None:
    assert differing(random, 0, lowered_without_debt)[0] == 0


def test_with_a_ramp_up_so_it_does_whichever_way_it_is_turned_while_nothing_is_owed(random: Random) -> None:
    assert differing(random, 5_000_000, without_debt)[0] == 0


def test_after_a_change_with_open_debt_they_differ_as_decided(random: Random) -> None:
    assert differing(random, 0, any_time)[0] > 0


@pytest.mark.parametrize(
    ("before", "after", "ours_ms", "theirs_ms"), [(100, 1000, 1000, 10_000), (1000, 100, 10_000, 1000)]
)
def test_debt_of_a_thousand_records_is_paid_at_the_rate_that_holds_and_in_the_library_at_that_which_held(
    before: int, after: int, ours_ms: int, theirs_ms: int
) -> None:
    limiter = write_rate_limiter(before, 0, 0)
    assert limiter.try_acquire(1000, 0)
    limiter.set_limit(after, 0)
    assert limiter.next_free_ns() == ours_ms * 1_000_000
    lines = [f"new {before} 0", "acquire 1000", f"rate {after}", f"at {theirs_ms * 1000 - 1}", "acquire 1"]
    lines += [f"at {theirs_ms * 1000}", "acquire 1"]
    assert answers(WRITE_LIMITS, lines) == [1, 0, 1]
