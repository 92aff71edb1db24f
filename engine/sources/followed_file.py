"""A file that grows, is rotated and truncated: the log of another program, followed without end."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from engine.core.clock import NS_PER_SECOND, Clock, SystemClock
from engine.core.errors import ConfigurationError, PenstockError
from engine.sources.file_shape import check_file
from engine.sources.line_splitter import LINE_BYTES_MAX, LineSplitter
from engine.sources.protocol import SourceBatch, SourceStart

log = logging.getLogger("penstock.source")

_BLOCK_BYTES = 256 * 1024
_HEAD_BYTES = 256
# A file that was moved away is left when it has not grown for so long: its writer may not have noticed yet.
_QUIET_NS = 2 * NS_PER_SECOND
# What rotation puts behind a name: .1, -20240131, .2024-01-31T10:00. No .gz: what was packed cannot be continued.
_ROTATED = re.compile(r"[.\-_]\d[\dTZ.:_\-]*")


class _Place(msgspec.Struct, frozen=True):
    """Where the next line begins: in which file, at which byte. The cursor, as JSON.

    An inode alone does not tell a file, for the system gives its number out again: `head` is the CRC-32 of its first
    `head_bytes` bytes.
    """

    inode: int
    byte: int
    head_bytes: int
    head: int


class FollowedFile:
    """Gives every whole line that is ever written to `path`, as bytes without its end, and never ends.

    - A line counts when its end is written; the offset numbers the lines of all files ever read, from 1.
    - Rotation by renaming: the old file is read to its end (two quiet seconds, for its writer may be late), then the
      one that `path` names now. After a restart the old file is looked for beside `path` (`path.1`, `path-20240131`);
      what was rotated after it is read in between, oldest first. One that is gone is said in the log.
    - Truncation: a file that is shorter than it was, or begins differently, is read from its beginning; what was
      written since the last look, a fraction of a second before, is lost.
    - The file need not exist yet; its folder must.
    """

    prompt = True

    def __init__(self, path: Path, *, line_bytes_max: int = LINE_BYTES_MAX, clock: Clock | None = None) -> None:
        self._path = path
        self._line_bytes_max = line_bytes_max
        self._clock = clock or SystemClock()
        self._begin(line=1)

    def _begin(self, line: int) -> None:
        self._splitter = LineSplitter(self._line_bytes_max, name=str(self._path), line=line)
        # The file that is open, and what to open when it is None.
        self._file: io.FileIO | None = None
        self._next = self._path
        # The file that the splitter's lines are of; it may be closed already.
        self._inode = 0
        self._head = b""
        # Since when the file has been moved away and not grown; None while it is where it should be.
        self._quiet_since_ns: int | None = None

    def describe(self) -> str:
        return f"{self._path}, followed"

    def check(self) -> None:
        if self._path.exists():
            check_file(self._path)
        elif not self._path.parent.is_dir():
            raise ConfigurationError(f"{self._path.parent}: no such folder")

    def open(self, start: SourceStart) -> None:
        self.check()
        self._begin(line=start.offset + 1)
        if start.cursor is None:
            self._open_next()
        else:
            self._continue_at(msgspec.json.decode(start.cursor, type=_Place))

    def read(self, max_values: int) -> SourceBatch | None:
        if self._splitter.is_empty:
            try:
                self._look()
            except OSError as error:
                raise PenstockError(
                    f"{self._path} cannot be read behind line {self._splitter.line - 1}: {error}"
                ) from error
        first, values = self._splitter.take(max_values)
        return SourceBatch(first, values, msgspec.json.encode(self._place()))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- reading on ---

    def _look(self) -> None:
        """Reads a block, or finds out why there is none."""
        file = self._file or self._open_next()
        if file is None:
            return
        if self._was_truncated(file):
            log.warning("%s was truncated; it is read from its beginning", self._path)
            self._leave(self._path)
        elif block := file.read(_BLOCK_BYTES):
            self._quiet_since_ns = None
            self._splitter.feed(block)
            self._remember_head(file)
        elif self._was_moved(file):
            self._leave_when_quiet(file)

    def _open_next(self) -> io.FileIO | None:
        """Begins with the first byte of the next file, if it is there; line numbers go on."""
        try:
            file = self._file = self._next.open("rb", buffering=0)
        except FileNotFoundError:
            # A rotated one may be gone again before its turn.
            self._next = self._path
            return None
        self._splitter = LineSplitter(self._line_bytes_max, name=str(self._path), line=self._splitter.line)
        self._inode = os.fstat(file.fileno()).st_ino
        self._head = b""
        return file

    def _was_truncated(self, file: io.FileIO) -> bool:
        descriptor = file.fileno()
        return os.fstat(descriptor).st_size < file.tell() or os.pread(descriptor, len(self._head), 0) != self._head

    def _was_moved(self, file: io.FileIO) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            # Moved away, and nothing has come in its place: it may still grow.
            return False

    def _leave_when_quiet(self, file: io.FileIO) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._quiet_since_ns is None:
            self._quiet_since_ns = now_ns
        elif now_ns - self._quiet_since_ns >= _QUIET_NS:
            self._leave(self._rotated_after(os.fstat(file.fileno())))

    def _leave(self, following: Path) -> None:
        """Closes the file; what stands behind its last line end is a line of its own."""
        self.close()
        self._next = following
        self._quiet_since_ns = None
        if self._splitter.has_rest:
            self._splitter.finish()

    # -- places ---

    def _place(self) -> _Place:
        return _Place(self._inode, self._splitter.byte, len(self._head), crc32(self._head))

    def _remember_head(self, file: io.FileIO) -> None:
        if len(self._head) < _HEAD_BYTES:
            self._head = os.pread(file.fileno(), min(_HEAD_BYTES, file.tell()), 0)

    def _continue_at(self, place: _Place) -> None:
        """Goes to a place of an earlier run, wherever its file was moved since."""
        for path in (self._path, *self._rotated()):
            file = _opened_at(path, place)
            if file is not None:
                self._file = file
                self._inode = place.inode
                self._head = os.pread(file.fileno(), place.head_bytes, 0)
                self._splitter = LineSplitter(
                    self._line_bytes_max, name=str(self._path), line=self._splitter.line, byte=place.byte
                )
                return
        log.warning(
            "%s: the file of this name, read up to byte %d, is gone or was truncated; the one there now is read "
            "from its beginning",
            self._path,
            place.byte,
        )

    def _rotated(self) -> Iterator[Path]:
        """Files beside `path` that bear its name and what rotation puts behind it."""
        name = self._path.name
        for path in self._path.parent.iterdir():
            if path.name.startswith(name) and _ROTATED.fullmatch(path.name[len(name) :]):
                yield path

    def _rotated_after(self, left: os.stat_result) -> Path:
        """What comes behind the file just left: the oldest that was rotated later, else the one of the name."""
        later: list[tuple[int, Path]] = []
        for path in self._rotated():
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            if found.st_mtime_ns >= left.st_mtime_ns and found.st_ino != left.st_ino:
                later.append((found.st_mtime_ns, path))
        return min(later)[1] if later else self._path


def _opened_at(path: Path, place: _Place) -> io.FileIO | None:
    """The file at `path`, at its place, if it is the one the place speaks of."""
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return None
    found = os.fstat(file.fileno())
    head = os.pread(file.fileno(), place.head_bytes, 0)
    if found.st_ino == place.inode and found.st_size >= place.byte and crc32(head) == place.head:
        file.seek(place.byte)
        return file
    file.close()
    return None
