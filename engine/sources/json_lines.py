"""JSON, one value a line, over the lines of another source: decoded once, where they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec

from engine.core.errors import ConfigurationError
from engine.core.snapshot import InputSnapshot
from engine.sources.line_splitter import shown
from engine.sources.protocol import (
    Source,
    SourceBatch,
    SourceStart,
    can_restart,
    input_of,
    is_of_this_machine,
    is_prompt,
)
from engine.sources.unreadable import Unreadable

_BYTE = re.compile(r" \(byte (\d+)\)$")
_DECODED = msgspec.json.Decoder().decode


class JsonLines:
    """Gives what the lines of `inner` mean, at their offsets; what is no JSON gives an `Unreadable`.

    - Of a key that occurs twice the last counts, as everywhere in Python and JavaScript.
    - NaN and Infinity, a number beyond what a float can hold, half a surrogate pair and bytes that are no UTF-8 are no
      JSON. Whole numbers are kept whole, however large; whether the log can store one is asked behind the steps.
    """

    def __init__(self, inner: Source, type: Any = Any) -> None:
        """`type` is what msgspec shall make of a line: a Struct, mostly, of which the line may have more fields."""
        self._inner = inner
        try:
            self._decode: Callable[[bytes], Any] = _DECODED if type is Any else msgspec.json.Decoder(type).decode
        except TypeError as error:
            raise ConfigurationError(f"type: no line can be decoded into {type!r}: {error}") from None
        self.restartable = can_restart(inner)
        self.prompt = is_prompt(inner)
        self.of_this_machine = is_of_this_machine(inner)

    def describe(self) -> str:
        return f"{self._inner.describe()}, JSON"

    def check(self) -> None:
        self._inner.check()

    def open(self, start: SourceStart) -> None:
        self._inner.open(start)

    def read(self, max_values: int) -> SourceBatch | None:
        batch = self._inner.read(max_values)
        if batch is not None and batch.values:
            try:
                batch.values = list(map(self._decode, batch.values))
            except (msgspec.MsgspecError, ValueError, RecursionError, TypeError):
                # One of them is no JSON, or was no line.
                batch.values = [
                    self._value(line, batch.first_offset + index) for index, line in enumerate(batch.values)
                ]
        return batch

    def close(self) -> None:
        self._inner.close()

    def input(self) -> InputSnapshot | None:
        return input_of(self._inner)

    def _value(self, line: Any, number: int) -> Any:
        if isinstance(line, Unreadable):
            return line
        try:
            return self._decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            # Of a number that nothing can hold msgspec says so, too.
            is_other = isinstance(error, msgspec.ValidationError) and "out of range" not in str(error)
            why = f": it is not what is asked for: {error}" if is_other else _why(line, error)
            return Unreadable(f"{self._inner.describe()}, line {number}{why}: {shown(line)}", line)


def _why(line: bytes, error: Exception) -> str:
    """Where in the line, what is wrong there, and what to do about it."""
    if isinstance(error, RecursionError):
        return ": it is nested too deeply"
    try:
        # Python says where, and finds fault with the same, but for what msgspec alone refuses.
        json.dumps(json.loads(line.decode()), ensure_ascii=False).encode()
    except UnicodeDecodeError as undecodable:
        return f", column {undecodable.start + 1}: it is no UTF-8; set encoding"
    except UnicodeEncodeError:
        return ": a text in it holds half a surrogate pair"
    except json.JSONDecodeError as known:
        return f", column {known.colno}: it is no JSON: {known.msg[0].lower()}{known.msg[1:]}"
    except (ValueError, RecursionError) as known:
        return f": it is no JSON: {known}"
    return _why_only_here(line, str(error))


def _why_only_here(line: bytes, said: str) -> str:
    if "out of range" in said:
        return ": a number in it is beyond what a float can hold"
    byte = _BYTE.search(said)
    if byte is None:
        return f": it is no JSON: {said}"
    column = len(line[: int(byte[1])].decode(errors="ignore")) + 1
    return f", column {column}: it is no JSON: {said.removeprefix('JSON is malformed: ')[: -len(byte[0])]}"
