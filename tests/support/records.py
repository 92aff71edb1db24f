"""Records as the log gives them out."""

from __future__ import annotations

from typing import Any

from engine.core.records import Record, RecordType
from engine.core.unit import Unit
from engine.exporting.protocol import ExporterContext


def record(position: int, value: Any = None, *, value_type: str = "departure", key: str = "JFK") -> Record:
    return Record(
        record_type=RecordType.EVENT,
        value_type=value_type,
        intent="departed",
        key=key,
        value={"n": position} if value is None else value,
        source_position=position - 1,
        position=position,
        timestamp_ns=1_700_000_000_123_456_789,
    )


def records(first: int, last: int) -> list[Record]:
    return [record(position) for position in range(first, last + 1)]


def context(
    partition: int = 1, *, partitions: int = 1, position: int = 0, cursor: bytes | None = None
) -> ExporterContext:
    return ExporterContext("outside", partition, partitions, position, cursor)


def records_of(unit: Unit) -> list[Record]:
    """What a unit brings, however it says it."""
    return unit.records if isinstance(unit.records, list) else unit.records.records()
