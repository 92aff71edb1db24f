"""The bytes of a log in files of its own: a segment is a header and a row of frames, a frame is one commit.

The header of a segment says its mark: random bytes that nobody but us knows, with which each head in it begins. So
nothing that a client sends can be taken for a head, wherever one is looked for.

A frame is a head of fixed length, what the commit changes, and the blobs of its batches. Head and changes have a
checksum each, a blob has the one that its batch carries: nothing is summed twice. The checksum of a head begins with
the place where it lies: somewhere else it is none. Behind the last frame a segment ends, or is zeros that wait for
more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import NamedTuple
from zlib import crc32

import msgspec

from engine.core.unit import Unit
from engine.log.codec import EncodedBatch
from engine.log.local.identity import IDENTITY_BYTES, LogIdentity
from engine.log.local.storable import check_sizes, check_storable, refused
from engine.log.rows.changes import Changes
from engine.log.storage import Entry

# 2: a segment says whose it is.
FORMAT_VERSION = 2
MARK_BYTES = 8
# Of a segment: magic, format, mark, identity; then the checksum of all this.
_MAGIC = b"PnSg"
_HEADER = Struct(f"<4sI8s{IDENTITY_BYTES}s")
# Of a frame: mark, bytes of the changes, bytes of the blobs, number of the commit, first position, records, checksum
# of the changes; then the checksum of all this.
_FIELDS = Struct("<8sIQQQII")
_CHECKSUM = Struct("<I")
HEAD_BYTES = _FIELDS.size + _CHECKSUM.size
# What a checksum may begin with.
_OFFSET_BITS = 0xFFFFFFFF
# Where the first frame begins.
SEGMENT_HEADER_BYTES = _HEADER.size + _CHECKSUM.size
# So many first bytes of a segment `mark_of` wants to see.
MARK_REACH_BYTES = SEGMENT_HEADER_BYTES + HEAD_BYTES
# More than this in one part of a frame, changes or blobs, is damage, not data; and so much of it one batch may have.
_PART_BYTES_MAX = (1 << 32) - 1
_BATCH_BYTES_MAX = 1 << 30
# Changes that are smaller hold nothing that is too large for the database.
_SURELY_FITTING_BYTES = 900_000_000


class _Place(msgspec.Struct, array_like=True, gc=False):
    """A batch without its blob and its first position, which follows from the batches before it."""

    count: int
    timestamp_ns: int
    source: str
    checksum: int
    blob_bytes: int
    kinds: str


class _Body(msgspec.Struct, array_like=True, gc=False):
    batches: list[_Place]
    changes: list[Changes]


class _Batches(msgspec.Struct, array_like=True, gc=False):
    """A body whose changes nobody wants."""

    batches: list[_Place]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Body).decode
_decode_batches = msgspec.msgpack.Decoder(_Batches).decode
# First position, count, wall time, source, checksum, start in the frame, bytes, kinds.
PlacedBatch = tuple[int, int, int, str, int, int, int, str]


class SegmentHeader(NamedTuple):
    """What a segment says of itself."""

    mark: bytes
    identity: LogIdentity


class Head(msgspec.Struct, frozen=True, gc=False):
    """A frame's head: enough to pass over it, and to know which positions it holds."""

    body_bytes: int
    blobs_bytes: int
    commit: int
    # Of the frame's first record; for a frame without records that of the next one.
    first_position: int
    records: int
    body_checksum: int

    @property
    def frame_bytes(self) -> int:
        return HEAD_BYTES + self.body_bytes + self.blobs_bytes


class Body(msgspec.Struct, frozen=True, gc=False):
    """What a frame says: its batches, each with the place of its blob in the frame, and its changes in order."""

    batches: list[PlacedBatch]
    changes: list[Changes]

    def batch(self, index: int, blob: bytes) -> EncodedBatch:
        first, count, timestamp_ns, source, checksum, _, _, kinds = self.batches[index]
        return EncodedBatch(first, count, timestamp_ns, source, checksum, blob, kinds)


class UnreadableBodyError(ValueError):
    """Of a body that is as it was written, and yet not what one says."""


class Frame(NamedTuple):
    """A frame that is to be written: `parts` one after the other. `changing` are the units that change something."""

    head: Head
    parts: list[bytes]
    changing: list[Unit]


def new_mark() -> bytes:
    """Of a new segment."""
    mark = bytes(MARK_BYTES)
    # Zeros are room that waits for frames.
    while not any(mark):
        mark = os.urandom(MARK_BYTES)
    return mark


def segment_header(mark: bytes, identity: LogIdentity) -> bytes:
    """What a segment begins with."""
    fields = _HEADER.pack(_MAGIC, FORMAT_VERSION, mark, identity.packed)
    return fields + _CHECKSUM.pack(crc32(fields))


def read_header(data: bytes) -> SegmentHeader | None:
    """The header that `data` begins with; None where there is none, or a damaged one."""
    fields = data[: _HEADER.size]
    if len(data) < SEGMENT_HEADER_BYTES or _CHECKSUM.unpack_from(data, _HEADER.size)[0] != crc32(fields):
        return None
    magic, version, mark, identity = _HEADER.unpack(fields)
    if magic != _MAGIC or version != FORMAT_VERSION or not any(mark):
        return None
    return SegmentHeader(bytes(mark), LogIdentity.unpacked(identity))


def mark_of(data: bytes) -> bytes | None:
    """The mark of a segment, from its first `MARK_REACH_BYTES`; None where nobody can tell.

    Where the header is damaged, the first head says it too.
    """
    header = read_header(data)
    if header is not None:
        return header.mark
    first = data[SEGMENT_HEADER_BYTES:MARK_REACH_BYTES]
    mark = first[:MARK_BYTES]
    return mark if any(mark) and decode_head(first, mark, SEGMENT_HEADER_BYTES) is not None else None


def frame_of(commit: int, next_position: int, entries: Sequence[Entry], mark: bytes, offset: int) -> Frame:
    """For a place in a segment, which has this mark. `next_position` is that of the next record.

    Raises `StorageError` where something in it could not be stored, or not be read again.
    """
    places: list[_Place] = []
    blobs: list[bytes] = []
    changing: list[Unit] = []
    first_position, records, blobs_bytes = 0, 0, 0
    for unit, batch in [(entry.unit, entry.batch) for entry in entries]:
        if batch is not None:
            blob, count = batch.blob, batch.count
            length = len(blob)
            if length > _BATCH_BYTES_MAX:
                raise refused(f"a batch of {length} bytes is larger than {_BATCH_BYTES_MAX}")
            places.append(_Place(count, batch.timestamp_ns, batch.source, batch.checksum, length, batch.kinds))
            first_position = first_position or batch.first_position
            records += count
            blobs_bytes += length
            blobs.append(blob)
        if unit.changes_something:
            check_storable(unit)
            changing.append(unit)
    try:
        body = _encode(_Body(places, [*map(Changes.of, changing)] if changing else []))
    except (TypeError, ValueError, OverflowError) as error:
        raise refused(str(error)) from error
    if len(body) > _SURELY_FITTING_BYTES:
        for unit in changing:
            check_sizes(unit)
    if len(body) > _PART_BYTES_MAX or blobs_bytes > _PART_BYTES_MAX:
        raise refused(f"{len(body)} bytes of changes and {blobs_bytes} of records are too many for one commit")
    head = Head(len(body), blobs_bytes, commit, first_position or next_position, records, crc32(body))
    return Frame(head, [encode_head(head, mark, offset) + body, *blobs], changing)


def encode_frame(commit: int, next_position: int, entries: Sequence[Entry], mark: bytes, offset: int) -> list[bytes]:
    """The parts of a frame alone."""
    return frame_of(commit, next_position, entries, mark, offset).parts


def encode_head(head: Head, mark: bytes, offset: int) -> bytes:
    """For a frame that lies at `offset` in a segment that has this mark."""
    fields = _FIELDS.pack(
        mark, head.body_bytes, head.blobs_bytes, head.commit, head.first_position, head.records, head.body_checksum
    )
    return fields + _CHECKSUM.pack(crc32(fields, offset & _OFFSET_BITS))


def decode_head(data: bytes, mark: bytes, offset: int) -> Head | None:
    """The head that `data` begins with, which lies at `offset` in a segment that has this mark.

    None where there is none, or a damaged one.
    """
    if len(data) < HEAD_BYTES or data[:MARK_BYTES] != mark:
        return None
    fields = data[: _FIELDS.size]
    if _CHECKSUM.unpack_from(data, _FIELDS.size)[0] != crc32(fields, offset & _OFFSET_BITS):
        return None
    _, body_bytes, blobs_bytes, commit, first_position, records, body_checksum = _FIELDS.unpack(fields)
    if blobs_bytes > _PART_BYTES_MAX:
        return None
    return Head(body_bytes, blobs_bytes, commit, first_position, records, body_checksum)


def decode_body(head: Head, data: bytes) -> Body:
    """What a frame says; `data` is its body alone.

    Raises `ValueError` where it is damaged, `UnreadableBodyError` where it never was what it has to be.
    """
    _check(head, data)
    try:
        body = _decode(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableBodyError(str(error)) from error
    return Body(_placed(head, body.batches), body.changes)


def decode_batches(head: Head, data: bytes) -> list[PlacedBatch]:
    """The batches of a body alone. Raises as `decode_body`."""
    _check(head, data)
    try:
        return _placed(head, _decode_batches(data).batches)
    except RecursionError as error:
        raise UnreadableBodyError(str(error)) from error


def _check(head: Head, data: bytes) -> None:
    if len(data) != head.body_bytes or crc32(data) != head.body_checksum:
        raise ValueError("its checksum does not match its content")


def _placed(head: Head, places: list[_Place]) -> list[PlacedBatch]:
    batches: list[PlacedBatch] = []
    position, start = head.first_position, HEAD_BYTES + head.body_bytes
    for b in places:
        batches.append((position, b.count, b.timestamp_ns, b.source, b.checksum, start, b.blob_bytes, b.kinds))
        position += b.count
        start += b.blob_bytes
    return batches


def next_head(data: bytes, start: int, mark: bytes, offset: int) -> int:
    """Where in `data`, from `start` on, the next whole head begins; -1 where none does.

    `data` lies at `offset` in a segment that has this mark.
    """
    at = data.find(mark, start)
    while at >= 0 and decode_head(data[at : at + HEAD_BYTES], mark, offset + at) is None:
        at = data.find(mark, at + 1)
    return at


def segment_name(commit: int, first_position: int) -> str:
    """Name of the segment whose first frame is this commit; names sort as commits and positions do."""
    return f"{commit:020d}-{first_position:020d}.log"


def commits_and_positions(names: Iterator[str]) -> list[tuple[int, int, str]]:
    """The segments among the names of files, in order: first commit, first position, name."""
    found = []
    for name in names:
        stem, dot, end = name.rpartition(".")
        commit, dash, position = stem.partition("-")
        if dot and end == "log" and dash and commit.isdigit() and position.isdigit():
            found.append((int(commit), int(position), name))
    return sorted(found)
