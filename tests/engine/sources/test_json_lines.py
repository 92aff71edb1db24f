"""JSON lines: what they mean, and what is none."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.errors import ConfigurationError
from engine.sources.json_lines import JsonLines
from engine.sources.lines import lines
from engine.sources.protocol import SourceStart, is_prompt
from engine.sources.unreadable import Unreadable
from tests.support.pipelines import ListSource
from tests.support.sources import batches, numbered


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "in.ndjson"


def decoded(path: Path, **options: Any) -> list[tuple[int, Any]]:
    return numbered(batches(lines(path, format="json", **options)))


def test_a_line_is_what_it_means_at_its_offset(path: Path) -> None:
    path.write_bytes(b'{"a": [1, 2.5, null]}\r\n\n"text"\n[true]')
    assert decoded(path) == [(1, {"a": [1, 2.5, None]}), (3, "text"), (4, [True])]


def test_a_key_that_occurs_twice_counts_as_it_was_written_last(path: Path) -> None:
    path.write_bytes(b'{"a": 1, "b": 2, "a": 3}\n')
    assert decoded(path) == [(1, {"a": 3, "b": 2})]


def test_a_whole_number_is_kept_whole_however_large(path: Path) -> None:
    path.write_bytes(b"18446744073709551616\n%d\n" % 10**50)
    assert decoded(path) == [(1, 2**64), (2, 10**50)]


class Flight(msgspec.Struct):
    carrier: str
    delay: int | None = None


class Row(TypedDict):
    carrier: str


def test_with_a_type_a_line_becomes_one_and_fields_that_it_does_not_name_are_passed_over(path: Path) -> None:
    path.write_bytes(b'{"carrier": "UA", "delay": 5, "x": [1]}\n{"carrier": "B6"}\n')
    assert decoded(path, type=Flight) == [(1, Flight("UA", 5)), (2, Flight("B6"))]
    assert decoded(path, type=Row) == [(1, {"carrier": "UA"}), (2, {"carrier": "B6"})]


def test_a_line_that_does_not_fit_the_type_is_said_to_with_its_number_and_the_field(path: Path) -> None:
    path.write_bytes(b'{"carrier": "UA"}\n{"carrier": "UA", "delay": "late"}\n{"carrier"\n')
    (_, good), (_, unfit), (_, no_json) = decoded(path, type=Flight)
    assert good == Flight("UA")
    assert isinstance(unfit, Unreadable)
    assert (
        f"{path}, line 2: it is not what is asked for: Expected `int | null`, got `str` - at `$.delay`" in unfit.reason
    )
    assert isinstance(no_json, Unreadable)
    assert "it is no JSON" in no_json.reason


def test_a_type_that_no_line_can_become_is_refused_and_so_is_one_for_other_lines(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="type: no line can be decoded into"):
        lines(path, format="json", type=lambda: None)
    with pytest.raises(ConfigurationError, match="type is for format: json"):
        lines(path, type=Flight)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"a": NaN}', ", column 7: it is no JSON: invalid character: '{\"a\": NaN}'"),
        (b"Infinity", ", column 1: it is no JSON: invalid character"),
        (b'{"a": 1e999}', ": a number in it is beyond what a float can hold"),
        (b'{"a": "\\ud83d"}', ": a text in it holds half a surrogate pair"),
        (b'{"a": "\\udc00x"}', ": a text in it holds half a surrogate pair"),
        (b'{"a": "\xff"}', ", column 8: it is no UTF-8; set encoding"),
        ('{"ä": 1, 2}'.encode(), ", column 10: it is no JSON: expecting property name"),
        (b'{"a": 1} x', ", column 10: it is no JSON: extra data"),
        (b'{"a": ', ", column 7: it is no JSON: expecting value"),
        (b"   ", ", column 4: it is no JSON: expecting value"),
        (b"[" * 100_000, ": it is nested too deeply"),
    ],
)
def test_what_is_no_json_is_said_with_its_place_and_the_others_are_read(path: Path, line: bytes, said: str) -> None:
    path.write_bytes(b'{"n": 1}\n' + line + b'\n{"n": 3}\n')
    first, (offset, unreadable), last = decoded(path)
    assert (first, last) == ((1, {"n": 1}), (3, {"n": 3}))
    assert offset == 2
    assert isinstance(unreadable, Unreadable)
    assert f"in.ndjson, line 2{said}" in unreadable.reason
    assert unreadable.excerpt == line


def test_a_line_that_is_too_long_stays_unreadable(path: Path) -> None:
    path.write_bytes(b'{"n": 1}\n"' + b"x" * 100 + b'"\n')
    (_, value), (_, unreadable) = decoded(path, line_bytes_max=20)
    assert value == {"n": 1}
    assert "more than maxLineBytes (20)" in unreadable.reason


def test_a_file_in_another_encoding_is_decoded_too(path: Path) -> None:
    path.write_bytes(gzip.compress('{"name": "Zoë"}\r\n'.encode("utf-16")))
    assert decoded(path) == [(1, {"name": "Zoë"})]


def test_values_come_as_promptly_as_the_lines_they_are_made_of(path: Path) -> None:
    assert is_prompt(lines(path, format="json"))
    assert not is_prompt(JsonLines(ListSource([b"1"])))


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=8,
        ),
        min_size=1,
        max_size=10,
    ),
    st.integers(1, 4),
    st.booleans(),
)
def test_what_python_writes_is_read_back_and_a_restart_goes_on_rightly(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], size: int, ascii_only: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.ndjson"
    path.write_text("".join(json.dumps(value, ensure_ascii=ascii_only) + "\n" for value in values), encoding="utf-8")
    found = batches(lines(path, format="json"), size=size)
    for (_, ours), value in zip(numbered(found), values, strict=True):
        assert ours == value or (type(value) is float and math.isclose(ours, value))
    last = found[len(found) // 2]
    again = batches(lines(path, format="json"), SourceStart(last.last_offset, last.cursor), size)
    assert numbered(again) == [(n, value) for n, value in numbered(found) if n > last.last_offset]
