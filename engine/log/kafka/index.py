"""Where positions lie in the log topic. An offset is only an address: transactions leave holes between them."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from threading import Lock

_ENTRIES_MAX = 1 << 17


class OffsetIndex:
    """First position and offset of batches that were written or read of late; what it has not is searched for.

    Invariant: positions and offsets rise together. Any thread may call it.
    """

    def __init__(self, entries_max: int = _ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._lock = Lock()
        self._positions = array("q")
        self._offsets = array("q")

    def add(self, position: int, offset: int) -> None:
        with self._lock:
            if not self._positions or position > self._positions[-1]:
                self._positions.append(position)
                self._offsets.append(offset)
            else:
                at = bisect_right(self._positions, position)
                if at and self._positions[at - 1] == position:
                    return
                self._positions.insert(at, position)
                self._offsets.insert(at, offset)
            if len(self._positions) > self._entries_max:
                # The oldest are what retention takes next, and what is read least.
                half = self._entries_max // 2
                del self._positions[:half], self._offsets[:half]

    def around(self, position: int) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """The last entry at or before the position, and the first behind it."""
        with self._lock:
            at = bisect_right(self._positions, position)
            before = (self._positions[at - 1], self._offsets[at - 1]) if at else None
            behind = (self._positions[at], self._offsets[at]) if at < len(self._positions) else None
            return before, behind

    def starts(self, position: int, count: int) -> list[tuple[int, int]]:
        """The entries from the one at `position` on; none where there is no such."""
        with self._lock:
            at = bisect_right(self._positions, position) - 1
            if at < 0 or self._positions[at] != position:
                return []
            return [*zip(self._positions[at : at + count], self._offsets[at : at + count], strict=True)]

    def forget_before(self, position: int) -> None:
        with self._lock:
            at = bisect_right(self._positions, position - 1)
            del self._positions[:at], self._offsets[:at]
