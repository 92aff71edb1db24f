"""Records into a file, one JSON object a line."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from engine.core.errors import PenstockError, RefusedRecordsError, TargetError
from engine.core.records import Record
from engine.exporting.document import sayable_lines
from engine.exporting.files import move_aside, reading, size_of, sync_folder, whole_lines
from engine.exporting.own_lines import OwnLines
from engine.exporting.protocol import ExporterContext
from engine.exporting.rotation import RotatedFiles, Rotation

_log = logging.getLogger("penstock.jsonl")


def jsonl(path: str | Path, *, rotation: Rotation | None = None) -> Callable[[], JsonLines]:
    """The exporter for `Pipeline.export`: one file a partition, or with `rotation` one after the other.

    `{partition}` in the path becomes the partition's number; without it, and with more than one partition,
    `-1`, `-2` … is put before the suffix. Folders are made as needed.
    """
    return lambda: JsonLines(Path(path), rotation)


class JsonLines:
    """Appends records to a file and syncs it before it says so.

    The cursor is the file's length in bytes, with the file's number in front where files rotate: `3:1048`. On open
    the file is cut to it where what lies behind will come again, so that no line stands there twice; a file that was
    closed since becomes the open one again. Without a cursor the file is cut behind the last acknowledged position.
    Whatever else lies there is moved into a file beside it: nothing is cut that this log cannot give again.

    Others may empty, shorten, rename or delete the file while it is open: that is looked for before each write, and
    whole lines go on behind what is there, in a new file where need be.

    A record that JSON cannot say is refused; the others of its call are in the file, and the error brings the cursor.
    """

    reads_columns: Final = True

    def __init__(self, path: Path, rotation: Rotation | None = None) -> None:
        self._path = path
        self._rotation = rotation
        self._partition = 0
        # Negative while none is open.
        self._file = -1
        # Invariant: what we wrote beyond this length was never acknowledged.
        self._length = 0
        # Whether a write failed and something of it may lie behind `_length`.
        self._is_torn = False
        # Whether the file's name survives the machine.
        self._is_named = False
        # The number that the open file will have when it is closed.
        self._number = 1
        self._closed_files: RotatedFiles | None = None
        # Whether a file was closed since the closed ones were last looked after.
        self._is_untidy = False

    def open(self, context: ExporterContext) -> None:
        self._partition = context.partition
        path = self._path = path_of(self._path, context.partition, context.partitions)
        path.parent.mkdir(parents=True, exist_ok=True)
        own_lines = OwnLines(context)
        self._closed_files = RotatedFiles(path, own_lines)
        number, length = _read_cursor(context.cursor)
        if number is not None:
            self._number = number
            self._closed_files.reopen(number)
        else:
            self._number = self._closed_files.last_number() + 1
        if os.path.exists(path):
            self._settle(own_lines, length)
        elif length:
            _log.warning("%s: %d bytes were exported, 0 are there; going on", path, length)
        self._open_file()
        self._name()

    def _settle(self, own_lines: OwnLines, length: int | None) -> None:
        """Takes away from the file what was not acknowledged."""
        path, size = self._path, os.stat(self._path).st_size
        if not os.path.isfile(path):
            raise PenstockError(f"{path} is not a file that lines can be appended to")
        if length is not None and length <= size and own_lines.is_end_of_acknowledged(path, length):
            kept = length
        else:
            if length is not None:
                _log.warning("%s: %d bytes were exported, %d are there, not the same; going on", path, length, size)
            kept = own_lines.acknowledged_length(path, others_too=length is not None)
        if kept == size:
            return
        with reading(path) as tail:
            tail.seek(kept)
            come_again = own_lines.come_again(tail)
        if come_again:
            _log.info("%s: cutting %d bytes that were not acknowledged", path, size - kept)
            os.truncate(path, kept)
        else:
            self._set_aside(kept)

    def _set_aside(self, kept: int) -> None:
        count = size_of(self._path) - kept
        aside = move_aside(self._path, kept)
        _log.warning("%s: %d bytes that this log cannot give again are moved to %s", self._path, count, aside)

    def export(self, records: Sequence[Record]) -> bytes:
        self._look()
        if self._rotation is not None and self._length >= self._rotation.size_bytes:
            self._rotate()
            self._look()
        self._name()
        if self._is_untidy and self._rotation is not None and self._closed_files is not None:
            self._is_untidy = False
            self._closed_files.tidy(self._number - 1, self._rotation)
        text, unsayable = sayable_lines(records, self._partition)
        if text:
            self._append(text)
        if unsayable:
            raise RefusedRecordsError(unsayable, self._cursor(), certain=unsayable)
        return self._cursor()

    def _append(self, text: bytes) -> None:
        try:
            written = 0
            while written < len(text):
                # Always at the end, wherever that is by now: a write never leaves a hole.
                written += os.write(self._file, text[written:] if written else text)
            os.fsync(self._file)
            end, there = os.lseek(self._file, 0, os.SEEK_CUR), os.fstat(self._file)
        except OSError:
            # A part may stand in the file; the next try may bring other records.
            self._is_torn = True
            self._cut_torn()
            raise
        if not there.st_nlink or there.st_size < end or end != self._length + len(text):
            raise TargetError(f"{self._path} was changed by somebody while lines were written; they are written again")
        self._length = end

    def _cut_torn(self) -> None:
        """Takes away what a write that failed has left, unless somebody else was quicker."""
        if os.fstat(self._file).st_size > self._length:
            os.ftruncate(self._file, self._length)
        self._is_torn = False

    def close(self) -> None:
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)

    def _cursor(self) -> bytes:
        # Without a number it is the first file's: so it is told as long as none was ever closed.
        if self._rotation is None and self._number == 1:
            return b"%d" % self._length
        return b"%d:%d" % (self._number, self._length)

    # -- the file ---

    def _open_file(self) -> None:
        """Opens what stands under the path, or a new file; whole lines go on behind what is there."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._is_named = self._is_torn = False
        self._length = 0
        self._go_on_behind_whole_lines()

    def _go_on_behind_whole_lines(self) -> None:
        size = os.fstat(self._file).st_size
        whole = whole_lines(self._path) if size else 0
        if whole < size and whole:
            self._set_aside(whole)
        elif whole < size:
            # All of it is one line without an end: it keeps its file.
            self._set_aside(0)
            self.close()
            self._open_file()
            return
        self._length = whole

    def _name(self) -> None:
        if not self._is_named:
            sync_folder(self._path.parent)
            self._is_named = True

    def _look(self) -> None:
        """Sees what became of the file since the last write, be it by us or by others."""
        if self._file < 0:
            self._open_file()
        if self._is_torn:
            self._cut_torn()
        here = os.fstat(self._file)
        try:
            is_ours = os.path.samestat(os.stat(self._path), here)
        except FileNotFoundError:
            is_ours = False
        if not is_ours:
            what = "renamed" if here.st_nlink else "deleted"
            _log.warning("%s was %s by somebody; lines go on in what stands there now", self._path, what)
            self.close()
            self._open_file()
        elif here.st_size != self._length:
            _log.warning(
                "%s was changed by somebody: %d bytes were exported, %d are there; whole lines go on behind them",
                self._path,
                self._length,
                here.st_size,
            )
            self._go_on_behind_whole_lines()

    def _rotate(self) -> None:
        """Closes the file that is full. Everything in it was returned; a crash may still take acknowledgements back."""
        assert self._closed_files is not None, "opened before"
        self._closed_files.put_away(self._number, self._file)
        # From here on it is closed, whatever else fails: the next file has the next number.
        self._number += 1
        self._length = 0
        self._is_untidy = True
        self.close()


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
