"""Looks at the engine once a second, for the history and for those who watch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import msgspec

from engine.core.snapshot import EngineSnapshot, EngineState
from exporter.door import NS_PER_MS, NS_PER_SECOND, Clock, Episode, EpisodesSource, SnapshotSource, SystemClock
from exporter.history.changes import changes
from exporter.history.feed import Feed
from exporter.history.keeping import Keeping, Row
from exporter.history.recorder import VERTICES_MAX, HistoryRecorder

PERIOD_NS = NS_PER_SECOND
_STOP_SECONDS_MAX = 0.5
_log = logging.getLogger("penstock.management")


class HistorySampler:
    """A thread of its own from `start` to `stop`; both are for one thread."""

    def __init__(
        self,
        engine: SnapshotSource,
        *,
        clock: Clock | None = None,
        data: Path | None = None,
        vertices_max: int = VERTICES_MAX,
        beside: Callable[[], None] | None = None,
    ) -> None:
        """`data` is the folder beside whose log the history is kept; None: it ends with the process.

        `beside` is called after each look, for whoever needs the same rhythm. It does not raise.
        """
        self._engine = engine
        self._beside = beside
        self._keeping = None if data is None else Keeping(data)
        self._has_recalled = False
        # Of earlier runs, by start; those that ran when the process was killed end when it was last seen.
        self._earlier: tuple[Episode, ...] = ()
        self._clock = clock or SystemClock()
        self.recorder = HistoryRecorder(vertices_max=vertices_max)
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
        if self._keeping is not None and not self._thread.is_alive():
            self._keeping.close()

    def episodes(self) -> tuple[Episode, ...]:
        """All that are known: of earlier runs, then of this one."""
        own = self._engine.throttling_episodes() if isinstance(self._engine, EpisodesSource) else ()
        return (*self._earlier, *own)

    def sample(self) -> None:
        """Takes one sample now. Never raises: who draws must not disturb who runs."""
        try:
            snapshot = self._engine.snapshot()
            self._recall(snapshot)
            row = self.recorder.record(snapshot)
            if row is None:
                return
            self._keep(snapshot, row)
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

    def _recall(self, snapshot: EngineSnapshot) -> None:
        """Once, before anything is recorded."""
        if self._keeping is None or self._has_recalled:
            return
        self._has_recalled = True
        rows = self._keeping.read(snapshot.pipeline, wall_ns=snapshot.taken_wall_ns)
        self.recorder.recall(rows, wall_ns=snapshot.taken_wall_ns, monotonic_ns=snapshot.taken_monotonic_ns)
        seen_ns = rows[-1].wall_ns if rows else None
        self._earlier = tuple(_ended(episode, seen_ns) for episode in self._keeping.read_episodes())

    def _keep(self, snapshot: EngineSnapshot, row: Row) -> None:
        """While it runs, the engine holds its folder: nobody else writes there."""
        if self._keeping is not None and snapshot.state in (EngineState.RUNNING, EngineState.STOPPING):
            self._keeping.append(snapshot.pipeline, row)
            self._keeping.keep_episodes(self.episodes())

    def _run(self) -> None:
        due_ns = self._clock.monotonic_ns()
        while not self._stop.is_set():
            self.sample()
            if self._beside is not None:
                self._beside()
            now_ns = self._clock.monotonic_ns()
            # Deadlines do not drift; those that were missed are left out.
            due_ns += PERIOD_NS * ((now_ns - due_ns) // PERIOD_NS + 1)
            self._stop.wait((due_ns - now_ns) / NS_PER_SECOND)


def _ended(episode: Episode, seen_ns: int | None) -> Episode:
    """An episode of a run that is over, whose end nobody told when the process was killed."""
    if episode.end_wall_ns is not None:
        return episode
    seen_ns = max(episode.start_wall_ns + episode.throttled_ns, seen_ns or 0)
    reason = f"{episode.reason}; it ended with its process"
    return replace(episode, end_wall_ns=seen_ns, throttled_ns=seen_ns - episode.start_wall_ns, reason=reason)
