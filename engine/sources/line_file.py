"""The lines of a file, plain or gzip: NDJSON, logs, anything with one record a line."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from pathlib import Path

from engine.core.errors import ConfigurationError, PenstockError
from engine.sources.line_splitter import LINE_BYTES_MAX, LineSplitter
from engine.sources.protocol import SourceBatch, SourceStart

_BLOCK_BYTES = 256 * 1024
_GZIP_MAGIC = b"\x1f\x8b"


class Lines:
    r"""Reads a file line by line; a value is the line's bytes without its end (`\n` or `\r\n`).

    The offset is the line number, from 1. Empty lines are counted but give no value: a batch ends in front
    of one, so that offsets stay line numbers. A line longer than `line_bytes_max` gives an `Unreadable`. The
    last line needs no end, and a UTF-8 byte order mark is no part of the first.

    gzip is told by the file's first bytes, not by its name; after a restart it is read through again up to
    the offset. A plain file is continued where it stood (the cursor: the place of the next line's first byte,
    in decimal digits). Between runs a plain file may grow by whole lines; any other change breaks the promise
    of a source.
    """

    prompt = True

    def __init__(self, path: Path, *, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._path = path
        self._line_bytes_max = line_bytes_max
        self._begin(LineSplitter(line_bytes_max))

    def _begin(self, splitter: LineSplitter) -> None:
        self._splitter = splitter
        self._file: gzip.GzipFile | io.FileIO | None = None
        self._is_gzip = False
        self._at_end = False

    def describe(self) -> str:
        return str(self._path)

    def check(self) -> None:
        check_file(self._path)

    def open(self, start: SourceStart) -> None:
        self.check()
        self._begin(LineSplitter(self._line_bytes_max))
        with self._path.open("rb") as file:
            self._is_gzip = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        if self._is_gzip:
            self._file = gzip.GzipFile(self._path, "rb")
        else:
            # Unbuffered: whole blocks are read anyway, and a buffer would copy them once more.
            self._file = self._path.open("rb", buffering=0)
        if start.offset and start.cursor is not None and not self._is_gzip:
            self._continue_at(start.offset + 1, int(start.cursor))
        else:
            self._pass_over(start.offset)

    def read(self, max_values: int) -> SourceBatch | None:
        if self._splitter.is_empty and not self._at_end:
            self._read_block()
        if self._splitter.is_empty and self._at_end:
            return None
        first, values = self._splitter.take(max_values)
        return SourceBatch(first, values, None if self._is_gzip else b"%d" % self._splitter.byte)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_block(self) -> None:
        assert self._file is not None, "open() comes before read()"
        try:
            block = self._file.read(_BLOCK_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise PenstockError(
                f"{self._path} cannot be read behind line {self._splitter.line - 1}: {error}"
            ) from error
        if block:
            self._splitter.feed(block)
        else:
            self._at_end = True
            self._splitter.finish()

    def _continue_at(self, line: int, byte: int) -> None:
        """Goes to a place of an earlier run, after a look that a line really begins there."""
        assert self._file is not None
        size = self._path.stat().st_size
        self._file.seek(max(0, min(byte, size) - 1))
        before = self._file.read(1)
        if byte > size or (byte < size and before != b"\n"):
            raise PenstockError(
                f"{self._path} is not the file that was read before: line {line} does not begin at byte {byte}"
            )
        self._splitter = LineSplitter(self._line_bytes_max, line=line, byte=byte)

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


def check_file(path: Path) -> None:
    """Raises `ConfigurationError` when `path` is no file that can be read."""
    if not path.exists():
        raise ConfigurationError(f"{path}: no such file")
    if not path.is_file():
        raise ConfigurationError(f"{path} is not a file")
    if not os.access(path, os.R_OK):
        raise ConfigurationError(f"{path} may not be read by this user")
