"""A step that can be made slow, as one that asks a slow neighbour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.demo.pace import Pace


class SlowStep:
    """Calls `function`, at most at the pace. The step's thread calls it; the wait is its own time, so it is busy."""

    def __init__(self, function: Callable[[Any], Any], pace: Pace) -> None:
        self._function = function
        self._pace = pace

    def __call__(self, value: Any) -> Any:
        self._pace.wait(1)
        return self._function(value)
