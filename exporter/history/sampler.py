"""Looks at the engine once a second, for the history and for those who watch."""

from __future__ import annotations

import logging
from threading import Event, Thread

import msgspec

from engine.core.snapshot import EngineSnapshot
from exporter.door import NS_PER_MS, NS_PER_SECOND, Clock, SnapshotSource, SystemClock
from exporter.history.changes import changes
from exporter.history.feed import Feed
from exporter.history.recorder import HistoryRecorder

PERIOD_NS = NS_PER_SECOND
_STOP_SECONDS_MAX = 0.5
_log = logging.getLogger("penstock.management")


class HistorySampler:
    """A thread of its own from `start` to `stop`; both are for one thread."""

    def __init__(self, engine: SnapshotSource, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()
        self.recorder = HistoryRecorder()
        self.feed = Feed(number=self._clock.wall_ns())
        self._before: EngineSnapshot | None = None
        self._is_silent = False
        self._stop = Event()
        self._thread = Thread(target=self._run, name="penstock-history", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and every watcher's stream. May be repeated."""
        self._stop.set()
        self.feed.close()
        if self._thread.is_alive():
            # A thread that is stuck in the engine's snapshot is left behind; it has nothing to clean up.
            self._thread.join(_STOP_SECONDS_MAX)

    def sample(self) -> None:
        """Takes one sample now. Never raises: who draws must not disturb who runs."""
        try:
            snapshot = self._engine.snapshot()
            if not self.recorder.record(snapshot):
                return
            before, self._before = self._before, snapshot
            for change in () if before is None else changes(before, snapshot):
                facts = {"time": snapshot.taken_wall_ns // NS_PER_MS / 1000, **change.facts}
                self.feed.publish(change.name, msgspec.json.encode(facts))
            self.feed.publish("sample", msgspec.json.encode(self.recorder.newest()))
        except Exception:
            # Once, not every second.
            if not self._is_silent:
                _log.exception("the history cannot be sampled; it has a gap until it can")
            self._is_silent = True
        else:
            self._is_silent = False

    def _run(self) -> None:
        due_ns = self._clock.monotonic_ns()
        while not self._stop.is_set():
            self.sample()
            now_ns = self._clock.monotonic_ns()
            # Deadlines do not drift; those that were missed are left out.
            due_ns += PERIOD_NS * ((now_ns - due_ns) // PERIOD_NS + 1)
            self._stop.wait((due_ns - now_ns) / NS_PER_SECOND)
