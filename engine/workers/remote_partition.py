"""A partition in another worker, as those see it that send it messages."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from engine.core.errors import AppendError, StoppedError
from engine.core.unit import Message
from engine.workers.frames import MessagesFrame
from engine.workers.link import Link

_FIRST_BATCH_RECORDS = 500


class Road:
    """The link to another worker while there is one: it breaks when the worker dies, and another takes its place."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # Guarded by _changed.
        self._link: Link | None = None
        self._is_closed = False

    def put(self, link: Link) -> None:
        with self._changed:
            before, self._link = self._link, link
            self._changed.notify_all()
        if before is not None:
            before.close()

    @property
    def link(self) -> Link:
        with self._changed:
            assert self._link is not None, "workers are connected before anything is sent"
            return self._link

    def wait_for_other(self, lost: Link | None) -> Link:
        """The link, once there is one and another than `lost`. Raises `StoppedError` at the end of the run."""
        with self._changed:
            while self._link is None or self._link is lost:
                if self._is_closed:
                    raise StoppedError("the worker is stopping")
                self._changed.wait()
            return self._link

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            link = self._link
            self._changed.notify_all()
        if link is not None:
            link.close()


class RemotePartition:
    """Hands messages to the partition's own worker and waits until they are durable there; see `Receiver`."""

    def __init__(self, number: int, road: Road) -> None:
        self._number = number
        self._road = road
        self._suggested_records = _FIRST_BATCH_RECORDS

    def suggested_batch_records(self) -> int:
        return self._suggested_records

    def receive(self, sender: int, messages: Sequence[Message]) -> None:
        request = MessagesFrame(sender, self._number, [(message.sequence, message.command) for message in messages])
        lost: Link | None = None
        while True:
            # A worker that died is started again; it drops what it has.
            link = self._road.wait_for_other(lost)
            answer = link.ask(request)
            if answer is None:
                lost = link
                continue
            self._suggested_records = answer.suggested_records
            if answer.error is not None:
                raise AppendError(answer.error)
            return
