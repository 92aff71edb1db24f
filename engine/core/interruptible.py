"""Waiting on the main thread in a way that signals get through."""

from __future__ import annotations

import time
from threading import Event

# How late a signal may be noticed that came just as the wait began.
_LOOK_SECONDS = 0.2


def wait_for(event: Event, timeout_seconds: float | None = None) -> bool:
    """Like `event.wait`, in short pieces.

    A signal that arrives between Python's last look and the system call that waits sets a flag that nobody reads until
    the wait is over, which for one without end is never.
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while True:
        rest = _LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, deadline - time.monotonic())
        if event.wait(max(0.0, rest)):
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False
