"""The system calls of a log in files that a disk may refuse; in one place, so that tests can be that disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

# What one call may hold; far below every system's limit.
_PARTS_MAX = 512


class Disk:
    """Raises `OSError` where the disk refuses; how much of the call was done is then not known."""

    def write(self, file: int, parts: Sequence[bytes], offset: int) -> None:
        for first in range(0, len(parts), _PARTS_MAX):
            some = parts[first : first + _PARTS_MAX]
            length = sum(map(len, some))
            written = os.pwritev(file, some, offset)
            if written < length:
                # A signal, or a disk that has just become full: the next call says which.
                rest = memoryview(b"".join(some))
                while written < length:
                    written += os.pwrite(file, rest[written:], offset + written)
            offset += length

    def lengthen(self, file: int, offset: int, length: int) -> None:
        """Zeros, so that what is written over them does not change the file's length."""
        os.pwrite(file, bytes(length), offset)

    def sync(self, file: int) -> None:
        """What was written survives the machine."""
        os.fdatasync(file)

    def cut(self, file: int, length: int) -> None:
        os.ftruncate(file, length)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """The names in it survive the machine."""
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)
