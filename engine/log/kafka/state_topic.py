"""The rows of the small state in their topic: read to the end at the opening, and looked at where it is in doubt."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from engine.core.errors import NewerFormatError
from engine.log.kafka import rows
from engine.log.kafka.cache import Cache
from engine.log.kafka.reading import TopicReader

_FETCH_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Restoring:
    """How far the state was read at the opening, as one value that other threads may look at."""

    rows: int = 0
    # Offsets up to the end of the topic: some hold no row of ours.
    remaining: int = 0
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.started

    def at(self, rows: int, remaining: int) -> Restoring:
        return replace(self, rows=rows, remaining=remaining)

    def over(self) -> Restoring:
        return replace(self, remaining=0, ended=time.monotonic())


class StateTopic:
    """Has the head, which is the last commit's. For who opens the partition or writes to it; any thread may look."""

    def __init__(self, name: str, reader: Callable[[int], TopicReader]) -> None:
        """`reader` makes one that fetches so many bytes at once."""
        self._name = name
        self._reader = reader
        self.head = rows.Head()
        # Behind the last row of ours.
        self.offset = 0
        self.restoring = Restoring()

    def restore(self, cache: Cache) -> None:
        """Brings the cache to the end. Raises `StorageError` and `NewerFormatError`."""
        reader = self._reader(_FETCH_BYTES)
        try:
            low, high = reader.bounds()
            self.offset = cache.open(low, high)
            count = 0
            self.restoring = self.restoring.at(count, high - self.offset)
            for messages in reader.all_from(self.offset):
                head, _ = cache.take_in(messages)
                self._take(head)
                self.offset = int(messages[-1].offset() or 0) + 1
                count += len(messages)
                self.restoring = self.restoring.at(count, max(0, high - self.offset))
            if self.head.commit == 0:
                # Nothing was committed since the cache was written: it has the head as of then.
                self.head = rows.head_in(cache.connections.writer)
        finally:
            reader.close()

    def _take(self, head: rows.Head | None) -> None:
        if head is None:
            return
        if head.format > rows.FORMAT:
            raise NewerFormatError(
                f"{self._name} was written by a newer Penstock (format {head.format}), this one reads {rows.FORMAT}; "
                "use the version that wrote it"
            )
        self.head = head

    def last_words(self) -> tuple[rows.Head, rows.Owner | None]:
        """The head as it stands now, and who has said since that the partition is his. Raises `StorageError`."""
        reader = self._reader(1 << 20)
        head = self.head
        owner: rows.Owner | None = None
        try:
            for messages in reader.all_from(self.offset):
                for m in messages:
                    if m.key() == rows.HEAD_KEY:
                        head = rows.head_of(m.value() or b"")
                    elif m.key() == rows.OWNER_KEY:
                        owner = rows.owner_of(m.value() or b"")
        finally:
            reader.close()
        return head, owner
