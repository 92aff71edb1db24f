"""The lines of a file, plain, packed or in another encoding: NDJSON, logs, anything with one record a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.core.errors import DamagedInputError, PenstockError
from engine.core.snapshot import InputSnapshot
from engine.sources.byte_stream import ByteStream, DecodedStream
from engine.sources.file_shape import FileShape, check_file, encoding_name, read_mark, shape_of, write_mark
from engine.sources.line_splitter import LINE_BYTES_MAX, LineSplitter, shown
from engine.sources.protocol import SourceBatch, SourceStart
from engine.sources.unreadable import Unreadable


class Lines:
    r"""Reads a file line by line; a value is the line's bytes, as UTF-8, without its end (`\n`, `\r\n`, or `\r` alone).

    The offset is the line number, from 1. Empty lines are counted but give no value: a batch ends in front
    of one, so that offsets stay line numbers. A line longer than `line_bytes_max` gives an `Unreadable`, as does one
    that is none of `encoding`. The last line needs no end, and a byte order mark is no part of the first.

    gzip, zstd, bzip2 and xz are told by the file's first bytes, not by its name, and so is UTF-16 by its mark. A file
    is continued where it stood: a plain one at that byte, a packed one at its member (the cursor: a mark of the
    stream). Between runs a plain file may grow by whole lines; any other change breaks the promise of a source.
    What is damaged or cut off gives all whole lines in front of the damage, then raises `DamagedInputError`.
    """

    prompt = True
    of_this_machine = True

    def __init__(
        self, path: Path, *, line_bytes_max: int = LINE_BYTES_MAX, encoding: str | None = None, quote: str = ""
    ) -> None:
        """Inside of `quote` a line end tells nothing about the line ends of the file."""
        self._path = path
        self._line_bytes_max = line_bytes_max
        self._encoding = None if encoding is None else encoding_name(encoding)
        self._quote = quote
        self._begin(LineSplitter(line_bytes_max, name=str(path)))

    def _begin(self, splitter: LineSplitter) -> None:
        self._splitter = splitter
        self._shape: FileShape | None = None
        self._stream: ByteStream | None = None
        self._at_end = False
        self._position_bytes = self._size_bytes = 0

    def describe(self) -> str:
        return str(self._path)

    def check(self) -> None:
        check_file(self._path)
        shape_of(self._path, self._encoding, self._quote)

    def open(self, start: SourceStart) -> None:
        check_file(self._path)
        self._begin(LineSplitter(self._line_bytes_max, name=str(self._path)))
        self._shape = shape_of(self._path, self._encoding, self._quote)
        self._size_bytes = self._path.stat().st_size
        mark = None if start.cursor is None or not start.offset else read_mark(start.cursor)
        if mark is not None and self._shape.is_mark(mark):
            self._continue_at(start.offset + 1, self._shape, mark)
        else:
            self._stream = self._shape.open(self._path)
            self._pass_over(start.offset)

    def read(self, max_values: int) -> SourceBatch | None:
        if self._splitter.is_empty and not self._at_end:
            self._read_block()
        if self._splitter.is_empty and self._at_end:
            return None
        assert self._stream is not None, "open() comes before read()"
        first, values = self._splitter.take(max_values)
        if isinstance(self._stream, DecodedStream) and self._stream.has_strange:
            values = self._without_strange(first, values)
        return SourceBatch(first, values, write_mark(self._stream.mark(self._splitter.byte)))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def input(self) -> InputSnapshot:
        position = self._position_bytes
        return InputSnapshot(position_bytes=position, size_bytes=max(position, self._size_bytes))

    def _read_block(self) -> None:
        assert self._stream is not None, "open() comes before read()"
        assert self._shape is not None, "a stream has a shape"
        try:
            block = self._stream.read()
        except DamagedInputError as error:
            raise DamagedInputError(self._damage(error)) from error
        self._position_bytes = self._stream.position
        if block:
            # As long as it was, so that places stay right.
            self._splitter.feed(block.replace(b"\r", b"\n") if self._shape.returns else block)
        else:
            self._at_end = True
            self._splitter.finish()

    def _damage(self, error: DamagedInputError) -> str:
        line = self._splitter.line
        rest = f"; of line {line} there is {shown(self._splitter.rest)}" if self._splitter.has_rest else ""
        return (
            f"{self._path} cannot be read behind line {line - 1}: {error}{rest}. All lines in front of it are read; "
            "with the whole file in its place the next run goes on behind them"
        )

    def _without_strange(self, first: int, values: list[Any]) -> list[Any]:
        encoding = self._encoding or (self._shape and self._shape.encoding)
        return [
            Unreadable(f"{self._path}, line {number}: it is no {encoding} text: {shown(value)}; set encoding", value)
            if type(value) is bytes and b"\xef\xbf\xbd" in value
            else value
            for number, value in enumerate(values, start=first)
        ]

    def _continue_at(self, line: int, shape: FileShape, mark: tuple[int, ...]) -> None:
        """Goes to a place of an earlier run, after a look that a line really begins there."""
        where = ", ".join(map(str, mark))
        try:
            stream = self._stream = shape.open(self._path, mark)
        except DamagedInputError:
            raise
        except PenstockError as error:
            raise PenstockError(
                f"{self._path} is not the file that was read before: line {line} does not begin at byte {where}: "
                f"{error}"
            ) from error
        # At the end of a last line without an end there is none.
        if stream.before not in (b"", b"\n", b"\r" if shape.returns else b"\n") and not self._is_end_at(shape, mark):
            raise PenstockError(
                f"{self._path} is not the file that was read before: line {line} does not begin at byte {where}"
            )
        self._position_bytes = stream.position
        self._splitter = LineSplitter(self._line_bytes_max, line=line, name=str(self._path), mark_may_come=line == 1)

    def _is_end_at(self, shape: FileShape, mark: tuple[int, ...]) -> bool:
        ahead = shape.open(self._path, mark)
        try:
            return not ahead.read()
        finally:
            ahead.close()

    def _pass_over(self, count: int) -> None:
        """Reads past the first `count` lines."""
        while self._splitter.line <= count:
            if self._splitter.is_empty:
                if self._at_end:
                    raise PenstockError(
                        f"{self._path} is not the file that was read before: it has {self._splitter.line - 1} lines, "
                        f"and {count} were read"
                    )
                self._read_block()
            self._splitter.drop(count - self._splitter.line + 1)
