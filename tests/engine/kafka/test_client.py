"""What a client asks of a cluster that is not ready to answer."""

from __future__ import annotations

import subprocess
import sys
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


_LETS_GO_IN_ITS_OWN_THREAD = """
import threading
from engine.kafka.client import Admin, Cluster
from engine.kafka.settings import KafkaConnection

answered = threading.Event()

class Asks:
    def __init__(self, cluster):
        self.admin = cluster.admin()
    def ask(self):
        self.admin.describe_cluster(request_timeout=0.05).add_done_callback(self.told)
    def told(self, answer):
        print(type(answer.exception()).__name__, flush=True)
    def __del__(self):
        answered.set()

cluster = Cluster(KafkaConnection(bootstrap_servers="127.0.0.1:1"))
Asks(cluster).ask()
assert answered.wait(10)
# Who lets go of it is the thread of the answer, some steps behind the event.
while not Admin._kept:
    pass
cluster.admin()
print("goes on")
"""


def test_an_answer_that_is_the_last_to_know_its_client_does_not_end_the_process() -> None:
    program = [sys.executable, "-c", _LETS_GO_IN_ITS_OWN_THREAD]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout.split("\n")) == (0, ["KafkaException", "goes on", ""]), ran.stderr
