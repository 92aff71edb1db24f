"""The back pressure monitor of a running engine: samples its tasks, and says what the samples mean."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from types import FrameType

from engine.backpressure.bottleneck import find_culprit
from engine.backpressure.flames import FlameGraph, Flames
from engine.backpressure.judgement import verdict_of_look
from engine.backpressure.markers import Markers
from engine.backpressure.recent import READING_EVERY_SECONDS, RecentBook
from engine.backpressure.sampler import SampleBook, Sampler
from engine.backpressure.sampling import Sampling
from engine.backpressure.settings import BackPressureMode, BackPressureSettings
from engine.backpressure.stacks import current_frames
from engine.backpressure.subjects import SubtaskSubject
from engine.backpressure.tracker import Ended, MeasurementTracker
from engine.backpressure.vertices import of_books, of_readings
from engine.backpressure.window import Verdict
from engine.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from engine.core.errors import ConfigurationError
from engine.core.snapshot import (
    EngineSnapshot,
    SamplerSnapshot,
    TaskSnapshot,
    VertexBackPressure,
    VertexSnapshot,
)
from engine.tasks.subtask import Subtask

log = logging.getLogger("penstock.backpressure")

_READING_EVERY_NS = READING_EVERY_SECONDS * NS_PER_SECOND
# However short the delay between samples: the thread gives way to those it measures.
_REST_NS = NS_PER_MS


class BackPressureMonitor:
    """Watches all subtasks on one thread of its own; any thread may ask.

    *Continuous*: every subtask is always sampled, and the last samples are its ratio. *On demand*: a vertex is sampled
    when somebody looks at it, by the rules of `MeasurementTracker`. Timers are read every other second in both.
    One lock guards everything; the looks at the stacks are short and hold it too.
    """

    def __init__(
        self,
        settings: BackPressureSettings,
        clock: Clock,
        vertices: Sequence[VertexSnapshot],
        subtasks: Sequence[Subtask],
        markers: Markers,
        *,
        is_over: Callable[[], bool],
        random: Random | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._vertices = {vertex.vertex_id: vertex for vertex in vertices}
        self._subtasks = _by_vertex(vertices, subtasks)
        self._subjects = {
            vertex_id: {number: SubtaskSubject(subtask, markers) for number, subtask in numbered.items()}
            for vertex_id, numbered in self._subtasks.items()
        }
        self._changed = threading.Condition(threading.Lock())
        # Everything below is guarded by _changed.
        self._stopping = False
        self._is_failing = False
        self._sampler = Sampler(clock, settings.delay_between_samples_ns, random or Random())
        # By vertex and number; empty on demand.
        self._books: dict[str, dict[int, SampleBook]] = {}
        if settings.mode is BackPressureMode.CONTINUOUS:
            for vertex_id, subjects in self._subjects.items():
                books = {number: SampleBook(subject, settings.num_samples) for number, subject in subjects.items()}
                self._books[vertex_id] = books
                self._sampler.add(books.values())
        self._looked_wall_ns: int | None = None
        self._samplings: dict[str, Sampling] = {}
        self._tracker = MeasurementTracker(
            clock,
            refresh_interval_ns=settings.refresh_interval_ns,
            cleanup_interval_ns=settings.cleanup_interval_ns,
            start=self._start_sampling,
            is_over=is_over,
        )
        self._flames = Flames()
        self._next_flame_ns = clock.monotonic_ns()
        self._recent = {subtask: RecentBook() for subtask in subtasks}
        self._next_reading_ns = clock.monotonic_ns()
        self._thread = threading.Thread(target=self._run, name="penstock-back-pressure", daemon=True)

    # -- life ---

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._tracker.shut_down()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
                try:
                    self._advance()
                    self._is_failing = False
                except Exception:
                    # Whatever it is, the tasks must not notice; the next look is another try.
                    if not self._is_failing:
                        log.exception("a look at the tasks failed; further failures in a row are not told")
                    self._is_failing = True
                rest_ns = max(_REST_NS, self._next_ns() - self._clock.monotonic_ns())
                self._changed.wait(rest_ns / NS_PER_SECOND)

    def _next_ns(self) -> int:
        due = [self._next_reading_ns]
        if self._sampler.next_ns is not None:
            due.append(self._sampler.next_ns)
        if self._flames.wanted:
            due.append(self._next_flame_ns)
        return min(due)

    def advance(self) -> None:
        """Does what is due by the clock; the monitor's own thread does nothing else."""
        with self._changed:
            self._advance()

    def _advance(self) -> None:
        ticks = self._sampler.look()
        if ticks:
            self._looked_wall_ns = self._clock.wall_ns()
            for sampling in self._samplings.values():
                sampling.ticked(ticks)
        now_ns = self._clock.monotonic_ns()
        if self._flames.wanted and now_ns >= self._next_flame_ns:
            self._next_flame_ns = now_ns + self._settings.delay_between_samples_ns
            self._flames.took(self._stacks(), now_ns, self._clock.wall_ns())
        for vertex_id, sampling in list(self._samplings.items()):
            if sampling.is_done(now_ns):
                del self._samplings[vertex_id]
                self._sampler.remove(sampling.books.values())
                sampling.end(now_ns, self._clock.wall_ns())
        if now_ns >= self._next_reading_ns:
            self._next_reading_ns = now_ns + _READING_EVERY_NS
            for subtask, book in self._recent.items():
                book.take(subtask.snapshot())
            self._tracker.clean_up()

    def _stacks(self) -> dict[str, list[tuple[FrameType, bool]]]:
        """Of the vertices whose stacks are wanted: the innermost frame of each subtask, and whether it works."""
        frames = current_frames()
        found: dict[str, list[tuple[FrameType, bool]]] = {}
        for vertex_id in self._flames.wanted:
            for number, subtask in self._subtasks[vertex_id].items():
                subject = self._subjects[vertex_id][number]
                look = subject.look(frames)
                last = None if subject.transitions is None else subject.transitions.last
                if look is not None and last is not None and subtask.thread is not None:
                    works = verdict_of_look(look, last[1]) is Verdict.BUSY
                    found.setdefault(vertex_id, []).append((frames[subtask.thread.ident or 0], works))
        return found

    def _start_sampling(self, vertex_id: str, ended: Ended) -> None:
        sampling = Sampling(
            self._vertices[vertex_id].task,
            self._subjects[vertex_id],
            samples=self._settings.num_samples,
            delay_ns=self._settings.delay_between_samples_ns,
            started_ns=self._clock.monotonic_ns(),
            ended=ended,
        )
        self._samplings[vertex_id] = sampling
        self._sampler.add(sampling.books.values())
        self._changed.notify_all()

    # -- what others may ask ---

    def look_at(self, vertex_id: str) -> VertexBackPressure:
        """The back pressure of a vertex; on demand, the look itself starts a measurement where one is due."""
        self._check(vertex_id)
        with self._changed:
            if self._settings.mode is BackPressureMode.ON_DEMAND:
                self._tracker.get(vertex_id)
            return self._of_vertex(vertex_id)

    def flame_graph(self, vertex_id: str) -> FlameGraph:
        """The stacks of a vertex's subtasks as a tree; the look itself is what has them gathered."""
        self._check(vertex_id)
        with self._changed:
            found = self._flames.look(vertex_id, self._clock.monotonic_ns())
            self._changed.notify_all()
            return found

    def sample(self, vertex_id: str) -> bool:
        """Starts a fresh measurement of a vertex, in either mode; False when one is under way or none can be."""
        self._check(vertex_id)
        with self._changed:
            return self._tracker.trigger(vertex_id)

    def _check(self, vertex_id: str) -> None:
        if vertex_id not in self._vertices:
            raise ConfigurationError(f"there is no vertex {vertex_id!r}")

    def completed(self, snapshot: EngineSnapshot) -> EngineSnapshot:
        """The snapshot, with all that the monitor knows put in its places. No look counts as one."""
        with self._changed:
            vertices = {vertex_id: self._of_vertex(vertex_id) for vertex_id in self._vertices}
            tasks = tuple(self._of_task(task, vertices) for task in snapshot.tasks)
            sampler = self._of_sampler()
        seen = replace(snapshot, tasks=tasks, back_pressure=tuple(vertices.values()), sampler=sampler)
        culprit = find_culprit(seen)
        return replace(seen, culprit=culprit, bottleneck=None if culprit is None else culprit.task)

    def _of_task(self, task: TaskSnapshot, vertices: Mapping[str, VertexBackPressure]) -> TaskSnapshot:
        subtask = self._subtasks[task.vertex_id][task.subtask]
        book = self._books.get(task.vertex_id, {}).get(task.subtask)
        return replace(
            task,
            back_pressure=None if subtask.is_over else vertices[task.vertex_id].subtasks.get(task.subtask),
            sample_basis=None if book is None else book.basis(),
            recent=None if subtask.is_over else self._recent[subtask].until(task),
        )

    def _of_sampler(self) -> SamplerSnapshot:
        settings, sampler = self._settings, self._sampler
        return SamplerSnapshot(
            mode=settings.mode,
            num_samples=settings.num_samples,
            delay_between_samples_ns=settings.delay_between_samples_ns,
            refresh_interval_ns=settings.refresh_interval_ns,
            ticks=sampler.ticks,
            missed=sampler.missed,
            lateness_ns=sampler.lateness_ns,
            lateness_max_ns=sampler.lateness_max_ns,
        )

    def _of_vertex(self, vertex_id: str) -> VertexBackPressure:
        sampling = self._samplings.get(vertex_id)
        progress = None if sampling is None else sampling.progress
        problem = self._tracker.problem(vertex_id)
        if self._settings.mode is BackPressureMode.CONTINUOUS:
            return of_books(
                vertex_id,
                self._books[vertex_id],
                sampled_wall_ns=self._looked_wall_ns,
                progress=progress,
                problem=problem,
            )
        measurement = self._tracker.peek(vertex_id)
        return of_readings(
            vertex_id,
            {} if measurement is None else measurement.subtasks,
            is_fresh=measurement is not None and self._tracker.is_fresh(measurement),
            sampled_wall_ns=None if measurement is None else measurement.ended_wall_ns,
            progress=progress,
            problem=problem,
        )


def _by_vertex(vertices: Sequence[VertexSnapshot], subtasks: Sequence[Subtask]) -> dict[str, dict[int, Subtask]]:
    numbered: dict[str, dict[int, Subtask]] = {vertex.vertex_id: {} for vertex in vertices}
    for subtask in subtasks:
        numbered[subtask.vertex.vertex_id][subtask.index] = subtask
    return numbered
