"""What the log can hold is asked before it is written, at one bound for every value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.records import Record, encode_record
from engine.core.storable import DEPTH_MAX, UNSTORABLE, any_too_deep, check_depth


def nested(depth: int, kind: str) -> Any:
    value: Any = "leaf" if kind == "leafy" else []
    for n in range(depth - (kind != "leafy")):
        match kind:
            case "dict":
                value = {"a": n, "b": value}
            case "tuple":
                value = (n, value)
            case "mixed" if n % 2:
                value = {"a": value}
            case _:
                value = [value]
    return value


@pytest.mark.parametrize("kind", ["list", "dict", "tuple", "mixed", "leafy"])
def test_a_hundred_levels_can_be_stored_and_one_more_cannot(kind: str) -> None:
    assert not any_too_deep([{"flat": 1}, nested(DEPTH_MAX, kind), 7])
    check_depth(nested(DEPTH_MAX, kind))
    assert any_too_deep([{"flat": 1}, nested(DEPTH_MAX + 1, kind), 7])
    with pytest.raises(ValueError, match="it is nested deeper than 100 levels"):
        check_depth(nested(DEPTH_MAX + 1, kind))


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_no_depth_is_too_much_for_the_question(depth: int) -> None:
    assert any_too_deep([nested(depth, "list")])


def test_what_holds_itself_is_too_deep() -> None:
    loop: list[Any] = []
    loop += [loop, loop]
    assert any_too_deep([loop])


def test_what_is_shared_is_not_looked_at_again_and_again() -> None:
    shared: Any = [1]
    for _ in range(DEPTH_MAX - 1):
        shared = [shared, shared]
    assert not any_too_deep([shared])


@dataclass
class Node:
    inner: list[Any] = field(default_factory=list)


def test_objects_count_as_what_they_are_stored_as() -> None:
    assert not any_too_deep([Node([nested(DEPTH_MAX - 2, "list")])])
    assert any_too_deep([Node([nested(DEPTH_MAX - 1, "list")])])


@pytest.mark.parametrize("value", [object(), [object()], {"f": print}, lambda: None])
def test_what_is_no_value_at_all_may_be_too_deep_and_cannot_be_stored(value: Any) -> None:
    with pytest.raises(UNSTORABLE):
        encode_record(Record("command", "t", "i", "k", value))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


@given(st.lists(json_like, max_size=5))
def test_what_json_says_in_a_few_levels_is_never_too_deep(values: list[Any]) -> None:
    assert not any_too_deep(values)
