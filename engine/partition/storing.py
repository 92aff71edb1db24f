"""Whether a partition's log stores what it is handed, told when that changes."""

from __future__ import annotations

import logging
from threading import Lock, get_ident

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import AppendError

log = logging.getLogger("penstock.partition")

# A disk that is all but full takes small writes and refuses large ones: it is over when none was refused for so long.
_QUIET_NS = 5 * NS_PER_SECOND


class Storing:
    """Makes one line of a time in which writes fail, and one of its end; those who wait try again twice a second.

    It ends once no write has failed for a while, and the last one was stored or nobody is left who waits to try again:
    who writes for a client outside does not. Any thread may call it; the attributes may be read without a lock.
    """

    def __init__(self, partition: int, clock: Clock) -> None:
        self._partition = partition
        self._clock = clock
        self._lock = Lock()
        # Whether writes have failed of late; `stored` need only be called while they have.
        self.is_troubled = False
        # What it was that failed last; None when nothing has of late.
        self.error: str | None = None
        self._last_was_stored = True
        # The threads that try again what failed. One that ended instead stays until some write is stored.
        self._retrying: set[int] = set()
        self._since_ns = self._failed_ns = 0

    def failed(self, error: AppendError) -> None:
        """A write was not stored, and is tried again by whoever wants it."""
        with self._lock:
            self._failed_ns = self._clock.monotonic_ns()
            self.error, self._last_was_stored = str(error), False
            if not self.is_troubled:
                self._since_ns = self._failed_ns
                self.is_troubled = True
                log.error("%s; it is tried again until it is stored", error)

    def will_retry(self) -> None:
        """This thread tries again what has just failed, however long it may have to wait before."""
        with self._lock:
            self._retrying.add(get_ident())

    def stored(self) -> None:
        """A write of this thread was stored."""
        with self._lock:
            self._last_was_stored = True
            self._retrying.discard(get_ident())
        self.look()

    def look(self, *, at_end: bool = False) -> None:
        """Says that the trouble is over when it is; call now and then, and at the end of the run."""
        with self._lock:
            quiet_ns = self._clock.monotonic_ns() - self._failed_ns
            was_stored = self._last_was_stored
            if not self.is_troubled or (quiet_ns < _QUIET_NS and not at_end):
                return
            if not was_stored and (self._retrying or at_end):
                return
            self.is_troubled, self.error = False, None
            self._retrying.clear()
            lasted_s = (self._failed_ns - self._since_ns) // NS_PER_SECOND
        lasted = f"{lasted_s} s" if lasted_s else "less than a second"
        if was_stored:
            log.warning("partition %d: writes are stored again; they failed for %s", self._partition, lasted)
        else:
            log.warning(
                "partition %d: nobody tries again what was not stored; writes failed for %s", self._partition, lasted
            )
