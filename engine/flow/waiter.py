"""A writer that waits at the gate."""

from __future__ import annotations

from threading import TIMEOUT_MAX, Lock
from typing import Generic, TypeVar

from engine.core.clock import NS_PER_SECOND
from engine.core.records import WriteSource
from engine.core.snapshot import BlockReason

Permit = TypeVar("Permit")


class Waiter(Generic[Permit]):
    """Its place in the queue, and the lock it alone sleeps on. Of whatever kind the permit is that it waits for.

    All fields are guarded by the gate's lock; only `sleep` is called without it.
    """

    __slots__ = ("_alarm", "deadline_ns", "permit", "reason", "records", "source")

    def __init__(self, source: WriteSource, records: int) -> None:
        self.source = source
        self.records = records
        # Set by whoever admits it.
        self.permit: Permit | None = None
        self.reason = BlockReason.WRITE_LIMIT
        # When its turn comes by itself; None while it must be woken.
        self.deadline_ns: int | None = None
        # Held while there is nothing new; releasing it wakes the sleeper, also one that is about to sleep.
        self._alarm = Lock()
        self._alarm.acquire()

    @property
    def takes_slot(self) -> bool:
        return self.source is WriteSource.USER_COMMAND

    def expect(self, reason: BlockReason, deadline_ns: int | None) -> None:
        """Says what it waits for now, and wakes it if that is news."""
        if reason is not self.reason or deadline_ns != self.deadline_ns:
            self.reason = reason
            self.deadline_ns = deadline_ns
            self.wake()

    def wake(self) -> None:
        if self._alarm.locked():
            self._alarm.release()

    def sleep(self, timeout_ns: int | None) -> None:
        """Sleeps until woken or until the time is over."""
        if timeout_ns is None:
            self._alarm.acquire()
        elif timeout_ns > 0:
            self._alarm.acquire(timeout=min(timeout_ns / NS_PER_SECOND, TIMEOUT_MAX))
