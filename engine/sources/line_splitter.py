"""Cuts a run of bytes into lines, and knows the number and the first byte of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.core.errors import ConfigurationError
from engine.sources.unreadable import Unreadable

LINE_BYTES_MAX = 1024 * 1024
_EXCERPT_BYTES = 200
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_EMPTY = (b"", b"\r")
_SHOWN_BYTES = 60


def shown(line: bytes) -> str:
    """The beginning of a line, short enough for a sentence."""
    text = line[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return f"{text!r}" + ("…" if len(line) > _SHOWN_BYTES else "")


@dataclass(frozen=True, slots=True)
class _LongLine:
    """Stands for a line that was passed over; as long as the line was, so that places add up."""

    length: int
    excerpt: bytes

    def __len__(self) -> int:
        return self.length


_Line = bytes | _LongLine


class LineSplitter:
    r"""Takes blocks, gives lines: bytes without their end (`\n` or `\r\n`).

    Empty lines are counted and give no value. A line longer than `line_bytes_max` gives an `Unreadable`. A UTF-8
    byte order mark in front of the first line is no part of it.
    Invariant: the next line to be taken has the number `line`, and its first byte stands at `byte`.
    """

    def __init__(
        self,
        line_bytes_max: int = LINE_BYTES_MAX,
        *,
        name: str,
        line: int = 1,
        byte: int = 0,
        mark_may_come: bool | None = None,
    ) -> None:
        """`name` is what is read, for people. Without a word about the mark it may come at byte 0."""
        if line_bytes_max < 1:
            raise ConfigurationError(f"maxLineBytes must be at least 1, not {line_bytes_max}")
        self._line_bytes_max = line_bytes_max
        self._name = name
        self.line = line
        self.byte = byte
        # Lines cut and not yet taken: those from `_at` on.
        self._lines: list[_Line] = []
        # Whether each of `_lines` is a value as it stands: no \r at its end, none too long.
        self._are_values = True
        self._at = 0
        # The beginning of a line whose end has not come yet; once too long, only its length and first bytes.
        self._rest = b""
        self._long: _LongLine | None = None
        self._mark_may_come = byte == 0 if mark_may_come is None else mark_may_come
        self._last_has_no_end = False

    @property
    def is_empty(self) -> bool:
        """Whether every whole line was taken."""
        return self._at == len(self._lines)

    @property
    def has_rest(self) -> bool:
        """Whether the beginning of a line waits for its end."""
        return bool(self._rest or self._long)

    @property
    def rest(self) -> bytes:
        """The beginning of a line that waits for its end; of a line that is too long, not all."""
        return self._long.excerpt if self._long else self._rest

    def pass_over(self, count: int) -> None:
        """Moves the place behind `count` bytes that are no part of any line; not within one."""
        assert self.is_empty, "lines are taken before bytes are passed over"
        assert not self.has_rest, "a line has begun"
        self.byte += count

    def feed(self, block: bytes) -> None:
        """Takes the next bytes; not empty, and not before all lines are taken."""
        assert self.is_empty, "lines are taken before the next block"
        self._at = 0
        self._lines = self._split(self._behind_mark(block) if self._mark_may_come else block)

    def finish(self) -> None:
        """Says that nothing more will come: a last line needs no end."""
        assert self.is_empty, "lines are taken before the end"
        self._at = 0
        self._are_values = False
        last: list[_Line] = [self._long] if self._long else [self._rest] if self._rest else []
        self._rest, self._long = b"", None
        self._lines = self._checked(last)
        self._last_has_no_end = bool(last)

    def take(self, lines_max: int) -> tuple[int, list[Any]]:
        """The number of the first line and the values from it on; empty lines passed over count as taken.

        No empty line lies between the values, so that their numbers rise by 1.
        """
        first = self.line
        while self._at < len(self._lines) and self.line - first < lines_max and self._lines[self._at] in _EMPTY:
            self._advance(self._lines[self._at : self._at + 1])
        found = self._lines[self._at : self._at + lines_max - (self.line - first)]
        if b"" in found or (not self._are_values and b"\r" in found):
            found = found[: next(i for i, line in enumerate(found) if line in _EMPTY)]
        first = self.line
        self._advance(found)
        values: list[Any] = found
        if not self._are_values:
            values = [self._value(line, number) for number, line in enumerate(found, start=first)]
        return first, values

    def drop(self, lines_max: int) -> None:
        """Passes over up to `lines_max` of the lines that wait."""
        self._advance(self._lines[self._at : self._at + lines_max])

    def _behind_mark(self, block: bytes) -> bytes:
        """The block without the byte order mark; while it may still become one, as it is."""
        block = self._rest + block
        self._rest = b""
        if len(block) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(block):
            return block
        self._mark_may_come = False
        if block.startswith(_BYTE_ORDER_MARK):
            self.byte += len(_BYTE_ORDER_MARK)
            return block[len(_BYTE_ORDER_MARK) :]
        return block

    def _value(self, line: _Line, number: int) -> bytes | Unreadable:
        if isinstance(line, _LongLine):
            return Unreadable(
                f"{self._name}, line {number}: it is {line.length} bytes long, more than maxLineBytes "
                f"({self._line_bytes_max}): {shown(line.excerpt)}",
                line.excerpt,
            )
        return line[:-1] if line.endswith(b"\r") else line

    def _advance(self, passed: list[_Line]) -> None:
        """Moves the place behind `passed`, the next lines of `_lines`."""
        self._at += len(passed)
        self.line += len(passed)
        self.byte += sum(map(len, passed)) + len(passed)
        if self._last_has_no_end and self._at == len(self._lines):
            self.byte -= 1
            self._last_has_no_end = False

    def _split(self, block: bytes) -> list[_Line]:
        self._are_values = b"\r" not in block and not self._rest.endswith(b"\r")
        all_bytes = len(block) + (len(self._rest) if self._long is None else len(self._long))
        if self._long is None:
            parts: list[_Line] = [*(self._rest + block).split(b"\n")]
        else:
            end = block.find(b"\n")
            if end < 0:
                self._long = _LongLine(len(self._long) + len(block), self._long.excerpt)
                return []
            parts = [_LongLine(len(self._long) + end, self._long.excerpt), *block[end + 1 :].split(b"\n")]
            self._long = None
        rest = parts.pop()
        assert isinstance(rest, bytes), "what follows the last line end is not passed over yet"
        self._rest = rest
        if len(rest) > self._line_bytes_max:
            self._long, self._rest = _LongLine(len(rest), rest[:_EXCERPT_BYTES]), b""
        # No line is longer than all of them together.
        return parts if all_bytes <= self._line_bytes_max else self._checked(parts)

    def _checked(self, found: list[_Line]) -> list[_Line]:
        """Puts a `_LongLine` in place of each line that is too long."""
        if max(map(len, found), default=0) <= self._line_bytes_max:
            return found
        self._are_values = False
        return [
            _LongLine(len(line), line[:_EXCERPT_BYTES])
            if isinstance(line, bytes) and len(line) > self._line_bytes_max
            else line
            for line in found
        ]
