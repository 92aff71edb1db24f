"""What was handed over and is not known to be safe yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from engine.exporting.protocol import Safe
from engine.records import Record


@dataclass(frozen=True, slots=True)
class Part:
    """Records that were read together, of which those that are wanted were handed over together."""

    records: Sequence[Record]
    wanted: int
    # Of the last wanted record; the one before the first where none is wanted.
    last_wanted_position: int

    @property
    def last_position(self) -> int:
        return self.records[-1].position


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

    def safe(self, safe: Safe) -> list[Part]:
        """The parts all of which is safe now; they are forgotten here."""
        done = []
        while self._parts and self._parts[0].last_wanted_position <= safe.position:
            done.append(self._parts.popleft())
        return done

    def forget(self) -> None:
        self._parts.clear()
