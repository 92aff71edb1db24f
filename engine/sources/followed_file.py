"""A file that grows, is rotated and truncated: the log of another program, followed without end."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from zlib import crc32

import msgspec

from engine.core.clock import NS_PER_SECOND, Clock, SystemClock
from engine.core.errors import ConfigurationError, PenstockError
from engine.core.snapshot import InputSnapshot
from engine.sources.byte_stream import ByteStream, CountedStream, DecodedStream, PlainStream
from engine.sources.file_shape import check_file, encoding_name, encoding_of, opened_stream, refuse_no_text
from engine.sources.line_splitter import LINE_BYTES_MAX, LineSplitter
from engine.sources.protocol import SourceBatch, SourceStart
from engine.sources.rotation import TOLD_BY_BYTES, Found, Place, content, find, opened, rotated_after

log = logging.getLogger("penstock.source")

# A file that was moved away is left when it has not grown for so long: its writer may not have noticed yet.
_QUIET_NS = 2 * NS_PER_SECOND
# Blocks of nothing but NULs that are passed over at a time.
_HOLE_BLOCKS = 64
# Of so many files that it has read to their ends a log knows where they ended.
_LEFT_MAX = 100


class FollowedFile:
    """Gives every whole line that is ever written to `path`, as bytes of UTF-8 without its end, and never ends.

    - A line counts when its end is written; the offset numbers the lines of all files ever read, from 1.
    - Rotation by renaming: the old file is read to its end (two quiet seconds, for its writer may be late), then the
      one that `path` names now. After a restart the old file is looked for in its folder, by inode and content, under
      any name and also packed; what was rotated after it is read in between, oldest first. One that is gone is said in
      the log. A `path` that is a link is followed to wherever it leads.
    - Truncation: of a file that is shorter than it was, or begins differently, the copy is looked for and read to its
      end (`copytruncate`), then the file from its beginning. A hole of NULs in front of a line, left by a writer that
      goes on at its old place, is no part of the line.
    - The file need not exist yet; its folder must.
    """

    prompt = True
    of_this_machine = True

    def __init__(
        self,
        path: Path,
        *,
        line_bytes_max: int = LINE_BYTES_MAX,
        encoding: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._path = path
        self._line_bytes_max = line_bytes_max
        self._encoding = None if encoding is None else encoding_name(encoding)
        self._clock = clock or SystemClock()
        # Whether its writer goes on in a file that was truncated, and does not begin one anew.
        self.goes_on = False
        self._begin(line=1)

    def _begin(self, line: int) -> None:
        self._splitter = LineSplitter(self._line_bytes_max, name=str(self._path), line=line)
        self._found: Found | None = None
        self._stream: ByteStream | None = None
        # Whether what is open has been read to its end, and the next one is waited for; where that was, as far as it
        # is known, and under which name.
        self._is_left = False
        self._left_at: Place | None = None
        self._left_path: Path | None = None
        # What stood behind the last line end of a file that was left.
        self._last_line: SourceBatch | None = None
        # Whether it had been rotated before it was opened.
        self._is_rotated = False
        # The name of the log itself: of what `path` led to when it was opened.
        self._real = ""
        self._head = b""
        # The last bytes that were read, up to byte `_read_until` of the text.
        self._recent = b""
        self._read_until = 0
        # Of a text that is decoded: the bytes in front of byte `_tail_at` of the file.
        self._tail, self._tail_at = b"", 0
        self._written_ns = 0
        # As it was at the last look.
        self._size_bytes = 0
        # What was read behind a hole, for the time when the lines in front of it are taken.
        self._held = b""
        # Since when the file has been moved away and not grown; None while it is where it should be.
        self._quiet_since_ns: int | None = None
        # How many files were begun at their first byte; and when the last batch was given.
        self._begun = self.files_begun = 0
        # Files that were read to their ends in this run, by inode, with their ends.
        self.left: dict[int, Place] = {}

    def describe(self) -> str:
        return f"{self._path}, followed"

    def check(self) -> None:
        if self._path.exists():
            check_file(self._path)
            found = opened(self._path)
            try:
                self._refuse(found)
            finally:
                found.file.close()
        elif not self._path.parent.is_dir():
            raise ConfigurationError(f"{self._path.parent}: no such folder")

    def open(self, start: SourceStart) -> None:
        self.check()
        self._begin(line=start.offset + 1)
        if start.cursor is None:
            self._open_next()
        else:
            self._continue_at(msgspec.json.decode(start.cursor, type=Place))
        self.files_begun = self._begun

    def read(self, max_values: int) -> SourceBatch:
        if self._last_line is None and self._splitter.is_empty:
            try:
                self._look()
                if self._read_until == 0 and self._splitter.is_empty:
                    # A file that was just begun is known by its content from its first block on.
                    self._look()
            except OSError as error:
                raise PenstockError(
                    f"{self._path} cannot be read behind line {self._splitter.line - 1}: {error}"
                ) from error
        if self._last_line is not None:
            last, self._last_line = self._last_line, None
            return last
        self.files_begun = self._begun
        first, values = self._splitter.take(max_values)
        return SourceBatch(first, values, msgspec.json.encode(self._place()))

    def close(self) -> None:
        if self._found is not None:
            self._found.file.close()
        self._found = self._stream = None

    def input(self) -> InputSnapshot:
        read = self._read_until
        return InputSnapshot(position_bytes=read, lag_bytes=max(0, self._size_bytes - read))

    @property
    def inode(self) -> int | None:
        """Of the file that is open."""
        return None if self._found is None else os.fstat(self._found.file.fileno()).st_ino

    @property
    def is_deleted(self) -> bool:
        """Whether there is nothing at its path, and what is open is read to its end."""
        return not self._path.exists() and self._splitter.is_empty and self._read_until >= self._size_bytes

    # -- reading on ---

    def _look(self) -> None:
        """Reads a block, or finds out why there is none."""
        if self._held:
            block, self._held = self._held, b""
            self._feed(block)
            return
        if self._found is None or self._is_left:
            self._open_next()
        found, stream = self._found, self._stream
        if found is None or stream is None or self._is_left:
            return
        if found.packing is None and self._was_truncated(found.file):
            self._leave_truncated()
            return
        for _ in range(_HOLE_BLOCKS):
            block = stream.read()
            if not block:
                self._leave_at_end(found)
                return
            self._quiet_since_ns = None
            self._remember(block)
            if self._feed(block):
                return

    def _feed(self, block: bytes) -> bool:
        """Takes a block but for holes; False when it was nothing else."""
        if b"\0" in block:
            if not self._splitter.has_rest:
                behind = block.lstrip(b"\0")
                self._splitter.pass_over(len(block) - len(behind))
                block = behind
            hole = block.find(b"\n\0")
            if hole >= 0:
                block, self._held = block[: hole + 1], block[hole + 1 :]
        if block:
            self._splitter.feed(block)
        return bool(block)

    def _open_next(self) -> None:
        """Begins with the first byte of the next file, if it is there; line numbers go on."""
        found = self._next()
        if found is not None:
            self._refuse(found)
            self._enter(found, Place(inode=0, byte=0, head_bytes=0, head=0))

    def _next(self) -> Found | None:
        """The oldest of what was rotated behind the file that was left; else what `path` names.

        That is opened first: if it is rotated while the others are looked at, it is among them.
        """
        try:
            current = opened(self._path)
        except FileNotFoundError:
            current = None
        rotated = None if self._left_at is None else rotated_after(self._left_at, self._path, self._left_path)
        if rotated is not None and current is not None:
            current.file.close()
        return rotated or current

    def _enter(self, found: Found, place: Place) -> None:
        """Reads on at a place of a file, in place of the one that was open."""
        self.close()
        self._found = found
        self._begun += place.byte == 0 and place.passed == 0
        self._is_left = False
        self._left_at = self._left_path = None
        self._is_rotated = False
        if os.path.realpath(found.path) == (real := os.path.realpath(self._path)):
            self._real = real
        else:
            # It still bears the log's own name here.
            self._is_rotated = True
            self._real = place.path or self._real or real
        self._head = content(found, 0, place.head_bytes)
        self._tail, self._tail_at = content(found, place.byte - place.tail_bytes, place.tail_bytes), place.byte
        self._read_until, self._held = place.byte, b""
        self._written_ns = os.fstat(found.file.fileno()).st_mtime_ns
        self._quiet_since_ns = None
        stream: ByteStream
        if found.packing is None:
            stream = PlainStream(found.file, (place.byte,))
        else:
            stream = CountedStream(opened_stream(found.file, found.packing, (0, place.byte)), place.byte)
        encoding = self._encoding_of(found)
        if encoding is not None:
            stream = DecodedStream(stream, encoding, place.passed, grows=found.packing is None)
        self._stream = stream
        self._recent = b"" if encoding is not None else self._tail
        self._splitter = LineSplitter(
            self._line_bytes_max,
            name=str(self._path),
            line=self._splitter.line,
            mark_may_come=place.byte == 0 and place.passed == 0,
        )

    def _was_truncated(self, file: io.FileIO) -> bool:
        """Whether what was read is not there any more: it is shorter, begins differently, or a hole has come."""
        descriptor = file.fileno()
        status = os.fstat(descriptor)
        recent = self._recent[-TOLD_BY_BYTES:]
        if (
            status.st_size < file.tell()
            or os.pread(descriptor, len(self._head), 0) != self._head
            or os.pread(descriptor, len(recent), self._read_until - len(recent)) != recent
        ):
            return True
        self._written_ns = status.st_mtime_ns
        self._size_bytes = status.st_size
        return False

    def _leave_truncated(self) -> None:
        """Goes on in a copy, where there is one with more than was read; else with what was written since."""
        self.goes_on = True
        place = self._place()
        copy = find(place, self._path)
        if copy is None:
            log.warning("%s was truncated; it is read from its beginning", self._path)
            self._leave(place if place.is_telling else None, None)
        elif copy.packing is not None or _size(copy.file) > self._read_until or self._splitter.has_rest:
            log.info("%s was truncated; what was copied of it before is read to its end in %s", self._path, copy.path)
            self._enter(copy, place)
            return
        else:
            written = msgspec.structs.replace(
                place, inode=os.fstat(copy.file.fileno()).st_ino, written_ns=os.fstat(copy.file.fileno()).st_mtime_ns
            )
            copy.file.close()
            self._leave_behind(written)
            self._leave(written, copy.path)

    def _leave_at_end(self, found: Found) -> None:
        """Leaves a file that gets no more: one that was moved away, or that is packed."""
        if found.packing is not None:
            self._leave_for_following()
        elif self._was_moved(found.file):
            now_ns = self._clock.monotonic_ns()
            if self._is_rotated and self._clock.wall_ns() - self._written_ns >= _QUIET_NS:
                self._leave_for_following()
            elif self._quiet_since_ns is None:
                self._quiet_since_ns = now_ns
            elif now_ns - self._quiet_since_ns >= _QUIET_NS:
                self._leave_for_following()

    def _was_moved(self, file: io.FileIO) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            # Moved away, and nothing has come in its place: it may still grow.
            return False

    def _leave_for_following(self) -> None:
        assert self._found is not None
        place = self._place(at_end=True)
        self._leave_behind(place)
        self._leave(place, self._found.path)

    def _leave_behind(self, end: Place) -> None:
        self.left[end.inode] = end
        if len(self.left) > _LEFT_MAX:
            del self.left[next(iter(self.left))]

    def _leave(self, place: Place | None, now: Path | None) -> None:
        """Goes on with the next file; what stands behind the last line end of this one is a line of its own.

        At once, for what is not known by its content cannot be found when it is rotated once more.
        """
        if self._splitter.has_rest:
            self._splitter.finish()
            first, values = self._splitter.take(1)
            self._last_line = SourceBatch(first, values, msgspec.json.encode(self._place()))
        self._is_left, self._left_at, self._left_path = True, place, now
        self._open_next()

    # -- places ---

    def _place(self, *, at_end: bool = False) -> Place:
        """Where the next line begins; with `at_end`, where reading has come to."""
        if self._found is None or self._stream is None:
            return Place(inode=0, byte=0, head_bytes=0, head=0)
        byte, *passed = self._stream.mark(self._splitter.byte)
        if at_end:
            byte, passed = self._read_until, []
        tail = self._in_front_of(byte)
        return Place(
            inode=os.fstat(self._found.file.fileno()).st_ino,
            byte=byte,
            head_bytes=len(self._head),
            head=crc32(self._head),
            tail_bytes=len(tail),
            tail=crc32(tail),
            passed=passed[0] if passed else 0,
            path=self._real,
            written_ns=self._written_ns,
        )

    def _in_front_of(self, byte: int) -> bytes:
        """What was read there, from memory: the file may have been truncated since."""
        if isinstance(self._stream, DecodedStream):
            return self._raw_in_front_of(byte)
        end = len(self._recent) - (self._read_until - byte)
        return self._recent[max(0, end - TOLD_BY_BYTES) : end] if end > 0 else b""

    def _raw_in_front_of(self, byte: int) -> bytes:
        """The same of a text that is decoded: looked at when a place is told for the first time."""
        assert self._found is not None
        if self._tail_at != byte and self._found.packing is None:
            begin = max(0, byte - TOLD_BY_BYTES)
            self._tail, self._tail_at = os.pread(self._found.file.fileno(), byte - begin, begin), byte
        return self._tail if self._tail_at == byte else b""

    def _remember(self, block: bytes) -> None:
        """Keeps what tells the file and its places from others; of a text that is decoded, by a look at the file."""
        assert self._found is not None
        if isinstance(self._stream, DecodedStream):
            self._head = b"" if self._found.packing else os.pread(self._found.file.fileno(), TOLD_BY_BYTES, 0)
            self._read_until = self._stream.mark(self._splitter.byte)[0]
            return
        if len(self._head) < TOLD_BY_BYTES and self._read_until <= len(self._head):
            self._head = (self._head[: self._read_until] + block)[:TOLD_BY_BYTES]
        self._recent = self._recent[-TOLD_BY_BYTES:] + block
        self._read_until += len(block)

    def _continue_at(self, place: Place) -> None:
        """Goes to a place of an earlier run, wherever its file was moved since."""
        if not place.inode:
            self._open_next()
            return
        found = find(place, self._path)
        if found is not None:
            is_copy = found.packing is None and os.fstat(found.file.fileno()).st_ino != place.inode
            self.goes_on = self.goes_on or is_copy
            self._enter(found, place)
            return
        self._left_at = place
        self._open_next()
        log.warning(
            "%s: the file of this name, read up to byte %d, is gone or was truncated; %s is read from its beginning",
            self._path,
            place.byte,
            "the next one" if self._found is None else self._found.path,
        )

    # -- what cannot be followed ---

    def _refuse(self, found: Found) -> None:
        """Raises `ConfigurationError` for what does not grow by lines, unless rotation has packed it."""
        if found.packing is not None:
            if found.path == self._path:
                raise ConfigurationError(
                    f"{self._path} is packed by {found.packing.name} and does not grow by lines; leave follow out, or "
                    "follow the file that it is made of"
                )
            return
        head = os.pread(found.file.fileno(), 2 * TOLD_BY_BYTES, 0)
        refuse_no_text(found.path, head)
        wide = encoding_of(found.path, head, self._encoding)
        if wide is not None and self._encoding is None:
            raise ConfigurationError(f"{self._path} is {wide.upper()}; set encoding: {wide.removesuffix('-le')}")

    def _encoding_of(self, found: Found) -> str | None:
        if self._encoding is None:
            return None
        head = b"" if found.packing is not None else os.pread(found.file.fileno(), 2 * TOLD_BY_BYTES, 0)
        return encoding_of(found.path, head, self._encoding)


def _size(file: io.FileIO) -> int:
    return os.fstat(file.fileno()).st_size
