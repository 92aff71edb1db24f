"""A worker's place in the engine: it stays when its process dies and another one takes it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from threading import Lock
from typing import Any

from engine.core.records import WriteSource
from engine.core.snapshot import EngineSnapshot, Outcome, PartitionSnapshot, WorkerSnapshot
from engine.flow.episodes import Episode
from engine.flow.events import LimitChanged
from engine.runtime.counters import CounterBook
from engine.runtime.share import Share
from engine.workers.process import WorkerLost, WorkerProcess
from engine.workers.restarts import Restarts

# How many ended episodes and changes of limits are kept of processes that are dead.
_HISTORY_MAX = 500
# What a partition had written and was done with.
_Standing = tuple[int, int]


class Seat:
    """One worker, numbered from 1. The supervisor changes it; any thread may look and ask."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.share = Share(partitions=(), sources=())
        self.process: WorkerProcess | None = None
        # Whether its partitions are open in the living process.
        self.is_open = False
        self.starts = 0
        self.restarts = Restarts()
        self._lock = Lock()
        # Guarded by the lock.
        self._book = CounterBook()
        self._first: EngineSnapshot | None = None
        self._history_before: tuple[tuple[Episode, ...], tuple[LimitChanged, ...]] = ((), ())
        self._history: tuple[tuple[Episode, ...], tuple[LimitChanged, ...]] = ((), ())

    # -- its process ---

    def taken_by(self, process: WorkerProcess) -> None:
        self.process = process
        self.starts += 1

    def call(self, method: str, *arguments: Any, descriptors: tuple[int, ...] = (), **keywords: Any) -> Future[Any]:
        process = self.process
        if process is None:
            nobody: Future[Any] = Future()
            nobody.set_exception(WorkerLost(f"worker {self.number} is not there"))
            return nobody
        return process.call(method, *arguments, descriptors=descriptors, **keywords)

    @property
    def is_lost(self) -> bool:
        """Whether it should have a process and that one is gone."""
        return self.process is not None and self.process.is_gone

    def emptied(self, wall_ns: int) -> None:
        """Its process is dead; what it counted stays, and after its last words also what it said."""
        process, self.process, self.is_open = self.process, None, False
        if process is None or process.ended is not None:
            return
        with self._lock:
            self._book.process_ended()
            self._first = None
            episodes, changes = self._history_together()
            # The throttle died with its process; the next one begins anew.
            over = tuple(e if e.end_wall_ns is not None else replace(e, end_wall_ns=wall_ns) for e in episodes)
            self._history_before = over[-_HISTORY_MAX:], changes[-_HISTORY_MAX:]
            self._history = (), ()

    # -- what is known of it ---

    def take(self, snapshot: EngineSnapshot) -> EngineSnapshot:
        """What its process says of itself, with what those before it counted."""
        with self._lock:
            self._first = self._first or snapshot
            return self._book.take(snapshot)

    @property
    def known(self) -> EngineSnapshot | None:
        """What was last known of it."""
        with self._lock:
            return self._book.total

    def take_history(self, episodes: tuple[Episode, ...], changes: tuple[LimitChanged, ...]) -> None:
        with self._lock:
            self._history = (episodes, changes)

    @property
    def episodes(self) -> tuple[Episode, ...]:
        with self._lock:
            return self._history_together()[0]

    @property
    def limit_changes(self) -> tuple[LimitChanged, ...]:
        with self._lock:
            return self._history_together()[1]

    def _history_together(self) -> tuple[tuple[Episode, ...], tuple[LimitChanged, ...]]:
        (episodes_before, changes_before), (episodes, changes) = self._history_before, self._history
        return episodes_before + episodes, changes_before + changes

    @property
    def got_something_done(self) -> bool:
        """Whether the living process brought every partition forward that had something to do when it came.

        A record that kills whoever touches it must not look like work because another partition went on.
        """
        with self._lock:
            first, newest = self._first, self._book.newest
        if first is None or newest is None:
            return False
        before, now = _standings(first), _standings(newest)
        waiting = [number for number, (written, done) in before.items() if done < written]
        if waiting:
            return all(now[number][1] > before[number][1] for number in waiting)
        return _accepted(newest) > 0

    def snapshot(self) -> WorkerSnapshot:
        process = self.process
        return WorkerSnapshot(
            worker=self.number,
            is_up=self.is_open and process is not None and not process.is_gone,
            process_id=None if process is None else process.process_id,
            partitions=self.share.partitions,
            restarts=max(0, self.starts - 1),
        )


def _standings(snapshot: EngineSnapshot) -> Mapping[int, _Standing]:
    return {partition.partition: _standing(partition) for partition in snapshot.partitions}


def _standing(partition: PartitionSnapshot) -> _Standing:
    written = partition.last_written_position
    done = [partition.last_processed_position, partition.lowest_acknowledged_position]
    return written, min((position for position in done if position is not None), default=written)


def _accepted(snapshot: EngineSnapshot) -> int:
    """Records that the partitions took in, besides the engine's own."""
    return sum(
        records
        for partition in snapshot.partitions
        for (source, outcome), records in partition.flow.writes.items()
        if outcome is Outcome.ACCEPTED and source is not WriteSource.INTERNAL
    )
