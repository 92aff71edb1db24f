"""Messages from other partitions: they are in the receiver's partition of the inbox topic with the sender's commit."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Any

import msgspec

from engine.core.errors import PenstockError
from engine.core.unit import Arrival, Message
from engine.log.kafka.reading import OffsetGoneError, TopicReader
from engine.log.kafka.transactions import Outgoing
from engine.log.storage import StorageError

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[int, int, bytes]).decode


class Sent:
    """How far each inbox was filled by this process: shared by all its partitions. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = Lock()
        # The offset behind the last message, by receiver.
        self._ends: dict[int, int] = {}

    def raise_to(self, receiver: int, end: int) -> None:
        with self._lock:
            self._ends[receiver] = max(end, self._ends.get(receiver, 0))

    def end_of(self, receiver: int) -> int:
        with self._lock:
            return self._ends.get(receiver, 0)


def outgoing(topic: str, sender: int, messages: Iterable[Message], ends: dict[int, int]) -> list[Outgoing]:
    """As messages of the sender's transaction; `ends` will know where they came to lie."""

    def placed(receiver: int) -> Any:
        def at(offset: int) -> None:
            ends[receiver] = max(offset + 1, ends.get(receiver, 0))

        return at

    return [
        Outgoing(
            topic,
            m.receiver - 1,
            b"%d" % sender,
            _pack((sender, m.sequence, m.command)),
            placed=placed(m.receiver),
        )
        for m in messages
    ]


class KafkaInbox:
    """Implements `Inbox`."""

    def __init__(self, reader: TopicReader, partition: int, sent: Sent, forget: Any) -> None:
        self._reader = reader
        self._partition = partition
        self._sent = sent
        # Deletes what lies before an offset.
        self._forget = forget
        # What was there at the first look, and may be of processes before this one.
        self._found_end: int | None = None

    def read(self, offset: int, max_messages: int, timeout_ns: int) -> list[Arrival]:
        if self._found_end is None:
            low, end = self._reader.bounds()
            if offset < low and offset:
                raise StorageError(
                    "storage_error",
                    f"partition {self._partition}: messages of other partitions are gone: the inbox begins at offset "
                    f"{low}, the next one wanted is {offset}; retention.ms and retention.bytes of its topic must be -1",
                )
            self._found_end = end
            offset = max(offset, low)
        try:
            messages = self._reader.poll(offset, max_messages, timeout_ns)
        except OffsetGoneError:
            low, _ = self._reader.bounds()
            if offset:
                raise StorageError(
                    "storage_error", f"partition {self._partition}: messages of other partitions are gone before {low}"
                ) from None
            messages = self._reader.poll(low, max_messages, timeout_ns)
        found: list[Arrival] = []
        for m in messages:
            offset = int(m.offset() or 0)
            try:
                found.append(Arrival(offset, *_unpack(m.value() or b"")))
            except msgspec.DecodeError as error:
                if found:
                    # Those in front of it first.
                    return found
                raise PenstockError(
                    f"partition {self._partition}: the message at offset {offset} of its inbox is none that this "
                    f"version knows ({error}): a newer Penstock has sent it, then run that one, or somebody else has "
                    "written into the topic"
                ) from error
        return found

    def is_read_to(self, offset: int) -> bool:
        if self._found_end is None or offset < self._sent.end_of(self._partition):
            return False
        # The last offsets may be holes, which are seen as read when the end is.
        return offset >= self._found_end or self._reader.end_seen >= self._found_end

    def forget_before(self, offset: int) -> None:
        self._forget(offset)

    def close(self) -> None:
        self._reader.close()
