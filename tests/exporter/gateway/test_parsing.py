"""Bodies become values, or the line that is wrong is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.gateway.parsing import MalformedError, line_of_record, read_json, read_lines

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(max_size=20)
)
SMALL = st.text(max_size=8)
INNER = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SMALL, inner, max_size=3), max_leaves=5
)
VALUES = st.lists(st.dictionaries(SMALL, INNER, max_size=3), min_size=1, max_size=4)


@given(VALUES, st.booleans())
def test_what_json_says_is_what_is_read_in_each_form(values: list[dict[str, Any]], ascii_only: bool) -> None:
    texts = [json.dumps(value, ensure_ascii=ascii_only) for value in values]
    try:
        encoded = "\n".join(texts).encode()
    except UnicodeEncodeError:
        return
    assert read_lines(encoded) == values
    assert read_lines(encoded + b"\r\n\r\n") == values
    assert read_json(f"[{', '.join(texts)}]".encode()) == values
    assert read_json(texts[0].encode()) == values[:1]


@given(VALUES, st.data())
def test_the_line_of_each_record_is_found(values: list[dict[str, Any]], data: st.DataObject) -> None:
    blank = st.lists(st.sampled_from([b"\n", b" ", b"\r\n"]), max_size=3).map(b"".join)
    body, lines = b"", []
    for value in values:
        body += data.draw(blank)
        lines.append(body.count(b"\n") + 1)
        body += json.dumps(value).encode() + b"\n"
    assert [line_of_record(body, index) for index in range(len(values))] == lines


@pytest.mark.parametrize(
    ("body", "line", "why"),
    [
        (b'{"a": 1}\n{"b": }\n', 2, "it is not JSON: invalid character"),
        (b'{"a": 1}\n\n\n{"b": 1', 4, "the JSON ends too early"),
        (b'{"a": 1}\n[1]\n', 2, "a record must be a JSON object"),
        (b"3", 1, "a record must be a JSON object"),
        (b'{"a": 1}\n"text"', 2, "a record must be a JSON object"),
        (b'{"a": 1}\n{"b": "\xff"}', 2, "it is not UTF-8"),
        (b'{"a": NaN}', 1, "it is not JSON: invalid character"),
        (b'{"a": 1e999}', 1, "number out of range"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 1, "it is nested too deeply"),
        (b"{\"a\": 1}\n{'b': 1}", 2, "it is not JSON"),
    ],
)
def test_a_line_that_is_wrong_is_named(body: bytes, line: int, why: str) -> None:
    with pytest.raises(MalformedError) as raised:
        read_lines(body)
    assert raised.value.line == line
    assert str(raised.value).startswith(f"line {line}: {why}")


@pytest.mark.parametrize(
    ("body", "line", "why"),
    [
        (b'[{"a": 1},\n 3]', 2, "a record must be a JSON object"),
        (b'[{"a": 1},\n{"b": 1},]', 2, "it is not JSON: trailing comma"),
        (b'{"a":\n1}\n{"b": 2}', 3, "it is not JSON: trailing characters"),
        (b"", 1, "the JSON ends too early"),
        (b'"text"', 1, "a record must be a JSON object"),
        (b"[\n[]\n]", 2, "a record must be a JSON object"),
        (b"\xef\xbb\xbf{}", 1, "it is not JSON: invalid character"),
    ],
)
def test_a_json_text_that_is_wrong_has_its_line_named_too(body: bytes, line: int, why: str) -> None:
    with pytest.raises(MalformedError) as raised:
        read_json(body)
    assert raised.value.line == line
    assert str(raised.value).startswith(f"line {line}: {why}")


@given(st.binary(max_size=200))
def test_anything_else_is_values_or_one_error(body: bytes) -> None:
    for read in (read_json, read_lines):
        line, values = 1, []
        try:
            values = read(body)
        except MalformedError as error:
            line = error.line
        assert 1 <= line <= body.count(b"\n") + 1
        assert all(isinstance(value, dict) for value in values)
