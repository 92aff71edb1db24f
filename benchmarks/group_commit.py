"""The floor under group commit: writers that share a write and a sync, and do nothing else."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path

from benchmarks.at_once import Times, at_once

_RECORD = b"x" * 200


class _Ticket:
    """A record that waits; its writer sleeps on `wake` until it is `done` or has to lead."""

    __slots__ = ("done", "wake")

    def __init__(self) -> None:
        self.done = False
        self.wake = threading.Lock()
        self.wake.acquire()


class SharedFile:
    """A raw file whose writers take turns in leading, as those of the engine's log do."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._lock = threading.Lock()
        self._line: deque[_Ticket] = deque()
        self._leading = False

    def append(self) -> None:
        ticket = _Ticket()
        with self._lock:
            waits = self._leading
            if waits:
                self._line.append(ticket)
            self._leading = True
        if not waits:
            self._lead([ticket])
            return
        ticket.wake.acquire()
        if not ticket.done:
            with self._lock:
                tickets = [self._line.popleft() for _ in range(len(self._line))]
            self._lead(tickets)

    def _lead(self, tickets: list[_Ticket]) -> None:
        os.write(self._file, _RECORD * len(tickets))
        os.fdatasync(self._file)
        for ticket in tickets:
            ticket.done = True
            ticket.wake.release()
        with self._lock:
            if self._line:
                self._line[0].wake.release()
            else:
                self._leading = False

    def close(self) -> None:
        os.close(self._file)


def hand_made(folder: Path, threads: int, seconds: float) -> Times:
    """Acknowledged records of so many threads."""
    file = SharedFile(folder / "shared")
    try:
        return at_once(file.append, threads, seconds)
    finally:
        file.close()
