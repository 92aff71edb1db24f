"""What a partition has to store and to delete now and then, where it holds nobody up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock, Thread

log = logging.getLogger("penstock.partition")


class Upkeep:
    """Does its work when it is told to: on the thread that says so or, where it may take seconds, on one of its own.

    Who is told while it is at it does it no second time.
    """

    def __init__(self, partition: int, work: Callable[[], None], *, aside: bool) -> None:
        self._partition = partition
        self._work = work
        self._aside = aside
        self._lock = Lock()
        self._thread: Thread | None = None

    def run(self) -> None:
        if not self._aside:
            self._work()
            return
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = Thread(target=self._guarded, name=f"penstock-upkeep-{self._partition}", daemon=True)
            self._thread.start()

    def _guarded(self) -> None:
        try:
            self._work()
        except Exception:
            log.exception("upkeep of partition %d failed", self._partition)

    def end(self) -> None:
        """Waits for what is under way; nothing is begun any more by who calls this last."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()
