"""What a log is stored in: one small protocol, so that files, memory or a distributed log can stand behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import ClusterSnapshot
from engine.core.unit import Arrival, Recovered, Unit
from engine.log.codec import EncodedBatch


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A unit on its way into the storage, with its records encoded; `batch` is None for a unit without records."""

    unit: Unit
    batch: EncodedBatch | None


# Why a storage refuses, as a metric's label says it.
FAILURE_REASONS = (
    "disk_full",
    "io_error",
    "storage_error",
    "timeout",
    "not_enough_replicas",
    "too_large",
    "fenced",
)
# These are no unit's own fault: what shares a commit with it would fare no better alone, one long wait after the other.
CONCERNING_ALL = ("timeout", "not_enough_replicas", "fenced")


class StorageError(Exception):
    """The storage could not do what was asked. `reason` is one of `FAILURE_REASONS`."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class LostPartitionError(StorageError):
    """Another instance has the partition: nothing is written here any more."""

    def __init__(self, text: str) -> None:
        super().__init__("fenced", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a commit costs decides how often there should be one. The defaults are those of a file of this machine."""

    # How long a writer who is alone waits for company.
    linger_ns: int = 0
    # An acknowledgement and its like ride on the next commit, and on one of their own after this time.
    riders_wait_ns: int = NS_PER_SECOND // 5
    # Whether a call may take seconds, so that whoever looks after many partitions must not wait for it; `delete_before`
    # may be called beside a commit then.
    is_remote: bool = False
    retain_every_ns: int = 0


ON_THIS_MACHINE = Pace()


class Inbox(Protocol):
    """What other partitions have sent to this one, in an order of its own; a message is there once it is committed."""

    def read(self, offset: int, max_messages: int, timeout_ns: int) -> list[Arrival]:
        """Waits for messages from `offset` on; none when the time is over. For one thread. Raises `StorageError`."""
        ...

    def is_read_to(self, offset: int) -> bool:
        """Whether nothing that was committed in this process, or before it began, lies at `offset` or behind it."""
        ...

    def forget_before(self, offset: int) -> None:
        """Nobody will ask for these again."""
        ...


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

    @property
    def pace(self) -> Pace: ...

    @property
    def inbox(self) -> Inbox | None:
        """None where messages wait in the sender's outbox; else they are at the receiver's with the sender's commit."""
        ...

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

    def cluster(self) -> ClusterSnapshot | None:
        """What it has seen of the cluster it is in; None for one on this machine. Any thread."""
        ...

    def attend(self) -> None:
        """Hears what its clients have to tell, which would pile up otherwise; to be called about once a second."""
        ...

    def stop(self) -> None:
        """The end is near: who waits for something outside of the machine gives up. Any thread, any number of times."""
        ...

    def close(self) -> None:
        """Waits for reads that are under way; later ones raise `StorageError`, or find what is still there."""
        ...
