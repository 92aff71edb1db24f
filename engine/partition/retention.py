"""What of a log nobody needs any more, and how much free disk everybody needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

# Nothing is deleted before so much can go; then it goes in steps of so many batches, so many at a time.
_RECORDS_MIN = 1000
_BATCHES_PER_STEP = 100
_STEPS_AT_ONCE = 10


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


class OldRecords:
    """Lets go of what nobody needs, in steps that hold no writer up for long. One thread at a time, the ticker.

    `delete_before` deletes at most so many batches before a position, and says how many.
    """

    def __init__(self, retention: Retention, oldest_position: int, delete_before: Callable[[int, int], int]) -> None:
        self._retention = retention
        self._kept_from = oldest_position
        self._delete_before = delete_before

    def let_go(self, done: Iterable[int | None]) -> None:
        """`done` as in `Retention.keep_from`. Raises what `delete_before` does; the next call goes on."""
        keep_from = self._retention.keep_from(done)
        if keep_from is None or keep_from < self._kept_from + _RECORDS_MIN:
            return
        for _ in range(_STEPS_AT_ONCE):
            if self._delete_before(keep_from, _BATCHES_PER_STEP) < _BATCHES_PER_STEP:
                self._kept_from = keep_from
                return


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
