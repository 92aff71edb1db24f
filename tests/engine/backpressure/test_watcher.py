"""The watcher on a clock turned by hand, over threads that stand still: 10 samples, 100 ms apart."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest

from engine.backpressure.hindsight import OwnWaits
from engine.backpressure.markers import Look, Markers
from engine.backpressure.settings import BackPressureMode, BackPressureSettings
from engine.backpressure.stacks import current_frames
from engine.backpressure.subjects import ThreadSubject
from engine.backpressure.watcher import Watcher
from engine.core.clock import NS_PER_MS, ManualClock
from engine.core.errors import ConfigurationError
from engine.core.snapshot import BlockReason, EngineState, TaskSnapshot, TaskStatus
from tests.support.waiting import WAIT_SECONDS, wait_until

MARKERS = (queue.Queue.put,)
IDLE = (queue.Queue.get,)


class Waiting:
    """A thread that waits for input, then to hand on, then ends; each time until it is let go."""

    def __init__(self) -> None:
        self.source: queue.Queue[int] = queue.Queue()
        self.out: queue.Queue[int] = queue.Queue(maxsize=1)
        self.out.put(0)
        self.thread = threading.Thread(target=self._run, name="waiting", daemon=True)
        self.thread.start()
        self._subject = ThreadSubject(self.thread, Markers(held_back=MARKERS, waits_for_input=IDLE))
        self._until(Look.WAITS_FOR_INPUT)

    def _run(self) -> None:
        self.source.get()
        self.out.put(1)

    def _until(self, look: Look) -> None:
        assert wait_until(lambda: self._subject.look(current_frames()) is look)

    def feed(self) -> None:
        self.source.put(1)
        self._until(Look.HELD_BACK)

    def end(self) -> None:
        self.source.put(1)
        self.out.get()
        self.thread.join(WAIT_SECONDS)


class NeverLate(OwnWaits):
    """Manual time is late whenever it likes; that is no waiting for the interpreter."""

    def waited_ns(self, late_ns: int) -> int:
        return 0


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.watcher = Watcher(
            program="program",
            settings=BackPressureSettings(num_samples=10, delay_between_samples_ns=100 * NS_PER_MS),
            clock=self.clock,
            waits=NeverLate(),
        )
        self.threads: list[Waiting] = []

    def add(self, name: str) -> Waiting:
        waiting = Waiting()
        self.threads.append(waiting)
        self.watcher.add(waiting.thread, name, markers=MARKERS, idle=IDLE)
        return waiting

    def tick(self, times: int) -> None:
        for _ in range(times):
            self.clock.advance(0.1)
            self.watcher.advance()

    def task(self, number: int = 0) -> TaskSnapshot:
        return self.watcher.snapshot().tasks[number]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    for waiting in bench.threads:
        waiting.end()


def test_a_thread_is_seen_idle_then_held_back_and_its_time_counted(bench: Bench) -> None:
    waiting = bench.add("writer")
    bench.tick(20)
    assert bench.task().state == "idle"
    waiting.feed()
    bench.tick(20)
    task = bench.task()
    assert task.back_pressure is not None
    assert (task.back_pressure.ratio, task.back_pressure.level) == (1.0, "high")
    assert task.state == BlockReason.BUFFER
    blocked_ns = task.back_pressured_ns[BlockReason.BUFFER]
    # Deadlines lie anywhere in their slots: the last look may be a slot old.
    assert blocked_ns == pytest.approx(2_000_000_000, abs=200_000_000)
    assert task.longest_blocked_ns == pytest.approx(blocked_ns, rel=0.01)
    # The thread itself computes hardly at all.
    assert task.busy_ns == pytest.approx(0, abs=20_000_000)
    assert task.idle_ns + blocked_ns == pytest.approx(4_000_000_000, abs=100_000_000)
    assert task.recent is not None
    assert task.recent.blocked_share > 0.4


def test_threads_of_one_name_are_its_subtasks(bench: Bench) -> None:
    bench.add("worker").feed()
    bench.add("worker")
    bench.add("other")
    bench.tick(10)
    snapshot = bench.watcher.snapshot()
    assert [(vertex.task, vertex.parallelism) for vertex in snapshot.vertices] == [("worker", 2), ("other", 1)]
    assert [(task.task, task.subtask) for task in snapshot.tasks] == [("worker", 0), ("worker", 1), ("other", 0)]
    worker = bench.watcher.look_at(snapshot.vertices[0].vertex_id)
    assert {number: reading.ratio for number, reading in worker.subtasks.items()} == {0: 1.0, 1: 0.0}
    assert worker.level == "high"
    assert (snapshot.pipeline, snapshot.state, snapshot.partitions) == ("program", EngineState.RUNNING, ())


def test_a_thread_that_dies_is_told_as_finished_and_the_others_are_watched_on(bench: Bench) -> None:
    dying = bench.add("dying")
    bench.add("living").feed()
    bench.tick(5)
    dying.end()
    bench.tick(10)
    dead, living = bench.watcher.snapshot().tasks
    assert (dead.status, dead.back_pressure, dead.recent) == (TaskStatus.FINISHED, None, None)
    assert dead.ended_wall_ns is not None
    assert living.back_pressure is not None
    assert living.back_pressure.ratio > 0.9
    counted = dead.busy_ns + dead.idle_ns
    bench.tick(5)
    again = bench.task()
    assert again.busy_ns + again.idle_ns == counted, "its time stands still"


def test_what_cannot_be_watched_is_refused_in_one_sentence_and_the_rest_goes_on(bench: Bench) -> None:
    running = bench.add("running").thread
    add = bench.watcher.add
    with pytest.raises(ConfigurationError, match="needs a name"):
        add(running, "", markers=MARKERS)
    with pytest.raises(ConfigurationError, match="again: markers must name at least one function"):
        add(running, "again", markers=())
    with pytest.raises(ConfigurationError, match="put cannot mark a wait"):
        add(running, "again", markers=(queue.SimpleQueue.put,))
    with pytest.raises(ConfigurationError, match="again: a str is neither a thread nor an asyncio task"):
        add("thread-1", "again", markers=MARKERS)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no vertex 'nope'"):
        bench.watcher.look_at("nope")
    bench.tick(10)
    assert [task.task for task in bench.watcher.snapshot().tasks] == ["running"]


def test_a_watch_that_has_ended_takes_nothing_more_and_stays_readable(bench: Bench) -> None:
    thread = bench.add("one").thread
    bench.tick(10)
    bench.watcher.stop()
    assert bench.watcher.snapshot().state is EngineState.FINISHED
    with pytest.raises(ConfigurationError, match="the watch has ended"):
        bench.watcher.add(thread, "two", markers=MARKERS)


def test_watching_is_always_continuous() -> None:
    with pytest.raises(ConfigurationError, match="mode must be continuous"):
        Watcher(settings=BackPressureSettings(mode=BackPressureMode.ON_DEMAND))
