"""The record and the words around it: what flows through the log."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from engine.core.storable import check_depth

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
