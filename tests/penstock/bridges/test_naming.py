"""Names of another engine's things as labels."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.bridges.naming import NAME_CHARACTERS_MAX, shortened, unique


def test_a_name_that_goes_on_for_pages_is_cut_and_stands_on_one_line() -> None:
    long = "Source: flights ->\n Map -> " * 100
    assert len(shortened(long)) <= NAME_CHARACTERS_MAX
    assert "\n" not in shortened(long)
    assert shortened("Source: flights") == "Source: flights"
    assert shortened(" \n") == "unnamed"


def test_the_second_of_a_name_gets_its_id_behind_it() -> None:
    assert unique([("a" * 32, "map"), ("b" * 32, "map")]) == {"a" * 32: "map", "b" * 32: "map (bbbbbbbb)"}


@given(
    st.lists(st.tuples(st.text(alphabet="0f", min_size=32, max_size=32), st.text(max_size=3)), unique_by=lambda t: t[0])
)
def test_each_thing_has_a_name_of_its_own(things: list[tuple[str, str]]) -> None:
    names = unique(things, taken=("flink",))
    assert set(names) == {key for key, _ in things}
    assert len({*names.values(), "flink"}) == len(things) + 1
