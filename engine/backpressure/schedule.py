"""When to look: one moment in every stretch of time, anywhere in it."""

from __future__ import annotations

from random import Random


class Schedule:
    """Deadlines from `start_ns` on: one in each slot of `delay_ns`, at random inside it.

    Slots are absolute, so that a late look delays no other. The random place keeps the samples from falling into step
    with a load that is itself periodic: every moment of its cycle is as likely as any other.
    """

    __slots__ = ("_delay_ns", "_random", "_slot_ns", "next_ns")

    def __init__(self, start_ns: int, delay_ns: int, random: Random) -> None:
        assert delay_ns > 0
        self._delay_ns = delay_ns
        self._random = random
        self._slot_ns = start_ns
        self.next_ns = start_ns + random.randrange(delay_ns)

    def due(self, now_ns: int, *, at_most: int) -> tuple[list[int], int]:
        """The deadlines up to now, oldest first, and how many were skipped because there were more than `at_most`."""
        missed = 0
        behind = (now_ns - self._slot_ns) // self._delay_ns
        if behind > at_most:
            missed = behind - at_most
            self._advance(missed)
        deadlines: list[int] = []
        while self.next_ns <= now_ns and len(deadlines) < at_most:
            deadlines.append(self.next_ns)
            self._advance(1)
        return deadlines, missed

    def _advance(self, slots: int) -> None:
        self._slot_ns += slots * self._delay_ns
        self.next_ns = self._slot_ns + self._random.randrange(self._delay_ns)
