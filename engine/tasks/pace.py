"""How often a task hands on parts that are not full: every part costs its receiver something, whatever is in it."""

from __future__ import annotations

from engine.core.clock import NS_PER_MS, Clock

# So much time must pass for each part that was handed on, before more that are not full follow. What a part costs
# whatever it holds (two units in the log, three threads that wake) is 0.5 to 0.9 ms of CPU: less than half of this.
PART_NS = 2 * NS_PER_MS
# After this long they follow anyway.
WAIT_MAX_NS = 500 * NS_PER_MS


class PartPace:
    """After a quiet time the next part goes at once; after many, the next ones wait for as long as these are worth.

    So a few values are not kept waiting, and a flood of them leaves in parts that are worth their cost. Behind parallel
    tasks all partitions have to be told each time, and a few values wait too: 2 ms for each partition. One thread.
    """

    __slots__ = ("_clock", "_due_ns")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due_ns = clock.monotonic_ns()

    def wait_ns(self) -> int:
        """How long until parts may go; 0 or less when they may now."""
        return self._due_ns - self._clock.monotonic_ns()

    def handed_on(self, parts: int) -> None:
        """So many have just gone: those that cost something, so not one that only says how far its source is."""
        self._due_ns = self._clock.monotonic_ns() + min(parts * PART_NS, WAIT_MAX_NS)
