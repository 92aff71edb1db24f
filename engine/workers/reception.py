"""Where messages from other workers come in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from queue import SimpleQueue

from engine.core.errors import AppendError, StoppedError
from engine.core.unit import Message
from engine.partition.partition import Partition
from engine.tasks.subtask import Failed
from engine.workers.frames import MessagesFrame, StoredFrame
from engine.workers.link import Link

log = logging.getLogger("penstock.delivery")

_Request = tuple[Link, MessagesFrame]


class Reception:
    """Stores what partitions elsewhere send, and says so: one thread a sender, for each may have to wait for a limit.

    A sender asks one thing at a time; a request that its dead process left behind is done before the next one.
    """

    def __init__(self, partitions: Mapping[int, Partition], failed: Failed) -> None:
        self._partitions = partitions
        self._failed = failed
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._queues: dict[int, SimpleQueue[_Request | None]] = {}
        self._is_closed = False

    def take(self, link: Link, request: MessagesFrame) -> None:
        """Never waits; a link's reader calls."""
        with self._lock:
            if self._is_closed:
                return
            queue = self._queues.get(request.sender)
            if queue is None:
                queue = self._queues[request.sender] = SimpleQueue()
                name = f"penstock-messages-of-{request.sender}"
                threading.Thread(target=self._serve, args=(request.sender, queue), name=name, daemon=True).start()
        queue.put((link, request))

    def close(self) -> None:
        """Takes no more; who waits for a limit is freed by the partition's own end."""
        with self._lock:
            self._is_closed = True
            for queue in self._queues.values():
                queue.put(None)

    def _serve(self, sender: int, queue: SimpleQueue[_Request | None]) -> None:
        try:
            while (asked := queue.get()) is not None:
                link, request = asked
                link.send(self._store(request))
        except StoppedError:
            # The sender learns it from the end of the run; what it sent stays in its outbox.
            return
        except BaseException as error:
            log.exception("storing messages of partition %d failed", sender)
            self._failed(f"messages/{sender}", error)

    def _store(self, request: MessagesFrame) -> StoredFrame:
        partition = self._partitions[request.receiver]
        messages = [Message(sequence, request.receiver, command) for sequence, command in request.messages]
        try:
            partition.receive(request.sender, messages)
            error = None
        except AppendError as failure:
            error = str(failure)
        return StoredFrame(request.sender, request.receiver, partition.suggested_batch_records(), error)
