"""What a log is stored in: one small protocol, so that files, memory or a distributed log can stand behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from engine.core.unit import Recovered, Unit
from engine.log.codec import EncodedBatch


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A unit on its way into the storage, with its records encoded; `batch` is None for a unit without records."""

    unit: Unit
    batch: EncodedBatch | None


# Why a storage refuses, as a metric's label says it.
FAILURE_REASONS = ("disk_full", "io_error", "storage_error")


class StorageError(Exception):
    """The storage could not do what was asked. `reason` is one of `FAILURE_REASONS`."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class DeletedError(Exception):
    """Somebody asks for a position that retention has deleted. Nobody who has a place in the partition ever does."""

    def __init__(self, position: int, oldest_position: int) -> None:
        super().__init__(f"position {position} has been deleted, the oldest is {oldest_position}")
        self.position = position
        self.oldest_position = oldest_position


class LogStorage(Protocol):
    """Keeps one partition: its batches, and the small state that commits together with them.

    Duties of the storage:
    - `commit` makes all entries durable, in order, or none: after it returned they survive `kill -9`; after it
      raised `StorageError` nothing of them is there, now or after a restart.
    - `read` sees everything committed before the call, from any thread, beside a running `commit`.
    - `state_get` and `state_scan` see all that is committed.
    Duties of the caller: `recover` first and once; one `commit` or `delete_before` at a time; positions of batches
    are dense and rising; `close` last.
    """

    def recover(self) -> Recovered:
        """Opens the partition and says what it holds. Raises `DataFolderError` for a format it does not know."""
        ...

    def commit(self, entries: Sequence[Entry]) -> None: ...

    def read(self, position: int, max_records: int) -> list[EncodedBatch]:
        """Batches from the one that holds `position` on, until `max_records` are covered; empty past the end.

        They have no gap. Raises `DeletedError` where retention has deleted `position`. Positions of which nothing is
        known any more come as a batch without a blob whose checksum does not match.
        """
        ...

    def state_get(self, key: str) -> bytes | None: ...

    def state_scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Pairs whose key begins with `prefix`, keys ascending by code point."""
        ...

    def delete_before(self, position: int, max_batches: int) -> int:
        """Deletes up to `max_batches` batches that end before `position`; returns how many."""
        ...

    def close(self) -> None:
        """Waits for reads that are under way; later ones raise `StorageError`, or find what is still there."""
        ...
