"""What a client asks of a cluster that is not ready to answer."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.kafka.client import low_and_high


class Reader:
    """Answers with these errors first, one by one; the last one for ever."""

    def __init__(self, *codes: int, ever: bool = False) -> None:
        self._codes = list(codes)
        self._ever = ever
        self.asked = 0

    def get_watermark_offsets(self, _of: object, _timeout: float) -> tuple[int, int]:
        self.asked += 1
        if self._codes:
            code = self._codes[0]
            if not self._ever:
                del self._codes[0]
            raise KafkaException(KafkaError(code))
        return 3, 9


def bounds(reader: Reader, timeout_ns: int) -> tuple[int, int]:
    consumer: Any = reader
    return low_and_high(consumer, "flights.log", 0, timeout_ns=timeout_ns)


def test_the_leader_of_a_partition_that_was_just_made_is_waited_for() -> None:
    reader = Reader(KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION)
    assert bounds(reader, 20 * NS_PER_SECOND) == (3, 9)
    assert reader.asked == 3


def test_a_leader_that_never_comes_is_an_error_in_the_end() -> None:
    with pytest.raises(KafkaException):
        bounds(Reader(KafkaError.NOT_LEADER_FOR_PARTITION, ever=True), 250 * NS_PER_MS)


def test_what_waiting_does_not_mend_is_said_at_once() -> None:
    reader = Reader(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        bounds(reader, 20 * NS_PER_SECOND)
    assert reader.asked == 1
