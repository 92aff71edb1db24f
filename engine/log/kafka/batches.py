"""A batch as a message of the log topic: the blob is its value, all else its header."""

from __future__ import annotations

import msgspec

from engine.log.codec import EncodedBatch

HEADER = "h"


class _Header(msgspec.Struct, array_like=True, frozen=True, gc=False):
    first_position: int
    count: int
    timestamp_ns: int
    source: str
    checksum: int
    kinds: str


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Header).decode


def header_of(batch: EncodedBatch) -> bytes:
    return _pack(
        _Header(batch.first_position, batch.count, batch.timestamp_ns, batch.source, batch.checksum, batch.kinds)
    )


def batch_of(headers: list[tuple[str, bytes]] | None, blob: bytes | None) -> EncodedBatch:
    """Raises `ValueError` for a message that is no batch."""
    for name, value in headers or ():
        if name == HEADER:
            h = _unpack(value)
            return EncodedBatch(h.first_position, h.count, h.timestamp_ns, h.source, h.checksum, blob or b"", h.kinds)
    raise ValueError("it has no header of Penstock's: somebody else has written into the topic")
