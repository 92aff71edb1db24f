"""What a look at a partition from outside may find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.core.errors import DataFolderError
from engine.core.records import Record
from engine.log.codec import EncodedBatch, decode_batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What one partition holds. Timestamps are wall-clock nanoseconds, None without a record."""

    partition: int
    path: Path
    # All of its files.
    size_bytes: int
    batches: int
    records: int
    oldest_position: int
    last_position: int
    oldest_timestamp_ns: int | None
    last_timestamp_ns: int | None
    processed_position: int
    # Acknowledged position by exporter, those of earlier configurations included.
    exporters: dict[str, int]
    timers: int
    # Messages that other partitions have not stored yet.
    outbox: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What can no longer be read: positions `first_position` to `last_position`, and why.

    Without records `last_position` is the one before `first_position`: what was damaged held changes alone.
    """

    partition: int
    first_position: int
    last_position: int
    # When they were written, as far as is known.
    timestamp_ns: int
    why: str
    # First and last commit that are damaged as a whole.
    commits: tuple[int, int] | None = None
    # Whether nobody else knows what these commits changed beside their records: keyed state, timers, messages,
    # positions of processor and exporters, progress of sources.
    changes_lost: bool = False

    @property
    def records(self) -> int:
        return self.last_position - self.first_position + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verification found: how much is whole, and what is not."""

    overview: Overview
    damages: tuple[Damage, ...]
    # Bytes behind the last whole commit: of a write that is under way, or that a crash cut short.
    unfinished_bytes: int = 0
    # Why nothing says how far the partition was acknowledged; repair takes the log as it is.
    floor_refused: str = ""

    @property
    def is_whole(self) -> bool:
        return not self.damages and not self.floor_refused


def fault_of(batch: EncodedBatch) -> str | None:
    """Why the batch is damaged; None when it is whole."""
    try:
        if len(decode_batch(batch).records) != batch.count:
            return f"it does not hold {batch.count} records"
    except RecursionError:
        # Its checksum matches, or nobody would have come so far: it is as it was written, and not to be replaced.
        return None
    # Whatever damaged bytes make a decoder say, they are damaged.
    except Exception as error:
        return str(error)
    return None


def whole_records(partition: int, batches: Iterable[EncodedBatch], first: int, last: int | None) -> Iterator[Record]:
    """The records of `batches` from position `first` to `last`, or to the end.

    Raises `DataFolderError` at a batch that is damaged, or nested too deep for this process.
    """
    for batch in batches:
        if last is not None and batch.first_position > last:
            return
        why = fault_of(batch)
        if why:
            raise unreadable(partition, batch.first_position, why)
        try:
            records = decode_batch(batch).records_from(first)
        except RecursionError:
            message = f"partition {partition}: batch at position {batch.first_position} is nested too deep to be read"
            raise DataFolderError(message) from None
        for record in records:
            if last is not None and record.position > last:
                return
            yield record


def unreadable(partition: int, position: int, why: str) -> DataFolderError:
    return DataFolderError(f"partition {partition}: batch at position {position} is damaged: {why}")
