"""Tasks that are held back for a known share of their time, and the truth about it by a clock of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.backpressure.markers import Markers
from engine.backpressure.monitor import BackPressureMonitor
from engine.backpressure.settings import BackPressureSettings
from engine.backpressure.watcher import Watcher
from engine.core.clock import NS_PER_SECOND, SystemClock
from engine.core.identity import stable_id
from engine.core.snapshot import SampleBasis, VertexKind, VertexSnapshot
from engine.tasks.buffers import LocalBufferPool
from engine.tasks.subtask import Subtask
from tests.support.snapshots import engine_snapshot
from tests.support.waiting import wait_until

Work = Callable[[int], None]
# Nothing happens here but time that passes: it is what this load is made of.
_NEVER = threading.Event()


def sleeping(duration_ns: int) -> None:
    """Work that leaves the interpreter to others."""
    _NEVER.wait(duration_ns / NS_PER_SECOND)


def computing(duration_ns: int) -> None:
    """Work that holds the interpreter as long as it may."""
    until_ns = time.perf_counter_ns() + duration_ns
    while time.perf_counter_ns() < until_ns:
        pass


class DutyCycle:
    """A producing subtask that works, then waits for its only buffer, so that a `share` of each cycle is waiting.

    A sink gives the buffer back when the task has waited its share. `truth()` is by the task's own clock readings
    around the wait, with no help of what is tested.
    """

    def __init__(self, subtask: Subtask, share: float, work: Work, *, cycle_ns: int) -> None:
        self.share = share
        self._blocked_ns = round(share * cycle_ns)
        self._busy_ns = cycle_ns - self._blocked_ns
        self._work = work
        self._waits = threading.Semaphore(0)
        self._stopping = False
        self.pool = LocalBufferPool(1, subtask.timer)
        subtask.pool = self.pool
        subtask.body = self._run
        self._sink = threading.Thread(target=self._give_back, daemon=True)
        # (waited so far, since when it waits now or None), by the task's thread.
        self._truth: tuple[int, int | None] = (0, None)

    def start(self) -> None:
        self._sink.start()

    def stop(self) -> None:
        self._stopping = True
        self._waits.release()
        self.pool.close()

    def _run(self) -> None:
        while self.pool.request_buffer(0):
            pass
        while not self._stopping:
            if self._busy_ns:
                self._work(self._busy_ns)
            if self._blocked_ns:
                self._wait_for_buffer()

    def _wait_for_buffer(self) -> None:
        waited_ns, _ = self._truth
        began_ns = time.perf_counter_ns()
        self._truth = (waited_ns, began_ns)
        # All the time: nobody gives anything back.
        if self._busy_ns:
            self._waits.release()
        try:
            self.pool.request_buffer_blocking(0)
        finally:
            self._truth = (waited_ns + time.perf_counter_ns() - began_ns, None)

    def _give_back(self) -> None:
        while True:
            self._waits.acquire()
            if self._stopping:
                return
            _NEVER.wait(self._blocked_ns / NS_PER_SECOND)
            self.pool.recycle(0)

    def waited_ns(self) -> int:
        waited_ns, since_ns = self._truth
        return waited_ns + (0 if since_ns is None else time.perf_counter_ns() - since_ns)


@dataclass(frozen=True)
class Outcome:
    """The three answers to one question: which share of its time was the task held back?"""

    wanted: float
    truth: float
    sampled: float
    # What a watcher says that knows nothing but the stack; None where none was asked for.
    foreign: float | None
    timed: float
    samples: int
    level: str
    basis: SampleBasis
    lateness_mean_ns: float
    lateness_max_ns: int


@contextmanager
def running(
    shares: list[float], work: Work, *, settings: BackPressureSettings, cycle_ns: int, also_foreign: bool = False
) -> Iterator[Callable[[], list[Outcome]]]:
    """Runs one task a share, side by side; the function given waits for all samples and tells what was seen."""
    clock = SystemClock()
    vertex = VertexSnapshot(
        vertex_id=stable_id("duty"), task="duty", kind=VertexKind.TRANSFORM, parallelism=len(shares)
    )
    subtasks = [Subtask(vertex, number, clock, failed=lambda *_: None) for number in range(len(shares))]
    cycles = [
        DutyCycle(subtask, share, work, cycle_ns=cycle_ns) for subtask, share in zip(subtasks, shares, strict=True)
    ]
    for subtask, cycle in zip(subtasks, cycles, strict=True):
        cycle.start()
        subtask.start()
    monitor = BackPressureMonitor(
        settings,
        clock,
        [vertex],
        subtasks,
        Markers(held_back=[LocalBufferPool.request_buffer_blocking]),
        is_over=lambda: False,
    )
    watcher = Watcher(program="duty", settings=settings)
    if also_foreign:
        for subtask in subtasks:
            assert subtask.thread is not None
            watcher.add(subtask.thread, "duty", markers=[LocalBufferPool.request_buffer_blocking])
        watcher.start()
    before = [(cycle.waited_ns(), subtask.timer.read()) for cycle, subtask in zip(cycles, subtasks, strict=True)]
    began_ns = time.perf_counter_ns()
    monitor.start()

    def outcomes() -> list[Outcome]:
        seconds = settings.num_samples * settings.delay_between_samples_ns / NS_PER_SECOND
        assert wait_until(lambda: monitor.look_at(vertex.vertex_id).is_fresh, seconds=4 * seconds + 20)
        elapsed_ns = time.perf_counter_ns() - began_ns
        waited = [cycle.waited_ns() for cycle in cycles]
        seen = monitor.completed(
            engine_snapshot(vertices=(vertex,), tasks=tuple(subtask.snapshot() for subtask in subtasks))
        )
        assert seen.sampler is not None
        watched = watcher.snapshot().tasks
        found = []
        for number, task in enumerate(seen.tasks):
            reading, basis = task.back_pressure, task.sample_basis
            assert reading is not None
            assert basis is not None
            waited_before, times_before = before[number]
            seen_foreign = watched[number].back_pressure if also_foreign else None
            timed_ns = sum(task.back_pressured_ns.values()) - sum(times_before.back_pressured_ns.values())
            found.append(
                Outcome(
                    wanted=shares[number],
                    truth=(waited[number] - waited_before) / elapsed_ns,
                    sampled=reading.ratio,
                    foreign=None if seen_foreign is None else seen_foreign.ratio,
                    timed=timed_ns / elapsed_ns,
                    samples=reading.samples or 0,
                    level=reading.level,
                    basis=basis,
                    lateness_mean_ns=seen.sampler.lateness_ns / seen.sampler.ticks,
                    lateness_max_ns=seen.sampler.lateness_max_ns,
                )
            )
        return found

    try:
        yield outcomes
    finally:
        monitor.stop()
        watcher.stop()
        for cycle in cycles:
            cycle.stop()
        for subtask in subtasks:
            assert subtask.join(20)
