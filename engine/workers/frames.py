"""What travels between two workers, as MessagePack."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.tasks.buffers import Buffer, Credits, Parts


class BufferFrame(msgspec.Struct, array_like=True, tag=0, gc=False):
    """A buffer on its way to the log writer of a partition. `pool` and `channel` say whose credit it holds."""

    epoch: int
    partition: int
    pool: int
    channel: int
    source: str
    sequence: int
    first_offset: int
    last_offset: int
    cursor: bytes | None
    end: bool
    # Keys and values; the receiver puts the values into its log as they are and never looks inside.
    values: list[tuple[str, msgspec.Raw]]
    parts: Parts | None

    @classmethod
    def of(cls, buffer: Buffer, *, epoch: int, partition: int, pool: int) -> BufferFrame:
        return cls(
            epoch,
            partition,
            pool,
            buffer.channel,
            buffer.source,
            buffer.sequence,
            buffer.first_offset,
            buffer.last_offset,
            buffer.cursor,
            buffer.end,
            buffer.values,
            buffer.parts,
        )

    def buffer(self, credits: Credits) -> Buffer:
        return Buffer(
            self.source,
            self.sequence,
            self.first_offset,
            self.last_offset,
            self.values,
            cursor=self.cursor,
            end=self.end,
            pool=credits,
            channel=self.channel,
            parts=self.parts,
        )


class CreditFrame(msgspec.Struct, array_like=True, tag=1, gc=False):
    """A place in a pool of the receiver's, given back."""

    epoch: int
    pool: int
    channel: int


class MessagesFrame(msgspec.Struct, array_like=True, tag=2, gc=False):
    """Messages of one partition to another: sequence and command of each. Answered by a `StoredFrame`."""

    sender: int
    receiver: int
    messages: list[tuple[int, bytes]]


class StoredFrame(msgspec.Struct, array_like=True, tag=3, gc=False):
    """The answer: they are durable, or why they are not."""

    sender: int
    receiver: int
    # How many the receiver likes at a time now.
    suggested_records: int
    error: str | None


Frame = BufferFrame | CreditFrame | MessagesFrame | StoredFrame

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


def encode_frame(frame: Frame) -> bytes:
    """Raises `TypeError` or `OverflowError` for a value that cannot be said in MessagePack, as the log does."""
    return _encode(frame)


def decode_frame(payload: bytes) -> Frame:
    frame: Any = _decode(payload)
    found: Frame = frame
    return found
