"""Records into a file, one JSON object a line."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.core.errors import PenstockError, RefusedRecordsError
from engine.core.records import Record
from engine.exporting.document import sayable_lines
from engine.exporting.protocol import ExporterContext
from engine.exporting.rotation import RotatedFiles, Rotation, sync_folder

_log = logging.getLogger("penstock.jsonl")


def jsonl(path: str | Path, *, rotation: Rotation | None = None) -> Callable[[], JsonLines]:
    """The exporter for `Pipeline.export`: one file a partition, or with `rotation` one after the other.

    `{partition}` in the path becomes the partition's number; without it, and with more than one partition,
    `-1`, `-2` … is put before the suffix. Folders are made as needed.
    """
    return lambda: JsonLines(Path(path), rotation)


class _Place(msgspec.Struct):
    """What tells a line of ours in a file that stood there before."""

    position: int
    partition: int


class JsonLines:
    """Appends records to a file and syncs it before it says so.

    The cursor is the file's length in bytes, with the file's number in front where files rotate: `3:1048`. On open
    the file is cut to it, so that what was written and never acknowledged does not stand there twice; a file that was
    closed since becomes the open one again. Without a cursor the file is cut behind the last acknowledged position;
    a file that holds anything else than our lines is refused and left as it is.

    A record that JSON cannot say is refused; the others of its call are in the file, and the error brings the cursor.
    """

    reads_columns: Final = True

    def __init__(self, path: Path, rotation: Rotation | None = None) -> None:
        self._path = path
        self._rotation = rotation
        self._partition = 0
        self._file = -1
        # Invariant: what lies beyond this length was never acknowledged.
        self._length = 0
        # The number that the open file will have when it is closed.
        self._number = 1
        self._closed_files: RotatedFiles | None = None

    def open(self, context: ExporterContext) -> None:
        self._partition = context.partition
        path = self._path = path_of(self._path, context.partition, context.partitions)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._closed_files = RotatedFiles(path)
        number, length = _read_cursor(context.cursor)
        if number is not None:
            self._number = number
            self._closed_files.reopen(number)
        else:
            self._number = self._closed_files.last_number() + 1
        self._open_file()
        size = os.fstat(self._file).st_size
        self._length = _length_up_to(path, context.partition, context.position) if length is None else length
        if self._length > size:
            # Moved away or emptied by somebody; what was in it is theirs now.
            _log.warning("%s: %d bytes were exported, %d are there; going on", path, self._length, size)
            self._length = size
        if size > self._length:
            _log.info("%s: cutting %d bytes that were not acknowledged", path, size - self._length)
            os.ftruncate(self._file, self._length)
        sync_folder(path.parent)

    def export(self, records: Sequence[Record]) -> bytes:
        if self._rotation is not None and self._length >= self._rotation.size_bytes:
            self._rotate(self._rotation)
        text, unsayable = sayable_lines(records, self._partition)
        if text:
            self._append(text)
        if unsayable:
            raise RefusedRecordsError(unsayable, self._cursor())
        return self._cursor()

    def _append(self, text: bytes) -> None:
        try:
            written = 0
            while written < len(text):
                written += os.pwrite(self._file, text[written:], self._length + written)
            os.fsync(self._file)
        except OSError:
            # A part may stand in the file; the next try may bring other records.
            os.ftruncate(self._file, self._length)
            raise
        self._length += len(text)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _cursor(self) -> bytes:
        # Without a number it is the first file's: so it is told as long as none was ever closed.
        if self._rotation is None and self._number == 1:
            return b"%d" % self._length
        return b"%d:%d" % (self._number, self._length)

    def _open_file(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _rotate(self, rotation: Rotation) -> None:
        """Closes the file that is full. Everything in it was returned; a crash may still take acknowledgements back."""
        assert self._closed_files is not None, "opened before"
        self.close()
        try:
            self._closed_files.put_away(self._number, rotation)
            self._number += 1
            self._length = 0
        finally:
            # Also the old one, should it not let itself be moved.
            self._open_file()


def path_of(path: Path, partition: int, partitions: int) -> Path:
    """The file of one partition."""
    if "{partition}" in str(path):
        return Path(str(path).replace("{partition}", str(partition)))
    if partitions == 1:
        return path
    return path.with_name(f"{path.stem}-{partition}{path.suffix}")


def _read_cursor(cursor: bytes | None) -> tuple[int | None, int | None]:
    """The file's number and length; None without a cursor."""
    if cursor is None:
        return None, None
    number, colon, length = cursor.partition(b":")
    return (int(number), int(length)) if colon else (1, int(cursor))


def _length_up_to(path: Path, partition: int, position: int) -> int:
    """How many bytes of the file hold our lines up to `position`; raises when a whole line is not ours.

    A last line without an end is one that a crash cut short.
    """
    length = 0
    decode = msgspec.json.Decoder(_Place).decode
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            try:
                place = decode(line)
            except msgspec.DecodeError:
                place = None
            if place is None or place.partition != partition:
                raise PenstockError(
                    f"{path} holds lines that partition {partition} of this exporter did not write; "
                    "move the file away or choose another path"
                )
            if place.position > position:
                break
            length += len(line)
    return length
