"""The script of the demo on a clock turned by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import ManualClock
from penstock.demo.script import PHASES, Phase, Until, flow_control, scaled
from penstock.demo.timeline import Moment, Timeline

TOTAL_SECONDS = sum(phase.seconds for phase in PHASES)


def phase(name: str, seconds: float, until: Until = Until.TIME) -> Phase:
    return Phase(name=name, seconds=seconds, sentence=f"{name} is on.", until=until)


THREE = (phase("one", 10), phase("two", 20, Until.THROTTLED), phase("three", 30, Until.FREE))


def at(timeline: Timeline, clock: ManualClock, seconds: float, *, throttled: bool = False) -> str | None:
    clock.advance(seconds)
    found = timeline.advance(throttled=throttled)
    return None if found is None else found.phase.name


def present(timeline: Timeline, *, throttled: bool = False) -> Moment:
    found = timeline.advance(throttled=throttled)
    assert found is not None
    return found


def test_time_begins_with_the_first_look() -> None:
    clock = ManualClock()
    timeline = Timeline(THREE, clock)
    clock.advance(1000)
    first = present(timeline)
    assert (first.phase.name, first.elapsed_seconds, first.total_seconds) == ("one", 0, 0)


def test_a_phase_ends_with_its_time() -> None:
    clock = ManualClock()
    timeline = Timeline(THREE, clock)
    assert at(timeline, clock, 0) == "one"
    assert at(timeline, clock, 9.9) == "one"
    assert at(timeline, clock, 0.1) == "two"


def test_a_phase_that_waits_for_throttling_ends_as_soon_as_it_is_there() -> None:
    clock = ManualClock()
    timeline = Timeline(THREE, clock)
    present(timeline)
    assert at(timeline, clock, 12) == "two"
    assert at(timeline, clock, 1, throttled=True) == "three"
    assert present(timeline, throttled=True).elapsed_seconds == 0


def test_a_phase_that_waits_for_the_end_of_throttling_lasts_until_then() -> None:
    clock = ManualClock()
    timeline = Timeline(THREE, clock)
    present(timeline)
    clock.advance(12)
    assert at(timeline, clock, 0, throttled=True) == "three"
    assert at(timeline, clock, 5, throttled=True) == "three"
    assert at(timeline, clock, 1, throttled=False) is None


def test_what_a_phase_waits_for_does_not_hold_it_beyond_its_time() -> None:
    clock = ManualClock()
    timeline = Timeline(THREE, clock)
    present(timeline)
    assert at(timeline, clock, 30, throttled=False) is None, "two ended after 20 s, and three had nothing to wait for"
    timeline = Timeline(THREE, clock)
    present(timeline)
    clock.advance(10)
    assert at(timeline, clock, 0, throttled=True) == "three"
    assert at(timeline, clock, 30, throttled=True) is None


def test_a_late_look_finds_the_phase_that_it_is_time_for() -> None:
    clock = ManualClock()
    timeline = Timeline((phase("one", 10), phase("two", 20), phase("three", 30)), clock)
    present(timeline)
    clock.advance(35)
    late = present(timeline)
    assert (late.phase.name, late.elapsed_seconds) == ("three", 5)


def test_without_repetition_it_is_over_behind_the_last_phase_and_stays_over() -> None:
    clock = ManualClock()
    timeline = Timeline((phase("one", 10),), clock)
    present(timeline)
    assert at(timeline, clock, 10) is None
    assert at(timeline, clock, 10) is None


def test_with_repetition_rounds_are_counted() -> None:
    clock = ManualClock()
    timeline = Timeline((phase("one", 10), phase("two", 20)), clock, repeat=True)
    assert present(timeline).round == 1
    clock.advance(65)
    third = present(timeline)
    assert (third.phase.name, third.round, third.elapsed_seconds, third.total_seconds) == ("one", 3, 5, 65)


def test_a_duration_ends_it_in_the_middle_of_a_phase() -> None:
    clock = ManualClock()
    timeline = Timeline((phase("one", 10),), clock, repeat=True, seconds=25)
    present(timeline)
    assert at(timeline, clock, 24) == "one"
    assert at(timeline, clock, 1) is None


def test_phases_of_one_name_that_follow_one_another_have_one_number() -> None:
    clock = ManualClock()
    names = ("calm", "throttled", "throttled", "calm")
    timeline = Timeline([phase(name, 10) for name in names], clock)
    seen = []
    for _ in names:
        now = present(timeline)
        seen.append((now.phase.name, now.number, now.phases))
        clock.advance(10)
    assert seen == [("calm", 1, 3), ("throttled", 2, 3), ("throttled", 2, 3), ("calm", 3, 3)]


@given(steps=st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60))
def test_phases_come_in_order_and_none_lasts_longer_than_its_time(steps: list[tuple[float, bool]]) -> None:
    clock = ManualClock()
    timeline = Timeline(PHASES, clock, repeat=True)
    position = -1
    for seconds, throttled in steps:
        clock.advance(seconds)
        now = present(timeline, throttled=throttled)
        index = next(i for i, p in enumerate(PHASES) if p is now.phase)
        here = (now.round - 1) * len(PHASES) + index
        assert here >= position, "never back"
        position = here
        assert 0 <= now.elapsed_seconds < now.phase.seconds
        assert 0 <= now.progress <= 1


def test_the_script_tells_the_story_in_order() -> None:
    names = [p.name for p in PHASES]
    story = [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
    assert story == ["calm", "slow exporter", "throttled", "recovery", "slow task", "calm"]


def test_fast_phases_are_a_quarter_as_long_and_otherwise_the_same() -> None:
    fast = scaled(PHASES, 0.25)
    assert sum(p.seconds for p in fast) == TOTAL_SECONDS / 4
    assert [(p.name, p.sentence, p.until) for p in fast] == [(p.name, p.sentence, p.until) for p in PHASES]


def test_the_first_throttling_is_due_within_a_minute() -> None:
    # 240 flights a second are 2.536 records each on partition 1, by the origins and destinations of the month.
    for factor in (1.0, 0.25):
        throttling = flow_control(factor).write
        assert throttling is not None
        half = throttling.throttling.acceptable_backlog / 2
        calm, slow = scaled(PHASES, factor)[:2]
        assert slow.exporter_speed is not None
        grows = 240 * 2.536 - slow.exporter_speed
        assert half / grows < slow.seconds, "it sets in before the phase gives up waiting"
        assert calm.seconds + half / grows < 60 * factor
