"""Keeps what strangers can make a log say from filling it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from time import monotonic

_EVERY_SECONDS = 10.0
# Different lines that are remembered; they are our own texts and few.
_LINES_MAX = 100


class Seldom(logging.Filter):
    """Lets the same line pass at most once in 10 s, and then says how often it was held back. Any thread.

    The same is what has the same text before its values are put in.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._now = now
        self._lock = Lock()
        # By text: from when on it may pass again, and how often it did not since.
        self._held: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._now()
        with self._lock:
            until, held = self._held.get(record.msg, (now, 0))
            if now < until:
                self._held[record.msg] = (until, held + 1)
                return False
            if len(self._held) >= _LINES_MAX:
                self._held.clear()
            self._held[record.msg] = (now + _EVERY_SECONDS, 0)
        if held:
            record.msg = f"{record.getMessage()} ({held} more like this before)"
            record.args = ()
        return True


def seldom_logger(name: str) -> logging.Logger:
    """The logger of this name, but for the repetitions; each call gives one with a memory of its own."""
    logger = logging.Logger(name)
    logger.parent = logging.getLogger(name)
    logger.addFilter(Seldom())
    return logger
