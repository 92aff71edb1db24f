"""Bodies into values: one JSON object, an array of them, or objects one after the other (NDJSON)."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

Values = list[dict[str, Any]]

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_decode_array = msgspec.json.Decoder(list[dict[str, Any]]).decode
_decode_lines = msgspec.json.Decoder(dict[str, Any]).decode_lines
_BYTE = re.compile(r" \(byte (\d+)\)$")
_PLACE = re.compile(r" - at `\$(?:\[(\d+)\])?.*`$")
_BLANK = " \t\r\n"
# Of objects and arrays inside one another. Far beyond it a value could be written that the next thread cannot read.
DEPTH_MAX = 100
# Of objects and arrays in one body. Each costs twenty times its text, and the garbage collector looks at all of them.
CONTAINERS_MAX = 250_000


class MalformedError(Exception):
    """A body that is not what its content type says. `line` counts from 1."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line


def read_json(body: bytes) -> Values:
    """The records of an `application/json` body."""
    try:
        values = _decode_array(body) if body.lstrip()[:1] == b"[" else [_decode_object(body)]
    except _REFUSALS as error:
        raise _malformed(body, error) from None
    _check_depth(body, values)
    return values


def read_lines(body: bytes) -> Values:
    """The records of an NDJSON body. Empty lines are passed over."""
    try:
        values = _decode_lines(body)
    except RecursionError:
        raise MalformedError(_first_deep_line(body), _TOO_DEEP) from None
    except _REFUSALS as error:
        raise _malformed(body, error) from None
    _check_depth(body, values)
    return values


def line_of_record(body: bytes, index: int) -> int:
    """The line on which the record of this number (from 0) begins, in either kind of body that could be read so far."""
    text, place = body.decode(errors="replace"), 0
    skipped = _BLANK + "[,"
    scan = json.JSONDecoder().raw_decode
    for turn in range(index + 1):
        while place < len(text) and text[place] in skipped:
            place += 1
        if turn < index:
            try:
                place = scan(text, place)[1]
            except (ValueError, RecursionError):
                break
    return text.count("\n", 0, place) + 1


_REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_TOO_DEEP = f"it is nested too deeply; {DEPTH_MAX} levels are allowed"


def has_too_many_containers(body: bytes) -> bool:
    """Before it is parsed. Brackets within texts count too."""
    return len(body) > CONTAINERS_MAX and _brackets(body) > CONTAINERS_MAX


def _brackets(body: bytes) -> int:
    # To find none is much faster than to count none, and most rows have no arrays.
    return body.count(b"{") + (body.count(b"[") if b"[" in body else 0)


def _check_depth(body: bytes, values: Values) -> None:
    # Each record opens at least one bracket and a deep one as many as it is deep: with fewer there is none.
    if _brackets(body) < len(values) + DEPTH_MAX:
        return
    for index, value in enumerate(values):
        if _is_too_deep(value):
            raise MalformedError(line_of_record(body, index), _TOO_DEEP)


def _is_too_deep(value: dict[str, Any]) -> bool:
    """Level by level, because what goes down by itself could go down too far."""
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        inner = (outer.values() if type(outer) is dict else outer for outer in level)
        level = [part for parts in inner for part in parts if type(part) is dict or type(part) is list]
        if not level:
            return False
    return True


def _first_deep_line(body: bytes) -> int:
    for number, line in enumerate(body.split(b"\n"), 1):
        try:
            _decode_lines(line)
        except RecursionError:
            return number
        except msgspec.MsgspecError:
            continue
    return 1


def _malformed(body: bytes, error: Exception) -> MalformedError:
    try:
        body.decode()
    except UnicodeDecodeError as undecodable:
        return MalformedError(body.count(b"\n", 0, undecodable.start) + 1, "it is not UTF-8")
    if isinstance(error, RecursionError):
        return MalformedError(1, _TOO_DEEP)
    text = str(error)
    if (byte := _BYTE.search(text)) is not None:
        what = text.removeprefix("JSON is malformed: ")[: -len(byte[0])]
        return MalformedError(body.count(b"\n", 0, int(byte[1])) + 1, f"it is not JSON: {what}")
    if (place := _PLACE.search(text)) is not None:
        what = text[: place.start()]
        if what.startswith("Expected"):
            what = "A record must be a JSON object"
        return MalformedError(line_of_record(body, int(place[1] or 0)), f"{what[0].lower()}{what[1:]}")
    if text.startswith("Expected"):
        return MalformedError(line_of_record(body, 0), "a record must be a JSON object")
    return MalformedError(body.rstrip().count(b"\n") + 1, "the JSON ends too early")
