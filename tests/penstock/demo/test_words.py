"""Numbers as the demo says them."""

from __future__ import annotations

import pytest

from penstock.demo.words import clock_time, counted, duration


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (46.4, "46 s"), (59.6, "1 min 0 s"), (164, "2 min 44 s"), (7322, "122 min 2 s")]
)
def test_a_duration_is_said_in_minutes_and_seconds(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:00"), (59.9, "0:59"), (125, "2:05"), (3600, "60:00")])
def test_a_time_of_the_clock_never_runs_ahead(seconds: float, said: str) -> None:
    assert clock_time(seconds) == said


def test_one_is_singular() -> None:
    assert [counted(n, "flight") for n in (0, 1, 2000)] == ["0 flights", "1 flight", "2,000 flights"]
