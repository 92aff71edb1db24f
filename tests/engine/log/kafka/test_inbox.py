"""What lies in an inbox topic, also where somebody else has written into it."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from engine.core.errors import PenstockError
from engine.core.unit import Arrival
from engine.log.kafka.inbox import KafkaInbox, Sent
from engine.log.kafka.reading import TopicReader


class PlayedMessage:
    def __init__(self, offset: int, value: bytes | None) -> None:
        self._offset = offset
        self._value = value

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._value


class PlayedReader:
    """A partition of the topic with these messages."""

    def __init__(self, *values: bytes | None) -> None:
        self._messages = [PlayedMessage(offset, value) for offset, value in enumerate(values)]
        self.end_seen = 0

    def bounds(self) -> tuple[int, int]:
        return 0, len(self._messages)

    def poll(self, offset: int, count: int, timeout_ns: int) -> list[PlayedMessage]:
        return self._messages[offset : offset + count]


def inbox(*values: bytes | None) -> KafkaInbox:
    reader: Any = PlayedReader(*values)
    return KafkaInbox(cast(TopicReader, reader), 3, Sent(), lambda _: None)


def message(sequence: int) -> bytes:
    return msgspec.msgpack.encode((1, sequence, b"command"))


def test_messages_come_in_the_order_of_the_topic_with_their_offsets() -> None:
    assert inbox(message(7), message(8)).read(0, 10, 0) == [Arrival(0, 1, 7, b"command"), Arrival(1, 1, 8, b"command")]


@pytest.mark.parametrize("foreign", [None, b"", b"hello", msgspec.msgpack.encode({"a": 1}), message(1)[:-1]])
def test_a_message_of_somebody_else_is_said_with_its_place_behind_those_in_front_of_it(foreign: bytes | None) -> None:
    mixed = inbox(message(7), foreign, message(8))
    assert mixed.read(0, 10, 0) == [Arrival(0, 1, 7, b"command")]
    with pytest.raises(PenstockError, match=r"partition 3: the message at offset 1 of its inbox is none that this"):
        mixed.read(1, 10, 0)
