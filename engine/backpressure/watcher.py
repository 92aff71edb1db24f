"""Watches threads and asyncio tasks of any program, and counts their time by what they were seen doing."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from engine.backpressure.hindsight import OwnWaits
from engine.backpressure.markers import Function, Markers
from engine.backpressure.recent import READING_EVERY_SECONDS, RecentBook
from engine.backpressure.sampler import SampleBook, Sampler
from engine.backpressure.settings import BackPressureMode, BackPressureSettings
from engine.backpressure.stacks import check_interpreter, current_frames
from engine.backpressure.subjects import CoroutineSubject, Frames, Subject, ThreadSubject
from engine.backpressure.vertices import of_books
from engine.backpressure.window import Verdict
from engine.core.clock import NS_PER_MS, NS_PER_SECOND, Clock, SystemClock
from engine.core.errors import ConfigurationError
from engine.core.identity import stable_id
from engine.core.snapshot import (
    BlockReason,
    EngineSnapshot,
    EngineState,
    SamplerSnapshot,
    TaskSnapshot,
    TaskStatus,
    VertexBackPressure,
    VertexKind,
    VertexSnapshot,
)

log = logging.getLogger("penstock.watch")

_REST_NS = NS_PER_MS
# Ten seconds, in as many samples as a ratio needs that is to be good to 0.05.
DEFAULTS = BackPressureSettings(num_samples=400, delay_between_samples_ns=25 * NS_PER_MS)

Watchable = threading.Thread | asyncio.Task[Any]


class Watched:
    """One thread or task, its samples, and its time. One caller at a time: the watcher holds the lock.

    Nobody tells when it changes its state: the time between two looks counts as what the later one saw. That is an
    estimate, good to about the delay between samples; busy, idle and held back still sum to the time watched. While too
    many samples cannot be judged, all of it is unknown.
    """

    def __init__(self, vertex: str, task: str, number: int, subject: Subject, size: int, wall_ns: int) -> None:
        self.vertex_id = vertex
        self.task = task
        self.number = number
        self.book = SampleBook(subject, size)
        self.recent = RecentBook()
        self._started_wall_ns = wall_ns
        self._ended_wall_ns: int | None = None
        self._ns = dict.fromkeys(Verdict, 0)
        self._blocked_for_ns = 0
        self._longest_blocked_ns = 0

    def passed(self, elapsed_ns: int, wall_ns: int) -> None:
        """Counts the time since the look before, after a look."""
        if self._ended_wall_ns is not None:
            return
        if self.book.subject.is_over:
            self._ended_wall_ns = wall_ns
            return
        if self.book.last is not None:
            kept_ns = elapsed_ns if self.book.last is Verdict.BUSY else round(elapsed_ns * self.book.waiting_kept)
            self._ns[self.book.last] += kept_ns
            self._ns[Verdict.BUSY] += elapsed_ns - kept_ns
            self._blocked_for_ns = self._blocked_for_ns + elapsed_ns if self.book.last is Verdict.BLOCKED else 0
            self._longest_blocked_ns = max(self._longest_blocked_ns, self._blocked_for_ns)

    def snapshot(self, seen: VertexBackPressure | None) -> TaskSnapshot:
        is_over = self.book.subject.is_over
        is_unsure = self.book.unsure is not None
        state = {Verdict.BLOCKED: BlockReason.BUFFER.value, Verdict.BUSY: "busy"}
        return TaskSnapshot(
            task=self.task,
            vertex_id=self.vertex_id,
            kind=VertexKind.TRANSFORM,
            subtask=self.number,
            status=TaskStatus.FINISHED if is_over else TaskStatus.RUNNING,
            started_wall_ns=self._started_wall_ns,
            ended_wall_ns=self._ended_wall_ns,
            busy_ns=None if is_unsure else self._ns[Verdict.BUSY],
            idle_ns=None if is_unsure else self._ns[Verdict.IDLE],
            back_pressured_ns={}
            if is_unsure
            else {reason: self._ns[Verdict.BLOCKED] if reason is BlockReason.BUFFER else 0 for reason in BlockReason},
            longest_blocked_ns=None if is_unsure else self._longest_blocked_ns,
            state="idle" if is_over or self.book.last is None else state.get(self.book.last, "idle"),
            records_in=0,
            records_out=0,
            rejected={},
            buffers_in_use=None,
            buffers=None,
            back_pressure=None if is_over or seen is None else seen.subtasks.get(self.number),
            sample_basis=self.book.basis(),
        )


class Watcher:
    """Samples what it is given, from the first one on, on one thread of its own. Any thread may call.

    The names are tasks as a pipeline has them; several threads or asyncio tasks of one name are its subtasks.
    """

    def __init__(
        self,
        *,
        program: str | None = None,
        settings: BackPressureSettings | None = None,
        clock: Clock | None = None,
        stacks: Callable[[], Frames] = current_frames,
        waits: OwnWaits | None = None,
    ) -> None:
        check_interpreter()
        self._program = program or Path(sys.argv[0]).stem or "python"
        self._settings = settings or DEFAULTS
        if self._settings.mode is not BackPressureMode.CONTINUOUS:
            raise ConfigurationError("watched threads are always sampled; mode must be continuous")
        self._clock = clock or SystemClock()
        self._started_wall_ns = self._clock.wall_ns()
        self._changed = threading.Condition(threading.Lock())
        # Everything below is guarded by _changed.
        self._sampler = Sampler(
            self._clock, self._settings.delay_between_samples_ns, Random(), stacks=stacks, waits=waits
        )
        self._watched: list[Watched] = []
        self._looked_ns = self._clock.monotonic_ns()
        self._looked_wall_ns: int | None = None
        self._next_reading_ns = self._looked_ns
        self._stopped = False
        self._thread: threading.Thread | None = None

    def add(self, watched: Watchable, name: str, *, markers: Iterable[Function], idle: Iterable[Function] = ()) -> None:
        """Watches one more. Raises `ConfigurationError` for what has ended, and for a marker that leaves no frame."""
        held_back = tuple(markers)
        if not name:
            raise ConfigurationError("what is watched needs a name")
        if not held_back:
            raise ConfigurationError(f"{name}: markers must name at least one function that waits")
        subject = _subject(watched, name, Markers(held_back=held_back, waits_for_input=idle))
        with self._changed:
            if self._stopped:
                raise ConfigurationError(f"{name}: the watch has ended")
            number = sum(each.task == name for each in self._watched)
            vertex = stable_id(self._program, name)
            one = Watched(vertex, name, number, subject, self._settings.num_samples, self._clock.wall_ns())
            self._watched.append(one)
            self._sampler.add([one.book])
            self._changed.notify_all()

    def start(self) -> None:
        with self._changed:
            if self._thread is None and not self._stopped:
                self._looked_ns = self._clock.monotonic_ns()
                self._thread = threading.Thread(target=self._run, name="penstock-watch", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Looks no more; what was seen stays readable."""
        with self._changed:
            self._stopped = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._stopped:
                try:
                    self._advance()
                except Exception:
                    log.exception("a look at the watched threads failed; they are watched no more")
                    return
                next_ns = self._sampler.next_ns
                rest_ns = NS_PER_SECOND if next_ns is None else max(_REST_NS, next_ns - self._clock.monotonic_ns())
                self._changed.wait(rest_ns / NS_PER_SECOND)

    def advance(self) -> None:
        """Does what is due by the clock; the watcher's own thread does nothing else."""
        with self._changed:
            self._advance()

    def _advance(self) -> None:
        if not self._sampler.look():
            return
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        for one in self._watched:
            one.passed(now_ns - self._looked_ns, wall_ns)
        self._looked_ns, self._looked_wall_ns = now_ns, wall_ns
        if now_ns >= self._next_reading_ns:
            self._next_reading_ns = now_ns + READING_EVERY_SECONDS * NS_PER_SECOND
            for one in self._watched:
                if one.book.unsure is None:
                    one.recent.take(one.snapshot(None))

    # -- looking ---

    def snapshot(self) -> EngineSnapshot:
        """What is watched, as an engine without partitions would show it."""
        with self._changed:
            vertices = self._vertices()
            seen = {vertex.vertex_id: self._of_vertex(vertex.vertex_id) for vertex in vertices}
            tasks = tuple(_with_recent(one, seen[one.vertex_id]) for one in self._watched)
            sampler, settings = self._sampler, self._settings
            return EngineSnapshot(
                pipeline=self._program,
                job_id=stable_id(self._program),
                state=EngineState.FINISHED if self._stopped else EngineState.RUNNING,
                failure=None,
                started_wall_ns=self._started_wall_ns,
                taken_wall_ns=self._clock.wall_ns(),
                taken_monotonic_ns=self._clock.monotonic_ns(),
                vertices=vertices,
                edges=(),
                partitions=(),
                tasks=tasks,
                back_pressure=tuple(seen.values()),
                sampler=SamplerSnapshot(
                    mode=settings.mode,
                    num_samples=settings.num_samples,
                    delay_between_samples_ns=settings.delay_between_samples_ns,
                    refresh_interval_ns=settings.refresh_interval_ns,
                    ticks=sampler.ticks,
                    missed=sampler.missed,
                    lateness_ns=sampler.lateness_ns,
                    lateness_max_ns=sampler.lateness_max_ns,
                ),
            )

    def look_at(self, vertex_id: str) -> VertexBackPressure:
        with self._changed:
            if all(one.vertex_id != vertex_id for one in self._watched):
                raise ConfigurationError(f"there is no vertex {vertex_id!r}")
            return self._of_vertex(vertex_id)

    def _vertices(self) -> tuple[VertexSnapshot, ...]:
        names = list(dict.fromkeys(one.task for one in self._watched))
        return tuple(
            VertexSnapshot(
                vertex_id=stable_id(self._program, name),
                task=name,
                kind=VertexKind.TRANSFORM,
                parallelism=sum(one.task == name for one in self._watched),
            )
            for name in names
        )

    def _of_vertex(self, vertex_id: str) -> VertexBackPressure:
        books = {one.number: one.book for one in self._watched if one.vertex_id == vertex_id}
        return of_books(vertex_id, books, sampled_wall_ns=self._looked_wall_ns)


def _with_recent(one: Watched, seen: VertexBackPressure) -> TaskSnapshot:
    now = one.snapshot(seen)
    is_known = now.status is not TaskStatus.FINISHED and one.book.unsure is None
    return replace(now, recent=one.recent.until(now) if is_known else None)


def _subject(watched: Watchable, name: str, markers: Markers) -> Subject:
    if isinstance(watched, threading.Thread):
        return ThreadSubject(watched, markers)
    if isinstance(watched, asyncio.Task):
        return CoroutineSubject(watched, markers)
    raise ConfigurationError(f"{name}: a {type(watched).__name__} is neither a thread nor an asyncio task")
