"""What becomes of commands that were encoded when they were made, and cannot be stored in a batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from engine.core.records import Record, RecordType
from engine.log.codec import encode_records

log = logging.getLogger("penstock.partition")

_TOO_DEEP = "its value is nested too deep to be stored"


def storable(records: Sequence[Record], partition: int) -> list[Record]:
    """The records of timers and messages, and in place of each that is nested too deep for a batch its rejection.

    By itself a command is nested less deep than in a batch, so that one may come as far as this. Whoever made it is
    asked no more, and those behind it would wait for it forever.
    """
    return [record if _is_storable(record) else _rejection(record, partition) for record in records]


def _is_storable(record: Record) -> bool:
    try:
        encode_records([record])
    except RecursionError:
        return False
    return True


def _rejection(record: Record, partition: int) -> Record:
    log.warning("partition %d: a command %r of another record is rejected: %s", partition, record.intent, _TOO_DEEP)
    return Record(
        RecordType.REJECTION,
        record.value_type,
        record.intent,
        record.key,
        {"reason": _TOO_DEEP, "value": None},
        record.source_position,
    )
