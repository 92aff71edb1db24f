from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.backpressure.window import Counts, SampleWindow, Verdict


@given(st.integers(1, 20), st.lists(st.sampled_from(Verdict), max_size=100))
def test_a_window_counts_exactly_its_last_verdicts(size: int, verdicts: list[Verdict]) -> None:
    window = SampleWindow(size)
    for verdict in verdicts:
        window.add(verdict)
    last = verdicts[-size:]
    assert window.counts() == Counts(
        busy=last.count(Verdict.BUSY), idle=last.count(Verdict.IDLE), blocked=last.count(Verdict.BLOCKED)
    )
    assert window.is_full == (len(verdicts) >= size)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 200))
def test_the_three_ratios_sum_to_one_and_rest_on_what_was_taken(busy: int, idle: int, blocked: int) -> None:
    reading = Counts(busy=busy, idle=idle, blocked=blocked).reading(5)
    assert reading is not None
    assert abs(reading.ratio + reading.idle_ratio + reading.busy_ratio - 1) < 1e-9
    assert reading.samples == busy + idle + blocked
    assert reading.ratio_low <= reading.ratio <= reading.ratio_high
    assert reading.sampled_wall_ns == 5


def test_without_samples_there_is_no_reading() -> None:
    assert Counts(busy=0, idle=0, blocked=0).reading(5) is None


def test_alternating_samples_are_a_half() -> None:
    window = SampleWindow(10)
    for _ in range(5):
        window.add(Verdict.BLOCKED)
        window.add(Verdict.BUSY)
    reading = window.counts().reading(None)
    assert reading is not None
    assert (reading.ratio, reading.level) == (0.5, "low")
