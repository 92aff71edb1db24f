"""Lines of this log's own in a file that was there before: which of them stay, and which will come again."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from engine.core.clock import NS_PER_MS
from engine.exporting.files import reading
from engine.exporting.protocol import ExporterContext

_BLOCK_BYTES = 64 * 1024
# How our lines begin, for one that was cut short.
_BEGINNING = b'{"position":'
_PLACE_BEGINS = re.compile(rb'\{"position":(\d+),"partition":(\d+),')


class _Place(msgspec.Struct):
    """What tells a line of ours."""

    position: int
    partition: int
    # In milliseconds.
    timestamp: int | None = None


class OwnLines:
    """Knows the lines that one partition's exporter writes, from where the log stood when it opened.

    Nothing may be cut or overwritten but lines that *come again*: of records behind the acknowledged position which
    this very log holds. A file may be another log's, or tell of a life that this data folder never had.
    """

    def __init__(self, context: ExporterContext) -> None:
        self._context = context
        self._decode = msgspec.json.Decoder(_Place).decode

    def is_end_of_acknowledged(self, path: Path, length: int) -> bool:
        """Whether a line ends at `length`, and is none that was never acknowledged."""
        if not length:
            return True
        with reading(path) as file:
            line = _line_before(file, length)
        place = self._place(line)
        return line.endswith(b"\n") and (place is None or place.position <= self._context.position)

    def acknowledged_length(self, path: Path, *, others_too: bool) -> int:
        """How many bytes of the file are whole lines up to the acknowledged position; `others_too`: not only ours."""
        length = 0
        with reading(path) as file:
            for line in file:
                place = self._place(line)
                if not line.endswith(b"\n") or (place is None and not others_too):
                    break
                if place is not None and place.position > self._context.position:
                    break
                length += len(line)
        return length

    def come_again(self, file: Iterable[bytes]) -> bool:
        """Whether all of these lines do, up to the end of a file, one that a crash cut short included."""
        first: _Place | None = None
        last: _Place | None = None
        for line in file:
            if not line.endswith(b"\n"):
                if not self._may_come_again(line):
                    return False
                break
            last = self._place(line)
            if last is None or not self._is_ahead(last.position):
                return False
            first = first or last
        # Two lives of a log have a beginning in common at most: it is enough to look at both ends.
        return all(place is None or self._is_of_this_log(place) for place in (first, last))

    def _place(self, line: bytes) -> _Place | None:
        """None for a line that is not ours."""
        try:
            place = self._decode(line)
        except msgspec.DecodeError:
            return None
        return place if place.partition == self._context.partition else None

    def _is_ahead(self, position: int) -> bool:
        last = self._context.last_position
        return position > self._context.position and (last is None or position <= last)

    def _may_come_again(self, beginning: bytes) -> bool:
        match = _PLACE_BEGINS.match(beginning)
        if match is None:
            return _BEGINNING.startswith(beginning[: len(_BEGINNING)]) and b"," not in beginning
        return int(match[2]) == self._context.partition and self._is_ahead(int(match[1]))

    def _is_of_this_log(self, place: _Place) -> bool:
        written_ns = self._context.written_ns
        if written_ns is None or place.timestamp is None:
            return True
        timestamp_ns = written_ns(place.position)
        return timestamp_ns is not None and timestamp_ns // NS_PER_MS == place.timestamp


def _line_before(file: BinaryIO, end: int) -> bytes:
    """The line whose last byte stands in front of `end`."""
    line = b""
    while end > 0:
        begin = max(0, end - _BLOCK_BYTES)
        file.seek(begin, os.SEEK_SET)
        line = file.read(end - begin) + line
        newline = line.rfind(b"\n", 0, len(line) - 1)
        if newline >= 0:
            return line[newline + 1 :]
        end = begin
    return line
