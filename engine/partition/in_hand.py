"""How long a processor has been at one record, told when that becomes long."""

from __future__ import annotations

import logging
from collections.abc import Callable

from engine.core.clock import NS_PER_SECOND, Clock

log = logging.getLogger("penstock.processing")

# Said first after this time, and each time it has doubled.
LONG_NS = 10 * NS_PER_SECOND


class RecordInHand:
    """Written by the processing task, which says when a unit begins and ends; `look` is for one thread, the ticker.

    A record costs nothing here: whether the processor has gone on is seen from look to look, so its time is known but
    for the time between two looks. Processors have no deadline: user code may rightly take long, nothing can stop it.
    """

    def __init__(self, partition: int, position: Callable[[], int], clock: Clock) -> None:
        """`position` says at which record the processor is."""
        self._partition = partition
        self._position = position
        self._clock = clock
        # Monotonic time at which the processor began a unit; None between units, and while it waits for the log.
        self.unit_since_ns: int | None = None
        # The record that was seen at work, by the beginning of its unit and its position, and since when.
        self._seen: tuple[int, int] | None = None
        self._since_ns = 0
        # When to say it again, and whether it was said.
        self._say_at_ns = 0
        self._is_said = False

    @property
    def position(self) -> int:
        """Of the record that the processor has, or had last."""
        return self._position()

    def age_ns(self) -> int | None:
        """For how long it has been seen at that record; None between units."""
        if self.unit_since_ns is None:
            return None
        return max(0, self._clock.monotonic_ns() - self._since_ns) if self._is_seen() else 0

    def _is_seen(self) -> bool:
        return self._seen == (self.unit_since_ns, self.position)

    def look(self) -> None:
        """Notices whether the processor has gone on; says in the log what has become long, and when it is over."""
        unit_since_ns, now_ns = self.unit_since_ns, self._clock.monotonic_ns()
        if not self._is_seen():
            if self._is_said:
                took_s = (now_ns - self._since_ns) // NS_PER_SECOND
                log.warning("the processor of partition %d goes on, after %d s", self._partition, took_s)
            self._seen = None if unit_since_ns is None else (unit_since_ns, self.position)
            self._since_ns, self._say_at_ns, self._is_said = now_ns, now_ns + LONG_NS, False
        elif now_ns >= self._say_at_ns:
            self._say_at_ns = 2 * now_ns - self._since_ns
            self._is_said = True
            log.warning(
                "the processor of partition %d has been at position %d for %d s",
                self._partition,
                self.position,
                (now_ns - self._since_ns) // NS_PER_SECOND,
            )
