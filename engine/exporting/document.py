"""A record as the outside gets it: one JSON object with the names that are documented."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Any

import msgspec

from engine.core.clock import NS_PER_MS
from engine.core.columns import Columns
from engine.core.records import Record
from engine.exporting.run import Run

_encoder = msgspec.json.Encoder()
# The log keeps more than JSON can say (an object whose key is a pair, say), and nests deeper than every reader can.
UNSAYABLE = (TypeError, ValueError, OverflowError, RecursionError)


class Document(msgspec.Struct, rename="camel", gc=False):
    """The shape. `timestamp` is in milliseconds since the epoch."""

    position: int
    partition: int
    timestamp: int
    record_type: str
    value_type: str
    intent: str
    key: str
    value: Any
    source_position: int


def document(record: Record, partition: int) -> Document:
    """A value of bytes is text if it is UTF-8, else `{"base64": …}`."""
    value = record.value
    return Document(
        record.position,
        partition,
        record.timestamp_ns // NS_PER_MS,
        record.record_type,
        record.value_type,
        record.intent,
        record.key,
        _as_text(value) if isinstance(value, bytes) else value,
        record.source_position,
    )


def documents(records: Iterable[Record], partition: int) -> list[Document]:
    """One for each record, made from its columns where they stand."""
    if not isinstance(records, Run):
        return [document(record, partition) for record in records]
    parts = [
        _of_columns(part, partition) if isinstance(part, Columns) else documents(part, partition)
        for part in records.parts
    ]
    return [*chain.from_iterable(parts)]


def _of_columns(columns: Columns, partition: int) -> Iterable[Document]:
    values = columns.values
    if bytes in {*map(type, values)}:
        values = [_as_text(value) if isinstance(value, bytes) else value for value in values]
    # All of it runs in C.
    return map(
        Document,
        columns.positions,
        repeat(partition),
        repeat(columns.timestamp_ns // NS_PER_MS),
        *columns.words(),
        columns.keys,
        values,
        columns.sources(),
    )


def encoded(record: Record, partition: int) -> bytes:
    """Raises one of `UNSAYABLE`."""
    return _encoder.encode(document(record, partition))


def encoded_lines(records: Iterable[Record], partition: int) -> bytes:
    """Newline-delimited JSON, with an end behind the last line. Raises one of `UNSAYABLE`."""
    return _encoder.encode_lines(documents(records, partition))


def sayable_lines(records: Sequence[Record], partition: int) -> tuple[bytes, dict[int, str]]:
    """The lines of all records that JSON can say, and by position why the others have none."""
    try:
        return encoded_lines(records, partition), {}
    except UNSAYABLE:
        pass
    lines: list[bytes] = []
    unsayable: dict[int, str] = {}
    for record in records:
        try:
            lines.append(encoded(record, partition))
        except UNSAYABLE as error:
            unsayable[record.position] = why_unsayable(error)
    return b"".join(line + b"\n" for line in lines), unsayable


def why_unsayable(error: Exception) -> str:
    return f"JSON cannot say its value: {error}"


def encoded_value(record: Record) -> bytes:
    """The record's value alone, as JSON. Raises one of `UNSAYABLE`."""
    value = record.value
    return _encoder.encode(_as_text(value) if isinstance(value, bytes) else value)


def _as_text(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}
