from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from engine.backpressure.schedule import Schedule


@given(st.integers(0, 10**12), st.integers(1, 10**9), st.integers(0), st.integers(1, 50))
def test_every_slot_has_one_deadline_inside_it(start: int, delay: int, seed: int, slots: int) -> None:
    schedule = Schedule(start, delay, Random(seed))
    deadlines, missed = schedule.due(start + slots * delay - 1, at_most=slots)
    assert missed == 0
    assert [(deadline - start) // delay for deadline in deadlines] == list(range(slots))
    assert schedule.next_ns >= start + slots * delay


@given(st.lists(st.integers(0, 500), min_size=1, max_size=30), st.integers(0))
def test_however_late_the_looks_are_no_deadline_moves(steps: list[int], seed: int) -> None:
    late, punctual = Schedule(0, 100, Random(seed)), Schedule(0, 100, Random(seed))
    now, served = 0, []
    for step in steps:
        now += step
        served += late.due(now, at_most=1000)[0]
    assert served == punctual.due(now, at_most=1000)[0]


def test_after_a_standstill_only_the_last_deadlines_are_served() -> None:
    schedule = Schedule(0, 10, Random(1))
    deadlines, missed = schedule.due(999, at_most=5)
    assert missed + len(deadlines) in (99, 100)
    assert len(deadlines) <= 5
    assert all(deadline > 900 for deadline in deadlines)


def test_deadlines_do_not_fall_into_step_with_a_periodic_load() -> None:
    """A load of the same period as the samples: held back for the first 30 of each 100."""
    deadlines, _ = Schedule(0, 100, Random(7)).due(100 * 4000, at_most=10_000)
    share = sum(deadline % 100 < 30 for deadline in deadlines) / len(deadlines)
    assert abs(share - 0.3) < 0.03
