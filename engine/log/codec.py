"""How records become bytes: a batch as columns in MessagePack, in one call, with a checksum over it.

What the records of a batch share (their type, value type and intent, mostly) is written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any
from zlib import crc32

import msgspec

from engine.core.columns import Columns, Content, Head
from engine.core.record_batch import RecordBatch
from engine.core.records import Kind, WriteSource


class _Columns(msgspec.Struct, array_like=True, gc=False):
    """The records of a batch as they are stored; all lists but `heads` are as long as the batch."""

    # Each once.
    heads: Sequence[Head]
    # Place of each record's head; None where all have the same.
    head_of: list[int] | None
    keys: list[str]
    # Any, as in `Record`.
    values: list[Any]
    # None where all come from outside.
    source_positions: list[int] | None


_encode_columns = msgspec.msgpack.Encoder().encode
_decode_columns = msgspec.msgpack.Decoder(_Columns).decode
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


def encode_batch(content: Content) -> tuple[bytes, str]:
    """Blob and kinds of a batch.

    Raises one of `storable.UNSTORABLE` for a value that MessagePack cannot say. How deep a value is nested has been
    asked before.
    """
    columns = Columns.of(content) if isinstance(content, list) else content
    heads, keys = columns.heads, columns.keys
    # What is stored as something else could not be read again.
    kinds_of_words = {type(word) for head in heads for word in head} | {*map(type, keys)}
    if not all(issubclass(kind, str) for kind in kinds_of_words):
        raise TypeError("value type, intent and key of a record are str")
    stored = _Columns(heads, columns.head_of, keys, columns.values, columns.source_positions)
    return _encode_columns(stored), _encoded_kinds(frozenset([head[:2] for head in heads]))


def checksum_of(blob: bytes, first_position: int, count: int, kinds: str = "") -> int:
    """CRC-32 of the content, begun with the place, so that a batch moved elsewhere is noticed too.

    The kinds count as content: a reader who wants none of them never looks at the rest.
    """
    return crc32(blob, crc32(b"%d:%d:%s" % (first_position, count, kinds.encode())))


@lru_cache(maxsize=1024)
def _encoded_kinds(kinds: frozenset[Kind]) -> str:
    """What `EncodedBatch.kinds` says of them."""
    return _encode_kinds(sorted(kinds)).decode() if len(kinds) <= _KINDS_MAX else ""


@lru_cache(maxsize=16)
def _source_named(name: str) -> WriteSource:
    return WriteSource(name)


@lru_cache(maxsize=1024)
def _decoded_kinds(kinds: str) -> frozenset[Kind] | None:
    return frozenset(_decode_kinds(kinds)) if kinds else None


def decode_batch(batch: EncodedBatch) -> RecordBatch:
    """Raises `ValueError` with what is wrong when the content does not match its checksum.

    The records themselves are decoded when somebody asks for them.
    """
    if checksum_of(batch.blob, batch.first_position, batch.count, batch.kinds) != batch.checksum:
        raise ValueError("its checksum does not match its content")
    return opened(batch)


def opened(batch: EncodedBatch) -> RecordBatch:
    """A batch that nobody can have damaged, without a look at its checksum."""
    return RecordBatch(
        first_position=batch.first_position,
        count=batch.count,
        timestamp_ns=batch.timestamp_ns,
        source=_source_named(batch.source),
        kinds=_decoded_kinds(batch.kinds),
        decode=partial(_columns_of, batch),
    )


def _columns_of(batch: EncodedBatch) -> Columns:
    count = batch.count
    stored = _decode_columns(batch.blob)
    for column in (stored.keys, stored.values, stored.head_of, stored.source_positions):
        if column is not None and len(column) != count:
            raise ValueError(f"it holds {len(column)} records where {count} are stated")
    if max([0] if stored.head_of is None else stored.head_of, default=-1) >= len(stored.heads):
        raise ValueError(f"it names heads beyond the {len(stored.heads)} it holds")
    return Columns(
        first_position=batch.first_position,
        timestamp_ns=batch.timestamp_ns,
        heads=stored.heads,
        head_of=stored.head_of,
        keys=stored.keys,
        values=stored.values,
        source_positions=stored.source_positions,
    )
