"""A run of records on their way to an exporter, as records or as columns, whichever it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from engine.core.columns import Columns
from engine.core.records import Record


class Run(Sequence[Record]):
    """Records of rising positions, in parts: columns where all of a batch are wanted, records where some are.

    Who reads `parts` makes no records; they are made, once, for who asks for one. One thread at a time.
    """

    def __init__(self, parts: Sequence[Columns | list[Record]]) -> None:
        """None of the parts is empty."""
        self.parts = parts
        self._count = sum(map(len, parts))
        self._records: list[Record] | None = None

    @property
    def records(self) -> list[Record]:
        if self._records is None:
            self._records = []
            for part in self.parts:
                self._records += part.records() if isinstance(part, Columns) else part
        return self._records

    @property
    def last_position(self) -> int:
        """Of its last record; raises `IndexError` where there is none."""
        last = self.parts[-1]
        return last.positions[-1] if isinstance(last, Columns) else last[-1].position

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self.records[index]
