"""Nulls are taken out of a document, but for the one that means something."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dashboards.grafana.json_tree import Json, without_nulls

TREES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=20,
)


@given(TREES)
def test_no_key_is_null_and_nothing_else_is_lost(tree: Json) -> None:
    assert _without(tree) == without_nulls(tree)


def _without(tree: object) -> object:
    if isinstance(tree, dict):
        return {key: _without(value) for key, value in tree.items() if value is not None}
    return [_without(item) for item in tree] if isinstance(tree, list) else tree


def test_the_first_step_of_thresholds_keeps_its_null() -> None:
    steps: Json = {"steps": [{"color": "green", "value": None}, {"color": "red", "value": 80}]}
    assert without_nulls(steps) == steps
