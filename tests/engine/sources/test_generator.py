from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.errors import SettingError
from engine.sources.generator import Generator, generator
from engine.sources.protocol import SourceStart
from engine.sources.traffic import Shape, Traffic
from tests.support.sources import BEGINNING, batches, numbered, what_is_there

SECOND = NS_PER_SECOND
PLENTY = 10**9


def given_out(clock: ManualClock, source: Generator, seconds: float) -> int:
    clock.advance(seconds)
    return sum(len(batch.values) for batch in what_is_there(source))


def test_steady_records_come_at_the_rate() -> None:
    clock = ManualClock()
    source = generator(rate=250, clock=clock)
    source.open(BEGINNING)
    assert [given_out(clock, source, 1) for _ in range(4)] == [250] * 4
    assert given_out(clock, source, 0.02) == 5


def test_before_the_next_stroke_there_is_nothing_to_hand_out() -> None:
    clock = ManualClock()
    source = generator(rate=100_000, clock=clock)
    source.open(BEGINNING)
    assert given_out(clock, source, 0.009) == 0
    assert given_out(clock, source, 0.001) == 1000


def test_bursts_come_at_the_end_of_each_period() -> None:
    clock = ManualClock()
    source = generator("burst", rate=10, peak=100, period_ns=10 * SECOND, burst_ns=2 * SECOND, clock=clock)
    source.open(BEGINNING)
    assert [given_out(clock, source, 1) for _ in range(20)] == ([10] * 8 + [100] * 2) * 2


def test_a_ramp_rises_in_a_straight_line_and_stays_at_its_peak() -> None:
    clock = ManualClock()
    source = generator("ramp", rate=0, peak=1000, period_ns=10 * SECOND, clock=clock)
    source.open(BEGINNING)
    assert [given_out(clock, source, 1) for _ in range(12)] == [*range(50, 1000, 100), 1000, 1000]


def test_a_sine_begins_at_its_lowest_and_is_highest_in_the_middle_of_its_period() -> None:
    clock = ManualClock()
    source = generator("sine", rate=100, peak=500, period_ns=60 * SECOND, clock=clock)
    source.open(BEGINNING)
    course = [given_out(clock, source, 1) for _ in range(60)]
    assert abs(course[0] - 100) <= 1
    assert abs(course[30] - 500) <= 1
    assert sum(course) == 300 * 60
    assert all(abs(a - b) <= 2 for a, b in zip(course, reversed(course), strict=True))


def test_what_was_not_taken_in_time_comes_as_soon_as_it_is_asked_for() -> None:
    clock = ManualClock()
    source = generator(rate=1000, clock=clock)
    source.open(BEGINNING)
    clock.advance(10)
    batch = source.read(400)
    assert batch is not None
    assert (batch.first_offset, len(batch.values)) == (1, 400)
    assert given_out(clock, source, 0) == 9600


def test_it_ends_behind_its_count() -> None:
    clock = ManualClock()
    source = generator(rate=10, count=15, clock=clock)
    source.open(BEGINNING)
    clock.advance(60)
    assert numbered(batches_of(source))[-1][0] == 15
    assert source.read(1) is None


def batches_of(source: Generator) -> list[Any]:
    found = []
    while (batch := source.read(4)) is not None:
        found.append(batch)
    return found


def test_a_restart_behind_the_count_ends_at_once() -> None:
    source = generator(count=15, clock=ManualClock())
    assert batches(source, SourceStart(15, None)) == []


def test_the_pace_of_a_restarted_source_begins_anew() -> None:
    clock = ManualClock()
    source = generator(rate=100, clock=clock)
    source.open(SourceStart(5000, None))
    clock.advance(1)
    (batch,) = what_is_there(source)
    assert (batch.first_offset, len(batch.values)) == (5001, 100)


@settings(deadline=None)
@given(
    seed=st.integers(-(2**70), 2**70), keys=st.integers(1, 1000), offset=st.integers(0, 2**40), size=st.integers(1, 50)
)
def test_the_same_offset_has_the_same_value_in_every_run(seed: int, keys: int, offset: int, size: int) -> None:
    def from_offset(start: int) -> dict[int, Any]:
        clock = ManualClock()
        source = Generator(Traffic(rate=1000), keys=keys, seed=seed, count=offset + 60, clock=clock)
        source.open(SourceStart(start, None))
        clock.advance(1)
        return {n: value for batch in batches_from(source, size) for n, value in numbered([batch])}

    one, other = from_offset(offset), from_offset(offset + 17)
    assert len(one) == 60
    assert {n: one[n] for n in other} == other
    assert all(value["n"] == n and 0 <= value["value"] < 1 for n, value in one.items())


def batches_from(source: Generator, size: int) -> list[Any]:
    found = []
    while (batch := source.read(size)) is not None:
        found.append(batch)
    return found


def test_another_seed_gives_other_values_and_keys_are_spread_evenly() -> None:
    def values(seed: int) -> list[dict[str, Any]]:
        clock = ManualClock()
        source = generator(rate=10_000, keys=10, seed=seed, count=10_000, clock=clock)
        source.open(BEGINNING)
        clock.advance(2)
        return [value for batch in batches_from(source, 1000) for value in batch.values]

    first, second = values(1), values(2)
    assert [v["value"] for v in first] != [v["value"] for v in second]
    counts = Counter(v["key"] for v in first)
    assert len(counts) == 10
    # Five standard deviations of a fair draw.
    assert all(abs(count - 1000) < 150 for count in counts.values())
    assert abs(sum(v["value"] for v in first) / len(first) - 0.5) < 0.02


TRAFFIC = st.builds(
    lambda shape, rate, more, period, part: Traffic(
        shape=shape, rate=rate, peak=rate + more, period_ns=period, burst_ns=max(1, round(period * part))
    ),
    st.sampled_from(Shape), st.floats(0.001, 1e5), st.floats(0, 1e5), st.integers(10**6, 10**12), st.floats(0, 1),
)  # fmt: skip


@settings(deadline=None)
@given(traffic=TRAFFIC, moments=st.lists(st.integers(0, 10**13), min_size=2, max_size=20).map(sorted))
def test_what_is_due_never_falls_and_never_rises_faster_than_the_highest_rate(
    traffic: Traffic, moments: list[int]
) -> None:
    owed = [traffic.due(moment) for moment in moments]
    assert traffic.due(0) == 0
    for (before, after), (a, b) in zip(pairwise(owed), pairwise(moments), strict=True):
        grown = traffic.highest_rate * (b - a) / SECOND
        assert -1 <= after - before <= math.ceil(grown * (1 + 1e-9)) + 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rate": -1.0}, "rate must be 0 or more records per second, not -1.0"),
        ({"rate": 0.0}, "rate must be greater than 0, not 0"),
        ({"rate": math.inf}, "rate must be 0 or more"),
        ({"shape": "sine"}, "peak must be given for a sine, above 0 and not below rate, not None"),
        ({"shape": "ramp", "peak": 10.0}, "peak must be given for a ramp"),
        ({"shape": "ramp", "peak": 2000.0, "period_ns": 0}, "period must be longer than 0, not 0s"),
        ({"shape": "burst", "peak": 2000.0, "period_ns": 10**9}, "burst must be longer than 0 and not longer than"),
        ({"keys": 0}, "keys must be at least 1, not 0"),
        ({"count": -1}, "count must be 0 or more, not -1"),
    ],
)
def test_settings_outside_their_bounds_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError) as caught:
        generator(**settings)
    assert said in str(caught.value)


def test_the_words_of_the_door_are_the_shapes_there_are() -> None:
    assert set(get_args(get_type_hints(generator)["shape"])) == {shape.value for shape in Shape}
