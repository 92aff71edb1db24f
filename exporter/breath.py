"""Lets other threads have the interpreter now and then, during long work in one of ours."""

from __future__ import annotations

import time

# A millisecond of work or less. Whoever waits for the interpreter would otherwise get it after the five
# milliseconds of `sys.getswitchinterval()`, several times in a row for one request.
_STEPS = 500
# Long enough for a thread on another core to wake up and take it.
_PAUSE_SECONDS = 0.00005


class Breath:
    """Counts the steps of one piece of work, and pauses for a moment after every few hundred. For one thread."""

    def __init__(self) -> None:
        self._steps = 0

    def after(self, steps: int) -> None:
        """So many steps are done since the last call."""
        self._steps += steps
        if self._steps >= _STEPS:
            self._steps = 0
            time.sleep(_PAUSE_SECONDS)
