"""The lines of a CSV file that were read and are in no row yet."""

from __future__ import annotations

from collections.abc import Iterator
from operator import sub
from typing import Any

from engine.sources.unreadable import Unreadable


class LineWindow:
    """Lines as text, each with its number, from `at` on.

    Invariant: `numbers[i]` is the number of `lines[i]`, and `_lengths[i]`, as far as somebody has asked, the bytes of
    all lines in front of it. What is no UTF-8 stands in them as lone surrogates.
    """

    def __init__(self, escape: str | None, row_bytes_max: int) -> None:
        """Lines that end with `escape` are joined with the next one."""
        self._escape = None if escape is None else escape.encode()
        self._row_bytes_max = row_bytes_max
        self.lines: list[str | Unreadable] = []
        self.numbers: list[int] = []
        self._raw: list[Any] = []
        self._lengths: list[int] = [0]
        self.at = 0
        # Whether any text was no UTF-8, or any line not to be read at all.
        self.has_strange = self.has_unreadable = False
        # A line that ends with an escape waits for the next one.
        self._escaped: list[bytes] = []
        self._escaped_bytes = 0

    @property
    def is_empty(self) -> bool:
        return self.at == len(self.lines)

    @property
    def waits(self) -> bool:
        """Whether a line that was read is not even here yet."""
        return bool(self._escaped)

    def forget_passed(self) -> int:
        """Lets go of what lies in front of `at`; by so much all places are lower now."""
        passed = self.at
        del self.lines[:passed], self.numbers[:passed], self._raw[:passed], self._lengths[:passed]
        if not self._lengths:
            self._lengths = [0]
        self.at = 0
        return passed

    def take(self, first: int, lines: list[Any], *, last: bool = False) -> None:
        """Adds lines that begin with the number `first`; with `last`, there will be none behind them."""
        numbers = list(range(first, first + len(lines)))
        if self._escape is not None:
            numbers, lines = self._joined(numbers, lines, self._escape, last=last)
        self.has_unreadable = self.has_unreadable or Unreadable in {*map(type, lines)}
        try:
            if self.has_unreadable or self._escape is not None or not lines:
                self.lines += [line if type(line) is Unreadable else line.decode() for line in lines]
            else:
                # All at once costs half.
                self.lines += b"\n".join(lines).decode().split("\n")
        except UnicodeDecodeError:
            self.has_strange = True
            self.lines += [
                line if type(line) is Unreadable else line.decode("utf-8", "surrogateescape") for line in lines
            ]
        self.numbers += numbers
        self._raw += lines

    def _joined(
        self, numbers: list[int], lines: list[Any], escape: bytes, *, last: bool
    ) -> tuple[list[int], list[Any]]:
        """Lines that end with an escape go on in the next one, wherever quotes are."""
        found_numbers: list[int] = []
        found: list[Any] = []
        for number, line in zip(numbers, lines, strict=True):
            is_line = type(line) is bytes
            if is_line:
                self._escaped.append(line)
                self._escaped_bytes += len(line) + 1
                trailing = len(line) - len(line.rstrip(escape))
                if trailing // len(escape) % 2 and self._escaped_bytes <= self._row_bytes_max:
                    continue
            if self._escaped:
                found_numbers.append(number if is_line else number - 1)
                found.append(self._take_escaped())
            if not is_line:
                found_numbers.append(number)
                found.append(line)
        if last and self._escaped:
            found_numbers.append((numbers or [*self.numbers, 0])[-1])
            found.append(self._take_escaped())
        return found_numbers, found

    def _take_escaped(self) -> bytes:
        line = b"\n".join(self._escaped)
        self._escaped, self._escaped_bytes = [], 0
        return line

    # -- lines from `begin` to `end` ---

    def length(self, begin: int, end: int) -> int:
        """Their bytes, without the last line end."""
        for line in self._raw[len(self._lengths) - 1 : end]:
            self._lengths.append(self._lengths[-1] + len(line.excerpt if type(line) is Unreadable else line) + 1)
        return self._lengths[end] - self._lengths[begin] - 1

    def pieces(self, begin: int, end: int) -> Iterator[tuple[str, str]]:
        """Each with the line ends in front of it: also those of empty lines, which no source of lines gives."""
        for index in range(begin, end):
            line = self.lines[index]
            assert isinstance(line, str), "a row has no line that cannot be read"
            yield "\n" * (self.numbers[index] - self.numbers[index - 1]) if index > begin else "", line

    def with_ends(self, begin: int, end: int) -> Iterator[str]:
        """Each with its line end, and with those of the empty lines behind it."""
        numbers = self.numbers[begin:end]
        gaps = map(sub, [*numbers[1:], numbers[-1] + 1], numbers)
        lines: Any = self.lines[begin:end]
        return (line + "\n" * gap for line, gap in zip(lines, gaps, strict=True))
