"""What was handed over and is not known to be safe yet."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Part:
    """`count` records that end at `last_position`, of which the `wanted` ones were handed over together."""

    count: int
    last_position: int
    wanted: int
    # Of the last wanted record; the one before the first where none is wanted.
    last_wanted_position: int
    # (wall time, how many records) for each run of them that were written together.
    written: tuple[tuple[int, int], ...]
    # How many of the wanted ones were set aside.
    set_aside: int = 0


class HandedOver:
    """The parts that an exporter has taken and not acknowledged, oldest first.

    What nobody wanted behind a record is acknowledged with that record.
    """

    def __init__(self) -> None:
        self._parts: deque[Part] = deque()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, part: Part) -> None:
        self._parts.append(part)

    def set_aside(self, position: int) -> None:
        """The record at `position` is waited for no more."""
        for part in self._parts:
            if position <= part.last_position:
                part.set_aside += 1
                return

    def safe(self, position: int, first_refused: int | None) -> list[Part]:
        """The parts all of which is safe up to `position`, and in front of the first record that is still refused.

        They are forgotten here.
        """
        done = []
        while self._parts and self._parts[0].last_wanted_position <= position:
            if first_refused is not None and first_refused <= self._parts[0].last_position:
                break
            done.append(self._parts.popleft())
        return done

    def forget(self) -> None:
        self._parts.clear()
