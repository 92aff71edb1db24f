"""The end of the log that is written: one file, frames put behind one another."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from engine.log.local.disk import Disk
from engine.log.local.format import new_mark, segment_header
from engine.log.local.identity import LogIdentity

log = logging.getLogger("penstock.log")

# A sync that need not store the file's new length is quicker, and zeros that are written for it cost: it pays for
# small frames.
_SMALL_FRAME_BYTES = 4 << 10
_ROOM_BYTES = 256 << 10


class SegmentWriter:
    """Puts frames at the end of a segment, whole or not at all. One thread at a time.

    Invariant: all bytes before `end` belong to frames that were stored; where something else than zeros may lie behind
    it, nothing is written before that has been cut off and the cut is on the disk. So nothing that a failed sync
    has left unknown is ever taken for stored.
    """

    def __init__(self, path: Path, end: int, mark: bytes, *, identity: LogIdentity, disk: Disk, syncs: bool) -> None:
        self.path = path
        self.end = end
        self.mark = mark
        self._identity = identity
        self._disk = disk
        self._syncs = syncs
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        # Whatever lies behind the end was written by nobody whom we know.
        self._is_clean = os.fstat(self._file).st_size == end
        # Zeros reach up to here, if further than the end.
        self._room_end = end
        self._makes_room = syncs
        # Frames that were taken for stored may not be.
        self._is_unsafe = False

    @classmethod
    def begin(cls, path: Path, *, identity: LogIdentity, disk: Disk, syncs: bool) -> Self:
        """Over a new segment: nothing but its header, which is on the disk before anything else is. Raises `OSError`.

        What lies there already was begun so, and never finished.
        """
        writer = cls(path, 0, new_mark(), identity=identity, disk=disk, syncs=syncs)
        try:
            header = segment_header(writer.mark, identity)
            disk.cut(writer._file, 0)
            disk.write(writer._file, [header], 0)
            disk.sync(writer._file)
        except BaseException:
            os.close(writer._file)
            raise
        writer.end = len(header)
        writer._is_clean = True
        return writer

    def append(self, parts: Sequence[bytes], length: int) -> int:
        """Where the frame of this length lies. Raises `OSError`, and then it is not there."""
        if not self._is_clean:
            self.mend()
        if self._makes_room and length <= _SMALL_FRAME_BYTES and self.end + length > self._room_end:
            self._make_room()
        offset = self.end
        self._is_clean = False
        try:
            self._disk.write(self._file, parts, offset)
            if self._syncs:
                self._disk.sync(self._file)
            self.end = offset + length
            self._is_clean = True
        except BaseException as error:
            # Whatever it was, an interrupt too: who hears of it takes the frame for refused.
            self.end, self._is_clean = offset, False
            try:
                self.mend()
            except OSError as further:
                error.add_note(f"nor could what was written be cut off: {further}")
            raise
        return offset

    def _make_room(self) -> None:
        start = max(self._room_end, self.end)
        try:
            self._disk.lengthen(self._file, start, _ROOM_BYTES)
        except OSError:
            # The frame itself may well fit; what there is of zeros harms nobody.
            self._makes_room = False
        else:
            self._room_end = start + _ROOM_BYTES

    def mend(self) -> None:
        """Cuts off what no frame owns. Raises `OSError`; then the next append tries it again."""
        if not self._is_clean:
            self.seal()

    def restore_header(self) -> None:
        """Makes the header whole, where it is not: the mark may have been known from elsewhere. Raises `OSError`."""
        header = segment_header(self.mark, self._identity)
        if os.pread(self._file, len(header), 0) != header:
            self._disk.write(self._file, [header], 0)
            self._disk.sync(self._file)

    def seal(self) -> None:
        """The file ends with its last frame, and all of it is on the disk. Raises `OSError`."""
        self._disk.cut(self._file, self.end)
        self._room_end = self.end
        self.sync()
        self._is_clean = True

    def sync(self) -> None:
        """All frames survive the machine, also where appends do not sync. From any thread, until `close`.

        Raises `OSError`; where appends do not sync it does so from then on: what the system could not store it may
        have forgotten, and the next sync would not say so.
        """
        if self._is_unsafe:
            raise OSError(errno.EIO, "an earlier sync of the log has failed")
        try:
            self._disk.sync(self._file)
        except OSError:
            self._is_unsafe = not self._syncs
            raise

    def close(self) -> None:
        """The file ends with its last frame, if the disk lets it."""
        try:
            if not self._is_clean:
                self.mend()
            elif self._room_end > self.end:
                self._disk.cut(self._file, self.end)
        except OSError as error:
            # Zeros harm nobody.
            if not self._is_clean:
                log.warning("%s: what was refused may be there at the next start: %s", self.path, error)
        finally:
            os.close(self._file)
