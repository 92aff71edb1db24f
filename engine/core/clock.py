"""Time, injected: every rule reads it from a `Clock`, so that tests can turn it by hand."""

from __future__ import annotations

import time
from typing import Protocol

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    """Gives the two times the engine knows, as integer nanoseconds. Callable from any thread."""

    def monotonic_ns(self) -> int:
        """Time for durations, rates and limits; never goes back."""
        ...

    def wall_ns(self) -> int:
        """Time since the epoch, for what leaves the engine; may jump either way."""
        ...


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ("monotonic_ns", "wall_ns")

    def __init__(self) -> None:
        # Bound here so that a reading costs one C call and no Python frame.
        self.monotonic_ns = time.monotonic_ns
        self.wall_ns = time.time_ns


class ManualClock:
    """A clock that moves only when told to: logic is tested on it, hours in a blink."""

    def __init__(self, *, monotonic_ns: int = 0, wall_ns: int = 1_700_000_000 * NS_PER_SECOND) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def wall_ns(self) -> int:
        return self._wall_ns

    def advance(self, seconds: float) -> None:
        """Moves both clocks forward together."""
        self.advance_ns(round(seconds * NS_PER_SECOND))

    def advance_ns(self, step_ns: int) -> None:
        assert step_ns >= 0, "monotonic time does not go back"
        self._monotonic_ns += step_ns
        self._wall_ns += step_ns

    def jump_wall(self, seconds: float) -> None:
        """Steps the wall clock alone, as an operator or NTP would."""
        self._wall_ns += round(seconds * NS_PER_SECOND)
