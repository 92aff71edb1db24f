"""Bytes of a file, a stretch at a time, so that small neighbours share a call of the system."""

from __future__ import annotations

import os


class Window:
    """Reads from an open file; for one thread."""

    def __init__(self, file: int, *, bytes_ahead: int = 1 << 16) -> None:
        self._file = file
        self._bytes_ahead = bytes_ahead
        self._start = 0
        self._held = b""

    def bytes(self, start: int, length: int) -> bytes:
        """Fewer than `length` where the file ends before."""
        at = start - self._start
        if at < 0 or at + length > len(self._held):
            if length >= self._bytes_ahead:
                return os.pread(self._file, length, start)
            self._held = os.pread(self._file, self._bytes_ahead, start)
            self._start, at = start, 0
        return self._held[at : at + length]
