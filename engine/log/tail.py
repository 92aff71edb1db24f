"""The end of the log in memory, so that readers who keep up never go to disk."""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice

from engine.log.codec import EncodedBatch


class TailCache:
    """The newest batches, at most `bytes_max` of them (and always the last one).

    One thread appends, any reads: a reader takes the list as it stands; a cut makes new lists and never changes
    the old ones in front of a reader.
    Invariant: the batches are dense; `_first_positions[i] == _batches[i].first_position`.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        # Replaced together, as one tuple, so that a reader never sees two that do not fit.
        self._content: tuple[list[int], list[EncodedBatch]] = ([], [])

    def append(self, batch: EncodedBatch) -> None:
        first_positions, batches = self._content
        self._bytes += len(batch.blob)
        # Batches before positions: a reader that sees the position finds the batch.
        batches.append(batch)
        first_positions.append(batch.first_position)
        if self._bytes > self._bytes_max and len(batches) > 1:
            self._cut(first_positions, batches)

    def _cut(self, first_positions: list[int], batches: list[EncodedBatch]) -> None:
        # Down to a half at once, so that the copying is paid for by many appends.
        index = 0
        while self._bytes > self._bytes_max // 2 and index < len(batches) - 1:
            self._bytes -= len(batches[index].blob)
            index += 1
        self._content = (first_positions[index:], batches[index:])

    def read(self, position: int, max_records: int) -> list[EncodedBatch] | None:
        """Like `LogStorage.read`, but None when `position` lies before the cache."""
        first_positions, batches = self._content
        index = bisect_right(first_positions, position) - 1
        if index < 0:
            return None
        found: list[EncodedBatch] = []
        covered = 0
        for batch in islice(batches, index, None):
            if batch.last_position < position:
                continue
            found.append(batch)
            covered += batch.last_position - max(position, batch.first_position) + 1
            if covered >= max_records:
                break
        return found
