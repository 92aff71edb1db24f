from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.processing.state import StateOverlay
from tests.support.nesting import depth_of, nested, with_less_stack

KEYS = st.sampled_from(["a", "a/1", "a/2", "b"])


class Committed:
    """What lies below the overlay."""

    def __init__(self) -> None:
        self.pairs: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.pairs.get(key)

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        return iter(sorted((k, v) for k, v in self.pairs.items() if k.startswith(prefix)))

    def apply(self, changes: dict[str, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.pairs.pop(key, None)
            else:
                self.pairs[key] = value


class OverlayMachine(RuleBasedStateMachine):
    """Whatever is put, undone, committed or discarded: the overlay answers as a plain dictionary would."""

    def __init__(self) -> None:
        super().__init__()
        self.below = Committed()
        self.overlay = StateOverlay(self.below.get, self.below.scan, cached_keys_max=2)
        self.committed: dict[str, int] = {}
        self.unit: dict[str, int] = {}
        self.record: dict[str, int] = {}

    @rule(key=KEYS, value=st.integers(-5, 5))
    def put(self, key: str, value: int) -> None:
        self.overlay.put(key, value)
        self.record[key] = value

    @rule(values=st.dictionaries(KEYS, st.integers(-5, 5)))
    def put_many(self, values: dict[str, int]) -> None:
        self.overlay.put_many(values)
        self.record |= values

    @rule(values=st.dictionaries(KEYS, st.integers(-5, 5)), bad=st.sampled_from([object(), {1: {2: object()}}]))
    def put_many_of_which_one_cannot_be_stored(self, values: dict[str, Any], bad: object) -> None:
        with pytest.raises(TypeError):
            self.overlay.put_many({**values, "bad": bad})

    @rule(keys=st.lists(KEYS))
    def get_many(self, keys: list[str]) -> None:
        assert self.overlay.get_many(keys) == {key: self.record[key] for key in keys if key in self.record}

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.overlay.delete(key)
        self.record.pop(key, None)

    @rule()
    def keep_record(self) -> None:
        self.overlay.keep_record()
        self.unit = dict(self.record)

    @rule()
    def undo_record(self) -> None:
        self.overlay.undo_record()
        self.record = dict(self.unit)

    @rule()
    def commit(self) -> None:
        self.keep_record()
        self.below.apply(self.overlay.changes)
        self.overlay.committed()
        self.committed = dict(self.unit)

    @rule()
    def discard(self) -> None:
        self.overlay.discard()
        self.unit = dict(self.committed)
        self.record = dict(self.committed)

    @invariant()
    def reads_agree(self) -> None:
        for key in ("a", "a/1", "a/2", "b"):
            assert self.overlay.get(key, "nothing") == self.record.get(key, "nothing")

    @invariant()
    def scans_agree(self) -> None:
        for prefix in ("", "a", "a/", "c"):
            expected = sorted((k, v) for k, v in self.record.items() if k.startswith(prefix))
            assert list(self.overlay.scan(prefix)) == expected


TestOverlay = OverlayMachine.TestCase


def test_a_value_read_is_a_copy() -> None:
    below = Committed()
    overlay = StateOverlay(below.get, below.scan)
    overlay.put("k", [1])
    overlay.get("k").append(2)
    assert overlay.get("k") == [1]


def test_a_value_of_a_hundred_levels_is_read_however_deep_the_calls_are_that_ask_for_it() -> None:
    below = Committed()
    overlay = StateOverlay(below.get, below.scan)
    overlay.put("k", nested(100))
    with pytest.raises(ValueError, match="nested deeper than 100 levels"):
        overlay.put("k", nested(101))
    assert depth_of(with_less_stack(lambda: overlay.get("k"), 100)) == 100
    ((_, scanned),) = with_less_stack(lambda: list(overlay.scan()), 100)
    assert depth_of(scanned) == 100


def test_a_key_that_is_no_text_and_a_value_that_cannot_be_encoded_are_refused() -> None:
    below = Committed()
    overlay = StateOverlay(below.get, below.scan)
    with pytest.raises(TypeError, match="a state key is a str, not int"):
        overlay.put(1, "x")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        overlay.put("k", object())
    for use in (overlay.get, overlay.delete, lambda key: overlay.put(key, 1), lambda key: list(overlay.scan(key))):
        with pytest.raises(UnicodeEncodeError):
            use("half a character: \ud800")
    overlay.put("Zürich", 1)
    assert overlay.get("Zürich") == 1
    overlay.delete("Zürich")
    assert overlay.changes == {"Zürich": None}
