"""Records that were stored together, decoded when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable

from engine.core.columns import Columns
from engine.core.records import Kind, Record, RecordType, WriteSource


class RecordBatch:
    """Records that were stored together: positions `first_position`, +1, +2 … in this order.

    `kinds` are the kinds of records in it; None when it may hold any. The content is decoded when it is first asked
    for: who wants none of the kinds never pays for that, nor for records who reads columns. One thread at a time.
    """

    __slots__ = ("_columns", "_decode", "_records", "count", "first_position", "kinds", "source", "timestamp_ns")

    def __init__(
        self,
        *,
        first_position: int,
        count: int,
        timestamp_ns: int,
        source: WriteSource,
        kinds: frozenset[Kind] | None,
        decode: Callable[[], Columns],
    ) -> None:
        self.first_position = first_position
        self.count = count
        self.timestamp_ns = timestamp_ns
        self.source = source
        self.kinds = kinds
        self._decode = decode
        self._columns: Columns | None = None
        self._records: list[Record] | None = None

    @property
    def last_position(self) -> int:
        return self.first_position + self.count - 1

    @property
    def columns(self) -> Columns:
        """Raises `ValueError` when the content is not what it says it is."""
        if self._columns is None:
            self._columns = self._decode()
        return self._columns

    @property
    def records(self) -> list[Record]:
        """Raises as `columns` does."""
        if self._records is None:
            self._records = self.columns.records()
        return self._records

    def records_from(self, position: int) -> list[Record]:
        """Those at `position` and behind it."""
        return self.records if position <= self.first_position else self.records[position - self.first_position :]

    def records_between(self, first: int, last: int) -> list[Record]:
        """Those from position `first` to `last`, both in this batch."""
        begin, end = first - self.first_position, last - self.first_position + 1
        return self.records if end - begin == self.count else self.records[begin:end]

    def may_hold(self, record_type: RecordType) -> bool:
        return self.kinds is None or any(kind[0] == record_type for kind in self.kinds)

    def holds_only(self, record_type: RecordType) -> bool:
        """False also where nobody knows."""
        return self.kinds is not None and all(kind[0] == record_type for kind in self.kinds)
