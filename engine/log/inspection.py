"""Looks at a partition from outside: what is in it, whether it is whole, and how to go on when it is not.

Reading goes on beside a running engine and changes nothing. Repair is for who holds the data folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from engine.core.records import Record
from engine.log.findings import Damage, Overview, Verdict
from engine.log.local.inspection import SegmentInspection
from engine.log.local.repair import repair_segments
from engine.log.sqlite_inspection import SqliteInspection, repair_database


class Inspection(Protocol):
    """A read-only view of one partition; a context manager. One thread, beside whatever an engine writes.

    Entering raises `DataFolderError` when the partition cannot be opened, or is of another format. Leaving raises it
    when a database itself turned out to be damaged: nothing we could mend.
    """

    @property
    def partition(self) -> int: ...

    def __enter__(self) -> Inspection: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def overview(self) -> Overview: ...

    def records(self, first: int, last: int | None = None) -> Iterator[Record]:
        """The records from position `first` to `last`, or to the end.

        Raises `DataFolderError` at a batch that is damaged.
        """
        ...

    def verify(self) -> Verdict:
        """Holds every batch against its checksum, and every position against the one before, as of one moment."""
        ...


def inspection_of(partition: int, path: Path) -> Inspection:
    """`path` is where the partition lies: a folder of segments, or one database."""
    return SegmentInspection(partition, path) if path.is_dir() else SqliteInspection(partition, path)


def repair(path: Path, damages: Sequence[Damage]) -> None:
    """Puts records that say `lost` in the place of those that can no longer be read.

    Everything behind them stays, and so do all positions: those of processor and exporters hold, and no position is
    ever given twice. For who holds the data folder; after a crash in the middle of it, verify and repair again.
    """
    if path.is_dir():
        repair_segments(path, damages)
    else:
        repair_database(path, damages)
