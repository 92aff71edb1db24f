"""How a record exporter is held: by a pause, by a pace, or because its task is to end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Condition, Lock
from typing import TYPE_CHECKING

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.pause import Pause
from engine.exporting.pace import Pace

if TYPE_CHECKING:
    from engine.partition.exporter_cells import ExporterCell

log = logging.getLogger("penstock.exporting")


class Reins:
    """Any thread may pull them; the exporter's task looks, and waits here."""

    def __init__(self, place: str, cell: ExporterCell, clock: Clock, wake: Callable[[], None]) -> None:
        """`wake` calls the task back from where it waits for records."""
        self._place = place
        self._cell = cell
        self._clock = clock
        self._wake = wake
        self._pace = Pace()
        # Held while waiting out a pause, a retry or the pace; guards what is written below.
        self._changed = Condition(Lock())
        self.is_paused = False
        # Exports and acknowledges nothing.
        self.is_soft = False
        # Ends when it has caught up with the log; and after the call in hand.
        self.is_stopping = False
        self.is_abandoned = False

    # -- from other threads ---

    def stop(self, *, at_once: bool = False) -> None:
        with self._changed:
            self.is_stopping = True
            self.is_abandoned = self.is_abandoned or at_once
            self._changed.notify_all()
        self._wake()

    def pause(self, pause: Pause | None) -> None:
        """Holds the exporter where it is, or with a soft pause what it has acknowledged; None lets it go on."""
        with self._changed:
            before, self._cell.pause = self._cell.pause, pause
            if (before is None) != (pause is None) or (before and pause and before.soft != pause.soft):
                by = f" by {pause.by}" if pause is not None and pause.by is not None else ""
                what = "let go on" if pause is None else "softly paused" if pause.soft else "paused"
                log.warning("%s is %s%s", self._place, what, by)
            self.is_paused = pause is not None and not pause.soft
            self.is_soft = pause is not None and pause.soft
            self._changed.notify_all()
        self._wake()

    def pace(self, records_per_second: float | None) -> None:
        """Limits how fast records are handed over, from now on; None takes the limit away."""
        with self._changed:
            self._cell.pace_per_second = records_per_second
            self._changed.notify_all()

    # -- the task's thread ---

    def wait_out_pause(self) -> None:
        """A paused exporter holds its place when it is to end; the next run goes on from there."""
        with self._changed:
            while self.is_paused and not self.is_stopping:
                self._changed.wait()
            if self.is_stopping:
                self.is_abandoned = True

    def wait_for_pace(self, records: int) -> bool:
        """Waits until the pace allows `records` more; False when the task was ended meanwhile."""
        with self._changed:
            while not self.is_abandoned:
                wait_ns = self._pace.wait_ns(records, self._cell.pace_per_second, self._clock.monotonic_ns())
                if not wait_ns:
                    return True
                self._changed.wait(wait_ns / NS_PER_SECOND)
            return False

    def rest(self, wait_ns: int) -> None:
        """Waits so long, unless the task is abandoned meanwhile."""
        deadline_ns = self._clock.monotonic_ns() + wait_ns
        with self._changed:
            while not self.is_abandoned and (rest_ns := deadline_ns - self._clock.monotonic_ns()) > 0:
                self._changed.wait(rest_ns / NS_PER_SECOND)
