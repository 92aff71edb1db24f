"""What stands where something was lost, so that positions stay what they were and no number is given twice."""

from __future__ import annotations

from collections.abc import Iterator

from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Message, Timer, Unit
from engine.log.codec import EncodedBatch, checksum_of, encode_batch
from engine.log.findings import Damage

LOST_VALUE_TYPE = "penstock"
LOST_INTENT = "lost"
_RECORDS_PER_BATCH = 1000
# No commit gives more numbers than this: what it changes has fewer bytes.
_NUMBERS_PER_COMMIT = 1 << 32
_NUMBER_MAX = (1 << 63) - 2
_NOBODY = 0


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


def lost_changes(next_timer_id: int, next_sequence: int, commits: int) -> Unit:
    """Jumps over all numbers that so many lost commits can have given to timers and messages.

    A receiver takes a number that it has had for a message that it has had. So a timer and a message to nobody come
    and go at once: as everywhere, all they leave is that their numbers have been given.
    """
    jump = commits * _NUMBERS_PER_COMMIT
    timer_id, sequence = min(next_timer_id + jump, _NUMBER_MAX), min(next_sequence + jump, _NUMBER_MAX)
    return Unit(
        source=WriteSource.INTERNAL,
        timers_added=[Timer(timer_id, 0, b"")],
        timers_fired=[timer_id],
        outbox=[Message(sequence, _NOBODY, b"")],
        delivered={_NOBODY: sequence},
    )
