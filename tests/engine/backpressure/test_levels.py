from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.backpressure.levels import LOW_RATIO_MAX, OK_RATIO_MAX, Level, level_of
from exporter.catalogue.labels import BACK_PRESSURE_LEVELS, BACK_PRESSURE_LOW_MAX, BACK_PRESSURE_OK_MAX


@pytest.mark.parametrize(
    ("ratio", "level"),
    [
        (0.0, Level.OK),
        (0.1, Level.OK),
        (0.1001, Level.LOW),
        (0.5, Level.LOW),
        (0.500001, Level.HIGH),
        (1.0, Level.HIGH),
    ],
)
def test_the_upper_bounds_of_a_level_belong_to_it(ratio: float, level: Level) -> None:
    assert level_of(ratio) is level


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_ratio_never_has_a_lower_level(one: float, other: float) -> None:
    order = list(Level)
    low, high = sorted([one, other])
    assert order.index(level_of(low)) <= order.index(level_of(high))


def test_levels_are_written_in_lower_case_and_drawn_where_the_catalogue_says() -> None:
    assert [str(level) for level in Level] == ["ok", "low", "high"]
    assert tuple(Level) == BACK_PRESSURE_LEVELS
    assert (OK_RATIO_MAX, LOW_RATIO_MAX) == (BACK_PRESSURE_OK_MAX, BACK_PRESSURE_LOW_MAX)
