"""The last states of a task, written by its thread and read by others while it writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from engine.core.snapshot import BlockReason

TaskState = Literal["busy", "idle"] | BlockReason
# Since when (monotonic), and which.
Transition = tuple[int, TaskState]

# Enough to judge a sample that was taken a few switch intervals late. A power of two.
RING_LENGTH = 64


class Transitions:
    """One thread adds, any reads; nobody locks, and nobody iterates over what another changes.

    Invariant: a transition is in its slot before `_count` says so. A reader copies the slots between two readings of
    the count and keeps what cannot have been overwritten meanwhile.
    """

    __slots__ = ("_count", "_slots")

    def __init__(self, transitions: Sequence[Transition] = ()) -> None:
        self._slots: list[Transition | None] = [None] * RING_LENGTH
        self._count = 0
        for since_ns, state in transitions:
            self.add(since_ns, state)

    def add(self, since_ns: int, state: TaskState) -> None:
        """The state changed; for the task's own thread."""
        count = self._count
        self._slots[count & (RING_LENGTH - 1)] = (since_ns, state)
        self._count = count + 1

    @property
    def last(self) -> Transition | None:
        """None before the first one."""
        count = self._count
        return self._slots[(count - 1) & (RING_LENGTH - 1)] if count else None

    def read(self) -> tuple[Sequence[Transition], bool]:
        """The last ones, oldest first, and whether older ones are forgotten."""
        until = self._count
        slots = self._slots.copy()
        # The one that is just being written goes over the oldest.
        begin = max(0, self._count - RING_LENGTH + 1)
        found = [slots[number & (RING_LENGTH - 1)] for number in range(begin, until)]
        return [one for one in found if one is not None], begin > 0
