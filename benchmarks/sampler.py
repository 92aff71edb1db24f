"""What sampling costs, and how near it comes to the truth.

    python -m benchmarks sampler

Cost: CPU time of the monitor's thread ÷ wall time, for subtasks that wait 25 frames deep, beside the limit: the bare
`sys._current_frames()` and one comparison a thread. Truth: tasks that are held back a known share of their time.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from benchmarks.conditions import Spread, conditions
from benchmarks.study import Pace, Report
from engine.backpressure.markers import Markers
from engine.backpressure.monitor import BackPressureMonitor
from engine.backpressure.settings import BackPressureSettings
from engine.backpressure.stacks import current_frames
from engine.core.clock import NS_PER_MS, SystemClock
from engine.core.identity import stable_id
from engine.core.snapshot import VertexKind, VertexSnapshot
from engine.tasks.buffers import LocalBufferPool
from engine.tasks.subtask import Subtask
from tests.support.duty_cycle import Outcome, computing, running, sleeping

SHARES = [0, 0.05, 0.1, 0.3, 0.5, 0.7, 1]
_SECONDS = 5.0


def deep(levels: int, then: Callable[[], None]) -> None:
    if levels:
        deep(levels - 1, then)
    else:
        then()


class Bench:
    """So many subtasks, half of them held back, half of them idle in a wait of their own."""

    def __init__(self, subtasks: int) -> None:
        clock = SystemClock()
        self.over = threading.Event()
        vertex = VertexSnapshot(
            vertex_id=stable_id("bench"), task="bench", kind=VertexKind.TRANSFORM, parallelism=subtasks
        )
        self.subtasks = [Subtask(vertex, number, clock, failed=lambda *_: None) for number in range(subtasks)]
        self.pools = [LocalBufferPool(1, subtask.timer) for subtask in self.subtasks]
        for number, (subtask, pool) in enumerate(zip(self.subtasks, self.pools, strict=True)):
            subtask.pool = pool
            subtask.body = self._held_back(pool) if number % 2 else lambda: deep(25, self._wait)
        self.monitor = BackPressureMonitor(
            BackPressureSettings(),
            clock,
            [vertex],
            self.subtasks,
            Markers(held_back=[LocalBufferPool.request_buffer_blocking]),
            is_over=lambda: False,
        )

    def _wait(self) -> None:
        self.over.wait()

    def _held_back(self, pool: LocalBufferPool) -> Callable[[], None]:
        def body() -> None:
            while pool.request_buffer(0):
                pass
            deep(25, lambda: pool.request_buffer_blocking(0))

        return body

    def cpu_share(self) -> float:
        """CPU time of the monitor's thread ÷ wall time, over some seconds."""
        self.monitor.start()
        thread = next(t for t in threading.enumerate() if t.name == "penstock-back-pressure")
        clock_id = time.pthread_getcpuclockid(thread.ident or 0)
        time.sleep(0.5)
        wall, cpu = time.perf_counter(), time.clock_gettime(clock_id)
        time.sleep(_SECONDS)
        share = (time.clock_gettime(clock_id) - cpu) / (time.perf_counter() - wall)
        self.monitor.stop()
        return share

    def limit_share(self) -> float:
        """What the look alone costs, 20 times a second, without a thread of its own."""
        idents = [subtask.thread.ident for subtask in self.subtasks if subtask.thread is not None]
        wanted = LocalBufferPool.request_buffer_blocking.__code__
        began, looks = time.thread_time(), 40
        for _ in range(looks):
            frames = current_frames()
            sum(1 for ident in idents if ident in frames and frames[ident].f_code is wanted)
        return (time.thread_time() - began) / looks * 20

    def __enter__(self) -> Bench:
        for subtask in self.subtasks:
            subtask.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for pool, subtask in zip(self.pools, self.subtasks, strict=True):
            pool.close()
            subtask.join(20)


def cost(pace: Pace) -> tuple[list[str], dict[str, list[float]]]:
    lines = [
        f"cost: samples 50 ms apart, for ever; n = {pace.of(5, 2)} times {_SECONDS:g} s",
        f"{'subtasks':>10}{'CPU ÷ wall, %':>24}{'goal':>8}{'look alone, %':>24}",
    ]
    found: dict[str, list[float]] = {}
    threading.stack_size(256 * 1024)
    for subtasks, goal in ((100, 0.5), (1000, 3.5)):
        shares, limits = [], []
        for _ in pace.repetitions(5, 2, f"{subtasks} threads"):
            with Bench(subtasks) as bench:
                shares.append(100 * bench.cpu_share())
                limits.append(100 * bench.limit_share())
        found[f"sampler, {subtasks}"] = shares
        lines.append(f"{subtasks:>10}{Spread.of(shares).text():>24}{goal:>8}{Spread.of(limits).text():>24}")
    threading.stack_size(0)
    return lines, found


def truth(pace: Pace) -> tuple[list[str], dict[str, list[float]]]:
    settings = BackPressureSettings(num_samples=500, delay_between_samples_ns=10 * NS_PER_MS)
    lines = [
        f"truth: {settings.num_samples} samples, 10 ms apart, cycles of 20 ms; n = {pace.of(3, 1)}; the middle one of "
        "them, and the worst error of all (goal: 0.04)",
        f"{'task':>11}{'wanted':>8}{'truth':>8}{'sampled':>9}{'timers':>8}{'worst':>8}{'stack alone':>13}"
        f"{'by transitions':>16}{'disagree':>10}{'mean lateness':>15}",
    ]
    found: dict[str, list[float]] = {}
    for name, work in (("waiting", sleeping), ("computing", computing)):
        # Of each repetition the worst error of all shares.
        worst = [0.0] * pace.of(3, 1)
        # Tasks that wait run side by side; each that computes has the interpreter to itself.
        for shares in [SHARES] if work is sleeping else [[share] for share in SHARES]:
            runs = []
            for repetition in pace.repetitions(3, 1, f"{name} threads"):
                with running(shares, work, settings=settings, cycle_ns=20 * NS_PER_MS, also_foreign=True) as outcomes:
                    runs.append(outcomes())
                errors = (abs(outcome.sampled - outcome.truth) for outcome in runs[-1])
                worst[repetition] = max(worst[repetition], *errors)
            lines += [_row(name, [run[number] for run in runs]) for number in range(len(shares))]
        found[f"truth, {name}"] = worst
    return lines, found


def _row(name: str, seen: list[Outcome]) -> str:
    middle = sorted(seen, key=lambda outcome: outcome.sampled - outcome.truth)[len(seen) // 2]
    worst = max(abs(outcome.sampled - outcome.truth) for outcome in seen)
    taken = middle.basis.by_stack + middle.basis.by_transitions
    return (
        f"{name:>11}{middle.wanted:>8.2f}{middle.truth:>8.3f}{middle.sampled:>9.3f}{middle.timed:>8.3f}{worst:>8.3f}"
        f"{middle.foreign or 0.0:>13.3f}"
        f"{middle.basis.by_transitions / taken:>16.1%}{middle.basis.disagreements / taken:>10.2%}"
        f"{middle.lateness_mean_ns / NS_PER_MS:>12.2f} ms"
    )


def run(pace: Pace) -> Report:
    head = [conditions(), f"switch interval {sys.getswitchinterval() * 1000:g} ms", ""]
    cost_lines, costs = cost(pace)
    truth_lines, errors = truth(pace)
    return Report("\n".join([*head, *cost_lines, "", *truth_lines]), costs | errors)
