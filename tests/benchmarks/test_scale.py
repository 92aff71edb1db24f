"""How fast a cost grows, and what the tables of the curves say about it."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scale.curve import Cost, Costs, Curve, Measured
from benchmarks.scale.growth import TOLERANCE, growth
from benchmarks.study import Pace


@given(st.floats(-1, 3), st.floats(0.001, 1000))
def test_a_power_law_gives_its_exponent_back(exponent: float, factor: float) -> None:
    found = growth({size: factor * size**exponent for size in (1, 10, 100, 1000)})
    assert found.exponent == pytest.approx(exponent, abs=1e-6)
    assert found.steepest == pytest.approx(exponent, abs=1e-6)


def test_a_constant_on_top_hides_in_the_exponent_and_shows_in_the_steepest_step() -> None:
    found = growth({size: 1000 + size for size in (1, 10, 100, 1000, 10_000)})
    assert found.exponent < 0.3
    assert found.steepest > 0.7
    assert found.steepest_at == pytest.approx(10_000)


@pytest.mark.parametrize(("exponent", "within"), [(1.0, True), (1 + TOLERANCE / 2, True), (1.5, False)])
def test_what_grows_faster_than_its_cause_is_told(exponent: float, within: bool) -> None:
    assert growth({size: size**exponent for size in (1, 10, 100)}).is_within(1) is within


def measured() -> Measured:
    def points(_pace: Pace) -> Iterator[tuple[int, Sequence[Costs]]]:
        for size in (1, 10, 100):
            yield size, [{"work": disturbed * size**2, "rest": 5.0} for disturbed in (1.0, 1.0, 7.0)]

    curve = Curve(
        name="things",
        cause="things",
        setup="so many",
        costs=(Cost("work", "ms", 1), Cost("rest", "MB", 0)),
        points=points,
    )
    return Measured.of(curve, Pace())


def test_a_point_is_the_median_of_its_repetitions() -> None:
    assert measured().points == {size: {"work": float(size**2), "rest": 5.0} for size in (1, 10, 100)}


def test_the_table_has_a_row_a_size_and_the_exponents_below() -> None:
    rows = measured().text.splitlines()[2:]
    assert rows[0] == "| things | work, ms | rest, MB |"
    assert rows[2:5] == ["| 1 | 1.00 | 5.00 |", "| 10 | 100 | 5.00 |", "| 100 | 10,000 | 5.00 |"]
    assert rows[5] == "| exponent | 2.00 | 0.00 |"
    assert rows[-1] == "| verdict | **grows faster** | within |"
