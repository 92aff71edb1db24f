"""The record and the words around it: what flows through the log."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from engine.core.storable import check_depth

if TYPE_CHECKING:
    from engine.core.columns import Columns


# The value type of the engine's own records.
ENGINE_VALUE_TYPE = "penstock"


class RecordType(StrEnum):
    """A command asks for something, an event says it happened, a rejection that it will not."""

    COMMAND = "command"
    EVENT = "event"
    REJECTION = "rejection"


class WriteSource(StrEnum):
    """The context of a write; flow control and the metrics tell writes apart by it."""

    USER_COMMAND = "user_command"
    PROCESSING_RESULT = "processing_result"
    INTER_PARTITION = "inter_partition"
    SCHEDULED = "scheduled"
    INTERNAL = "internal"


class Record(msgspec.Struct, array_like=True, gc=False):
    """One entry of the log.

    `value` is anything JSON can say, or bytes. `position` and `timestamp_ns` (wall clock) are given by the
    append and are 0 before it; on disk they stand once for a batch, not in each record.
    """

    record_type: str
    value_type: str
    intent: str
    key: str
    # Any, not object: the value is the application's own and its processor knows its shape.
    value: Any
    # Position of the record whose processing wrote this one; -1 for a write from outside.
    source_position: int = -1
    position: int = 0
    timestamp_ns: int = 0


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a record is in the log."""

    partition: int
    position: int


_encode_record = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(Record).decode


def encode_record(record: Record) -> bytes:
    """One record as MessagePack; raises one of `storable.UNSTORABLE` for a value that the log cannot hold."""
    check_depth(record.value)
    if not (isinstance(record.value_type, str) and isinstance(record.intent, str) and isinstance(record.key, str)):
        raise TypeError("value type, intent and key of a record are str")
    return _encode_record(record)


def decode_record(blob: bytes) -> Record:
    return _decode_record(blob)


# Record type and value type of a record.
Kind = tuple[str, str]


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
