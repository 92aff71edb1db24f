"""Numbers are written as prometheus_client writes them, whatever they are."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from exporter.prometheus.numbers import go_number


@given(st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False)))
@example(999_999)
@example(1_000_000)
@example(-1_000_000)
@example(1e6)
@example(1_234_567.5)
@example(0.00005)
@example(1e16)
@example(-0.0)
def test_a_number_is_written_as_prometheus_client_writes_it(value: float) -> None:
    assert go_number(value) == floatToGoString(value)


@given(st.floats(allow_nan=False))
def test_a_written_float_reads_back_as_the_same(value: float) -> None:
    assert float(go_number(value)) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (3, "3.0"),
        (True, "1.0"),
        (1_234_567, "1.234567e+06"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_a_number_is_written_in_the_manner_of_go(value: float, written: str) -> None:
    assert go_number(value) == written
