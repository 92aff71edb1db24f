"""Where the partitions of a topic end, asked for beside those who read them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

from confluent_kafka import IsolationLevel
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from engine.kafka.client import Cluster, TopicPartition

_ASK_EVERY_SECONDS = 5.0
_PATIENCE_SECONDS = 5.0


class TopicEnds:
    """As of a few seconds ago, for who reads what was committed alone: behind that is nothing for him. Any thread."""

    def __init__(self, cluster: Cluster, topic: str, partitions: int) -> None:
        self._admin = cluster.admin()
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        self._wanted = {TopicPartition(topic, number): latest for number in range(partitions)}
        self._lock = threading.Lock()
        self._asked = float("-inf")
        # Of those that were told of lately.
        self._ends: dict[int, int] = {}

    def of(self, partition: int) -> int | None:
        """The offset behind the last message; None while nobody says. Does not wait: it asks for the next time."""
        if self._lock.acquire(blocking=False):
            try:
                self._ask()
            finally:
                self._lock.release()
        return self._ends.get(partition)

    def _ask(self) -> None:
        now = time.monotonic()
        if now - self._asked < _ASK_EVERY_SECONDS:
            return
        self._asked = now
        answers = self._admin.list_offsets(
            self._wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_PATIENCE_SECONDS
        )
        for partition, answer in answers.items():
            answer.add_done_callback(partial(self._told, partition.partition))

    def _told(self, partition: int, answer: Future[Any]) -> None:
        if answer.exception() is None:
            self._ends[partition] = answer.result().offset
        else:
            self._ends.pop(partition, None)
