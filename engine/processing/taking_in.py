"""Takes messages of other partitions out of the inbox into the log, exactly once."""

from __future__ import annotations

import logging
from threading import Event
from typing import TYPE_CHECKING

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import AppendError, StoppedError
from engine.partition.partition import INBOX

if TYPE_CHECKING:
    from engine.partition.partition import Partition

log = logging.getLogger("penstock.delivery")

_MESSAGES_AT_ONCE = 500
_LOOK_NS = NS_PER_SECOND // 5
_RETRY_SECONDS = 0.5
# So many messages are let go of at a time.
_FORGET_EVERY = 10_000


class TakingIn:
    """The receiver's side of messages that the sender's commit has put into the inbox, on a thread of its own.

    How far the inbox is read is stored with the records, in one unit: what was stored is not read again.
    """

    def __init__(self, partition: Partition) -> None:
        inbox = partition.inbox
        assert inbox is not None, "it is for partitions that have one"
        self._partition = partition
        self._inbox = inbox
        stored = partition.source_progress.get(INBOX)
        self._next = 0 if stored is None else stored.offset + 1
        self._forgotten = self._next
        self._stopping = Event()
        self._told = False
        partition.inbox_is_empty = self._is_empty

    def _is_empty(self) -> bool:
        return self._inbox.is_read_to(self._next)

    def stop(self) -> None:
        """Ends `run` soon; what is not taken in stays in the inbox."""
        self._stopping.set()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._take_in()
        except StoppedError:
            return

    def _take_in(self) -> None:
        count = min(_MESSAGES_AT_ONCE, self._partition.suggested_batch_records())
        try:
            arrivals = self._partition.arrivals(self._next, count, _LOOK_NS)
            if not arrivals:
                return
            self._partition.take_in(arrivals)
        except AppendError as error:
            if not self._told:
                log.error("messages to partition %d wait: %s", self._partition.number, error)
                self._told = True
            self._stopping.wait(_RETRY_SECONDS)
            return
        self._told = False
        self._next = arrivals[-1].offset + 1
        if self._next - self._forgotten >= _FORGET_EVERY:
            self._partition.forget_arrivals(self._next)
            self._forgotten = self._next
