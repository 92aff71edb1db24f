"""What of a log nobody needs any more, and how much free disk everybody needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Retention:
    """Keeps `records` behind what everybody is done with; None keeps all.

    What counts is what is *stored*: an acknowledgement that a crash could take back must not let go of its records.
    """

    records: int | None

    def keep_from(self, done: Iterable[int | None]) -> int | None:
        """The first position to keep, from the stored positions of all exporters and the processor.

        None where nothing may go: nobody reads the log, or somebody's position is not known yet.
        """
        positions = list(done)
        known = [position for position in positions if position is not None]
        if self.records is None or not known or len(known) < len(positions):
            return None
        keep_from = min(known) - self.records + 1
        return keep_from if keep_from > 1 else None


class DiskSpace(Enum):
    """How much room there is: LOW stops what comes in, EXHAUSTED also what is made inside."""

    ENOUGH = 0
    LOW = 1
    EXHAUSTED = 2


def disk_space(free_bytes: int | None, wanted_bytes: int) -> DiskSpace:
    """Unknown is taken for enough: a platform that does not tell must not stop the engine."""
    if free_bytes is None or free_bytes >= wanted_bytes:
        return DiskSpace.ENOUGH
    return DiskSpace.LOW if free_bytes >= wanted_bytes // 4 else DiskSpace.EXHAUSTED
