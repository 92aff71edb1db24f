"""One thread that gives every partition its ticks: throttle, rates, positions to store, free disk space."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from engine.core.clock import NS_PER_SECOND, Clock
from engine.partition.partition import Partition
from engine.partition.retention import DiskSpace, disk_space

log = logging.getLogger("penstock.ticker")

# How long small facts may wait to be stored; also how late a tick may be noticed after a change of settings.
_LONGEST_SLEEP_NS = NS_PER_SECOND // 5
_DISK_EVERY_NS = NS_PER_SECOND
_SAID_OF_SPACE = {
    DiskSpace.ENOUGH: "there is disk space again, everything goes on",
    DiskSpace.LOW: "disk space is low, sources wait",
    DiskSpace.EXHAUSTED: "disk space is all but used up, sources and processing wait",
}


class Ticker:
    """Runs from `start` to `stop`. A throttle must end although nothing is written or exported any more."""

    def __init__(self, partitions: Sequence[Partition], clock: Clock, folder: Path, *, free_space_bytes: int) -> None:
        self._partitions = partitions
        self._clock = clock
        self._folder = folder
        self._free_space_bytes = free_space_bytes
        self._disk_space = DiskSpace.ENOUGH
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-ticker", daemon=True)
        self._disk_due_ns = 0
        self.disk_free_bytes: int | None = None

    def start(self) -> None:
        self._look_at_disk()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            for partition in self._partitions:
                try:
                    partition.tick()
                except Exception:
                    # One partition's trouble must not take the tick from the others.
                    log.exception("tick of partition %d failed", partition.number)
            self._look_at_disk()
            now_ns = self._clock.monotonic_ns()
            next_ns = min(partition.gate.next_tick_ns() for partition in self._partitions)
            sleep_ns = min(_LONGEST_SLEEP_NS, max(0, next_ns - now_ns))
            self._stop.wait(sleep_ns / NS_PER_SECOND)

    def _look_at_disk(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._disk_due_ns:
            self._disk_due_ns = now_ns + _DISK_EVERY_NS
            try:
                self.disk_free_bytes = shutil.disk_usage(self._folder).free
            except OSError as error:
                # Said once: it is asked each second.
                if self.disk_free_bytes is not None:
                    log.warning("free disk space is unknown: %s", error)
                self.disk_free_bytes = None
            self._tell_disk_space(disk_space(self.disk_free_bytes, self._free_space_bytes))

    def _tell_disk_space(self, space: DiskSpace) -> None:
        if space is self._disk_space:
            return
        self._disk_space = space
        log.warning(
            "%s: %d MB are free, %d MB are wanted",
            _SAID_OF_SPACE[space],
            (self.disk_free_bytes or 0) // 1_000_000,
            self._free_space_bytes // 1_000_000,
        )
        for partition in self._partitions:
            partition.set_disk_space(space)
