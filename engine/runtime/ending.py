"""How the tasks of a run come to their end: in the order of the stream, or where they stand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from threading import Thread

from engine.core.clock import Clock
from engine.core.snapshot import VertexKind
from engine.partition.partition import Partition
from engine.runtime.wiring import Wired

log = logging.getLogger("penstock.engine")

IN_FRONT = (VertexKind.SOURCE, VertexKind.TRANSFORM, VertexKind.LOG_WRITER)

# How often who waits for a task looks whether it still should.
_LOOK_SECONDS = 0.1
# How long a task that was told to end may take before it is left behind.
_CANCEL_SECONDS = 2.0


class Ending:
    """Ends what is wired; one use, by the thread that supervises the run."""

    def __init__(
        self, wired: Wired, partitions: Iterable[Partition], clock: Clock, has_failed: Callable[[], bool]
    ) -> None:
        self._wired = wired
        self._partitions = tuple(partitions)
        self._clock = clock
        self._has_failed = has_failed

    def drain(self, timeout_ns: int) -> None:
        """Streams end from left to right; each gets what is left of the time. 0 is no limit."""
        wired = self._wired
        deadline_ns = self._clock.monotonic_ns() + timeout_ns if timeout_ns else None
        for processor in wired.processors:
            processor.hold_timers()
        if wired.front is not None:
            wired.front.stop_sources()
        self._join(IN_FRONT, deadline_ns)
        for processor in wired.processors:
            processor.stop()
        self._join((VertexKind.PROCESSOR,), deadline_ns)
        for tasks in wired.exporters.values():
            for exporter in tasks:
                exporter.stop()
        self._join((VertexKind.EXPORTER,), deadline_ns)

    def _join(self, kinds: tuple[VertexKind, ...], deadline_ns: int | None) -> None:
        for subtask in self._wired.of_kinds(*kinds):
            while not subtask.join(_LOOK_SECONDS):
                if self._has_failed():
                    return
                if deadline_ns is not None and self._clock.monotonic_ns() >= deadline_ns:
                    log.warning("task %s has not caught up in time; it goes on in the next run", subtask.name)
                    break

    def cancel(self, deliveries: Sequence[Thread]) -> None:
        """Ends whatever still runs; blocked tasks learn it from a `StoppedError`. `deliveries` are their threads."""
        wired = self._wired
        for partition in self._partitions:
            partition.stop()
        if wired.front is not None:
            wired.front.cancel()
        for processor in wired.processors:
            processor.stop(at_once=True)
        for tasks in wired.exporters.values():
            for exporter in tasks:
                exporter.abandon()
        for delivery in wired.deliveries.values():
            delivery.stop()
        for thread in deliveries:
            thread.join(_CANCEL_SECONDS)
        for subtask in wired.subtasks:
            if not subtask.join(_CANCEL_SECONDS):
                log.warning("task %s does not end; it is left behind in user code", subtask.name)
