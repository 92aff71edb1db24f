"""How records become bytes: MessagePack arrays, a whole batch in one call, with a checksum over it."""

from __future__ import annotations

from functools import lru_cache, partial
from zlib import crc32

import msgspec

from engine.records import Kind, Record, RecordBatch, WriteSource

_encode_records = msgspec.msgpack.Encoder().encode
_decode_records = msgspec.msgpack.Decoder(list[Record]).decode
_encode_kinds = msgspec.json.Encoder().encode
_decode_kinds = msgspec.json.Decoder(list[Kind]).decode
# A batch of more kinds than this is read by everybody.
_KINDS_MAX = 16


class EncodedBatch(msgspec.Struct, frozen=True, gc=False):
    """A batch as it is stored: `count` records from `first_position` on."""

    first_position: int
    count: int
    timestamp_ns: int
    source: str
    checksum: int
    blob: bytes
    # The kinds of its records as JSON; empty when there are many, or nobody knows.
    kinds: str = ""

    @property
    def last_position(self) -> int:
        return self.first_position + self.count - 1


def encode_records(records: list[Record]) -> bytes:
    """Raises `TypeError` or `OverflowError` for a value that MessagePack cannot say."""
    return _encode_records(records)


def checksum_of(blob: bytes, first_position: int, count: int, kinds: str = "") -> int:
    """CRC-32 of the content, begun with the place, so that a batch moved elsewhere is noticed too.

    The kinds count as content: a reader who wants none of them never looks at the rest.
    """
    return crc32(blob, crc32(b"%d:%d:%s" % (first_position, count, kinds.encode())))


def kinds_of(records: list[Record]) -> str:
    """What `EncodedBatch.kinds` says of them."""
    return _encoded_kinds(frozenset({(record.record_type, record.value_type) for record in records}))


@lru_cache(maxsize=1024)
def _encoded_kinds(kinds: frozenset[Kind]) -> str:
    return _encode_kinds(sorted(kinds)).decode() if len(kinds) <= _KINDS_MAX else ""


@lru_cache(maxsize=1024)
def _decoded_kinds(kinds: str) -> frozenset[Kind] | None:
    return frozenset(_decode_kinds(kinds)) if kinds else None


def decode_batch(batch: EncodedBatch) -> RecordBatch:
    """Raises `ValueError` with what is wrong when the content does not match its checksum.

    The records themselves are decoded when somebody asks for them.
    """
    if checksum_of(batch.blob, batch.first_position, batch.count, batch.kinds) != batch.checksum:
        raise ValueError("its checksum does not match its content")
    return RecordBatch(
        first_position=batch.first_position,
        count=batch.count,
        timestamp_ns=batch.timestamp_ns,
        source=WriteSource(batch.source),
        kinds=_decoded_kinds(batch.kinds),
        decode=partial(_records_of, batch),
    )


def _records_of(batch: EncodedBatch) -> list[Record]:
    records = _decode_records(batch.blob)
    if len(records) != batch.count:
        raise ValueError(f"it holds {len(records)} records where {batch.count} are stated")
    position, timestamp_ns = batch.first_position, batch.timestamp_ns
    for record in records:
        record.position = position
        record.timestamp_ns = timestamp_ns
        position += 1
    return records
