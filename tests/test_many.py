"""A rule that many things must keep fails with the name of each that breaks it."""

from __future__ import annotations

import pytest

from tests.support.many import for_each


def test_all_that_break_the_rule_are_named_also_those_that_raise() -> None:
    @for_each([("one", (1,)), ("two", (2,)), ("three", (3,)), ("zero", (0,))])
    def test_it_is_odd_and_divides(number: int) -> None:
        """The rule."""
        assert number % 2 == 1 or 6 / number < 0, "is even"

    with pytest.raises(AssertionError) as failed:
        test_it_is_odd_and_divides()
    assert "two: is even" in str(failed.value)
    assert "zero: ZeroDivisionError" in str(failed.value)
    assert "one:" not in str(failed.value)
    assert test_it_is_odd_and_divides.__name__ == "test_it_is_odd_and_divides"


def test_a_rule_that_all_keep_passes_and_one_over_nothing_is_none() -> None:
    for_each([("one", (1,))])(lambda number: None)()
    with pytest.raises(AssertionError):
        for_each([])
