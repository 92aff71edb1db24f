"""The end of the log that is written: one file, frames put behind one another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from engine.log.disk import Disk

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

    def __init__(self, path: Path, end: int, *, disk: Disk, syncs: bool) -> None:
        self.path = path
        self.end = end
        self._disk = disk
        self._syncs = syncs
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        # Whatever lies behind the end was written by nobody whom we know.
        self._is_clean = os.fstat(self._file).st_size == end
        # Zeros reach up to here, if further than the end.
        self._room_end = end
        self._makes_room = syncs

    def append(self, parts: Sequence[bytes], length: int) -> int:
        """Where the frame of this length lies. Raises `OSError`, and then it is not there."""
        if not self._is_clean:
            self.mend()
        if self._makes_room and length <= _SMALL_FRAME_BYTES and self.end + length > self._room_end:
            self._make_room()
        self._is_clean = False
        try:
            self._disk.write(self._file, parts, self.end)
            if self._syncs:
                self._disk.sync(self._file)
        except OSError as error:
            try:
                self.mend()
            except OSError as further:
                error.add_note(f"nor could what was written be cut off: {further}")
            raise
        self._is_clean = True
        offset = self.end
        self.end += length
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

    def seal(self) -> None:
        """The file ends with its last frame, and all of it is on the disk. Raises `OSError`."""
        self._disk.cut(self._file, self.end)
        self._room_end = self.end
        self._disk.sync(self._file)
        self._is_clean = True

    def sync(self) -> None:
        """All frames survive the machine, also where appends do not sync. From any thread, until `close`."""
        self._disk.sync(self._file)

    def close(self) -> None:
        if self._room_end > self.end and self._is_clean:
            # Where this fails, the zeros stay.
            with suppress(OSError):
                self._disk.cut(self._file, self.end)
        os.close(self._file)
