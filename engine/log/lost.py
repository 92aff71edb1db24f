"""Records that stand where others were lost, so that positions stay what they were."""

from __future__ import annotations

from collections.abc import Iterator

from engine.log.codec import EncodedBatch, checksum_of, encode_batch
from engine.log.findings import Damage
from engine.records import Record, RecordType, WriteSource

LOST_VALUE_TYPE = "penstock"
LOST_INTENT = "lost"
_RECORDS_PER_BATCH = 1000


def lost_batches(damage: Damage) -> Iterator[EncodedBatch]:
    """Batches over exactly the positions of the damage; the first record says what happened."""
    value = {"firstPosition": damage.first_position, "lastPosition": damage.last_position, "why": damage.why}
    for first in range(damage.first_position, damage.last_position + 1, _RECORDS_PER_BATCH):
        count = min(_RECORDS_PER_BATCH, damage.last_position - first + 1)
        records = [
            Record(
                RecordType.EVENT,
                LOST_VALUE_TYPE,
                LOST_INTENT,
                "",
                value if first + i == damage.first_position else None,
            )
            for i in range(count)
        ]
        blob, kinds = encode_batch(records)
        yield EncodedBatch(
            first,
            count,
            damage.timestamp_ns,
            WriteSource.INTERNAL,
            checksum_of(blob, first, count, kinds),
            blob,
            kinds,
        )
