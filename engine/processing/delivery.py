"""Carries messages from one partition's outbox to the partitions they are meant for, exactly once."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from threading import Condition, Lock
from typing import TYPE_CHECKING, Protocol

from engine.core.errors import AppendError, StoppedError
from engine.core.unit import Message

if TYPE_CHECKING:
    from engine.partition.partition import Partition

log = logging.getLogger("penstock.delivery")

_MESSAGES_AT_ONCE = 500
_RETRY_SECONDS = 0.5


class Receiver(Protocol):
    """A partition that messages are meant for, in this process or another."""

    def suggested_batch_records(self) -> int:
        """How many messages it likes at a time just now."""
        ...

    def receive(self, sender: int, messages: Sequence[Message]) -> None:
        """Stores the messages of partition `sender` that it does not have; returns when they are durable.

        Waits for permits. Raises `AppendError` when nothing was stored, `StoppedError` at the end of the run.
        """
        ...


class Delivery:
    """The outbox of one partition on its way, in order, on a thread of its own.

    The receiver stores the last sequence of each sender in the transaction of the records, and drops what it has: a
    message that is sent twice around a crash is stored once.
    """

    def __init__(self, sender: Partition, receivers: Mapping[int, Receiver]) -> None:
        self._sender = sender
        self._receivers = receivers
        self._changed = Condition(Lock())
        self._queue: deque[Message] = deque(sender.recovered.outbox)
        self._stopping = False
        # Whether it is said that messages wait; it is not said at every try.
        self._told = False

    def put(self, messages: Sequence[Message]) -> None:
        """Takes messages that have just been committed; any thread, in the order of their sequences."""
        with self._changed:
            self._queue.extend(messages)
            self._changed.notify()

    def stop(self) -> None:
        """Ends `run` at the next message; what is not delivered stays in the outbox."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._deliver(batch)
        except StoppedError:
            return

    def _next(self) -> list[Message] | None:
        """Waits for messages; those at the head that go to the same partition, as many as its limit likes."""
        with self._changed:
            while not self._queue and not self._stopping:
                self._changed.wait()
            if self._stopping:
                return None
            receiver = self._queue[0].receiver
            count = min(_MESSAGES_AT_ONCE, self._receivers[receiver].suggested_batch_records())
            batch: list[Message] = []
            for message in islice(self._queue, count):
                if message.receiver != receiver:
                    break
                batch.append(message)
            return batch

    def _deliver(self, batch: list[Message]) -> None:
        number, last = batch[0].receiver, batch[-1].sequence
        try:
            self._receivers[number].receive(self._sender.number, batch)
        except AppendError as error:
            if not self._told:
                log.error("messages of partition %d to %d wait: %s", self._sender.number, number, error)
                self._told = True
            with self._changed:
                self._changed.wait(_RETRY_SECONDS)
            return
        self._told = False
        with self._changed:
            for _ in batch:
                self._queue.popleft()
        self._sender.delivered(number, last, len(batch))
