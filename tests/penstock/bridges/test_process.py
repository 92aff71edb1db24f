"""A process seen from outside: how stacks are judged, what is shown of threads, and who is to blame."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

import pytest

from engine.backpressure.window import Verdict
from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.errors import ConfigurationError, SettingError
from engine.core.snapshot import BlockReason, EngineState
from penstock.bridges.asking import LookError
from penstock.bridges.process.clocks import read_clocks
from penstock.bridges.process.rules import Frame, Rules
from penstock.bridges.process.stacks import Samples, read_raw
from penstock.bridges.process.watcher import ProcessSettings, ProcessWatch, task_of
from tests.support.waiting import wait_until

WAIT = "Condition.wait (threading.py:320)"
ITEM, WORKER = "_WorkItem.run (concurrent/futures/thread.py:58)", "_worker (concurrent/futures/thread.py:83)"


def stack(*frames: str) -> tuple[Frame, ...]:
    """Written innermost first, as `function (file:line)`."""
    (found,) = read_raw(f"thread (1): t;{';'.join(reversed(frames))} 1")
    return found.stack


@pytest.mark.parametrize(
    ("frames", "verdict"),
    [
        ((WAIT, "Queue.put (queue.py:140)", "read (app.py:3)"), Verdict.BLOCKED),
        (("wait (threading.py:320)", "put (queue.py:140)", "read (app.py:3)"), Verdict.BLOCKED),
        ((WAIT, "Queue.get (queue.py:171)", "parse (app.py:9)"), Verdict.IDLE),
        (("parse (app.py:9)", "run (app.py:2)"), Verdict.BUSY),
        (("Queue.put (multiprocessing/queues.py:88)", "emit (app.py:9)"), Verdict.BLOCKED),
        (("Connection._recv (multiprocessing/connection.py:379)", "take (app.py:9)"), Verdict.IDLE),
        (("Connection._send (multiprocessing/connection.py:368)", "give (app.py:9)"), Verdict.BLOCKED),
        (("EpollSelector.select (selectors.py:468)", "_run_once (asyncio/base_events.py:1884)"), Verdict.IDLE),
        (("_worker (concurrent/futures/thread.py:81)", "run (threading.py:975)"), Verdict.IDLE),
        (("f (app.py:1)", ITEM, WORKER),
         Verdict.BUSY),
        ((ITEM, WORKER), Verdict.BUSY),
        # A job of a pool that hands on is held back, whatever the pool is.
        ((WAIT, "Queue.put (queue.py:140)", "f (app.py:1)", ITEM), Verdict.BLOCKED),
        (("SocketIO.readinto (socket.py:706)", "serve (app.py:9)"), Verdict.IDLE),
        (("SocketIO.readinto (socket.py:706)", "HTTPResponse._read_status (http/client.py:285)"), Verdict.BUSY),
        (("SocketIO.write (socket.py:724)", "answer (app.py:9)"), Verdict.BLOCKED),
        (("Worker.wait_for_job (billiard/pool.py:430)", "Worker.workloop (billiard/pool.py:350)"), Verdict.IDLE),
        (("_poll (kombu/utils/eventio.py:80)", "create_loop (kombu/asynchronous/hub.py:300)"), Verdict.IDLE),
        ((WAIT, "Semaphore.acquire (threading.py:450)", "take (app.py:9)"), Verdict.IDLE),
        ((WAIT, "take (app.py:9)"), Verdict.IDLE),
        (("put (app/queue_of_mine.py:3)",), Verdict.BUSY),
        ((), Verdict.BUSY),
    ],
)  # fmt: skip
def test_what_stands_on_top_of_a_stack_says_what_its_thread_does(frames: Sequence[str], verdict: Verdict) -> None:
    assert Rules().verdict(stack(*frames)) is verdict


def test_rules_of_ones_own_come_first() -> None:
    frames = stack("acquire (app/limits.py:7)", "call (app/client.py:3)")
    assert Rules(held=["acquire@limits.py"]).verdict(frames) is Verdict.BLOCKED
    assert Rules(held=["acquire@app/limits.py"]).verdict(frames) is Verdict.BLOCKED
    assert Rules(idle=["acq*@limits.py"]).verdict(frames) is Verdict.IDLE
    assert Rules(held=["acquire@other.py"]).verdict(frames) is Verdict.BUSY
    waiting = stack(WAIT, "Queue.get (queue.py:171)", "answer (app.py:9)")
    assert Rules(busy=["answer@app.py"]).verdict(waiting) is Verdict.BUSY


@pytest.mark.parametrize("written", ["put", "@queue.py", "put@", ""])
def test_a_rule_that_cannot_be_read_is_refused(written: str) -> None:
    with pytest.raises(ConfigurationError, match="is no rule; write FUNCTION@FILE"):
        Rules(held=[written])


def test_what_py_spy_writes_is_read_and_the_rest_left_out() -> None:
    text = (
        "thread (18302): consumer;Thread.run (threading.py:971);main.<locals>.f (app.py:5);Queue.get (queue.py:154) 6\n"
        "thread (0x7F12);main (app.py:3) 59\n"
        "nonsense\n"
        "thread (1): half;main (app.py:3) many\n"
        "thread (7): odd name; with (parts);main (a b/app.py:3) 2\n"
        "\n"
    )
    found = list(read_raw(text))
    assert [(one.thread_id, one.thread, one.count) for one in found] == [
        ("18302", "consumer", 6),
        ("0x7F12", "thread 0x7F12", 59),
        ("7", "odd name", 2),
    ]
    assert found[0].stack[0] == Frame("Queue.get", "queue.py")
    assert found[2].stack[0] == Frame("main", "a b/app.py")


@pytest.mark.parametrize(
    ("thread", "task"),
    [
        ("reader", "reader"),
        ("reader-1", "reader"),
        ("reader_12", "reader"),
        ("reader3", "reader"),
        ("Thread-4 (parse)", "parse"),
        ("ThreadPoolExecutor-0_3", "ThreadPoolExecutor-0"),
        ("MainThread", "MainThread"),
        ("42", "42"),
        ("", "unnamed"),
    ],
)
def test_threads_that_differ_by_a_number_are_subtasks_of_one_task(thread: str, task: str) -> None:
    assert task_of(thread) == task


HELD = stack(WAIT, "Queue.put (queue.py:140)", "read (app.py:3)")
IDLE = stack(WAIT, "Queue.get (queue.py:171)", "write (app.py:3)")
WORKS = stack("parse (app.py:3)")


class Process:
    """Gives what it was told, as py-spy would."""

    def __init__(self, *samples: Samples) -> None:
        self.samples = list(samples)
        self.error: LookError | None = None

    def read(self, seconds: int) -> list[Samples]:
        if self.error is not None:
            raise self.error
        return self.samples


@pytest.fixture
def process() -> Process:
    return Process(
        Samples("11", "read-1", HELD, 90),
        Samples("11", "read-1", WORKS, 10),
        Samples("12", "parse", WORKS, 97),
        Samples("12", "parse", IDLE, 3),
        Samples("13", "write", IDLE, 80),
        Samples("13", "write", WORKS, 20),
    )


@pytest.fixture
def watch(process: Process) -> ProcessWatch:
    return watching(process.read)


def watching(read: Callable[[int], list[Samples]], graph: tuple[str, ...] = ("read", "parse", "write")) -> ProcessWatch:
    settings = ProcessSettings(pid=os.getpid(), name="app", graph=(graph,) if graph else ())
    return ProcessWatch(settings, clock=ManualClock(), read=read)


def test_threads_are_tasks_with_their_shares_and_the_one_to_blame_is_named(watch: ProcessWatch) -> None:
    assert watch.snapshot().state is EngineState.STARTING
    assert watch.look()
    told = watch.snapshot()
    assert (told.pipeline, told.state) == ("app", EngineState.RUNNING)
    assert [task.task for task in told.tasks] == ["read", "parse", "write"]
    shares = [t.back_pressure for t in told.tasks]
    assert [(s.ratio, s.busy_ratio, s.idle_ratio, s.level) for s in shares if s] == [
        (0.9, 0.1, 0.0, "high"),
        (0.0, 0.97, 0.03, "ok"),
        (0.0, 0.2, 0.8, "ok"),
    ]
    assert told.bottleneck == "parse"
    assert told.waits == (("read", "parse"),)
    assert told.tasks[0].back_pressured_ns == {BlockReason.BUFFER: 4_500_000_000}
    assert (told.tasks[0].records_in, told.tasks[0].records_out) == (None, None)


def test_without_a_graph_nobody_is_blamed(process: Process) -> None:
    watch = watching(process.read, ())
    watch.look()
    assert (watch.snapshot().bottleneck, watch.snapshot().waits) == (None, None)


def test_a_ratio_rests_on_the_last_half_minute(process: Process, watch: ProcessWatch) -> None:
    watch.look()
    process.samples = [Samples("11", "read-1", WORKS, 100)]
    for _ in range(5):
        watch.look()
    (task,) = watch.snapshot().tasks
    assert task.back_pressure is not None
    assert task.back_pressure.ratio == pytest.approx(0.15)
    watch.look()
    (task,) = watch.snapshot().tasks
    assert task.back_pressure is not None
    assert task.back_pressure.ratio == 0


def test_the_times_of_a_thread_add_up_to_the_time_that_passes(process: Process) -> None:
    clock = ManualClock()
    watch = ProcessWatch(ProcessSettings(pid=os.getpid(), name="app"), clock=clock, read=process.read)
    watch.look()
    # py-spy takes a while to begin.
    clock.advance(5.5)
    watch.look()
    # After a stall nobody knows.
    clock.advance(60)
    watch.look()
    reader = next(task for task in watch.snapshot().tasks if task.task == "read")
    assert reader.busy_ns is not None
    assert reader.busy_ns + reader.back_pressured_ns[BlockReason.BUFFER] == (5 + 5.5 + 10) * NS_PER_SECOND


@pytest.mark.parametrize(
    ("on_core", "in_front", "ratio"),
    [(0.02, 0.0, 0.6), (0.5, 0.0, 0.5), (0.5, 0.08, 0.5), (0.5, 0.3, None)],
)
def test_who_was_on_a_core_did_not_wait_however_often_it_was_seen_so(
    on_core: float, in_front: float, ratio: float | None
) -> None:
    clock = ManualClock()
    ran_ns = [0, 0]

    def read(seconds: int) -> list[Samples]:
        clock.advance(seconds)
        ran_ns[0] += round(on_core * seconds * NS_PER_SECOND)
        ran_ns[1] += round((on_core + in_front) * seconds * NS_PER_SECOND)
        return [Samples("11", "read", HELD, 60), Samples("11", "read", WORKS, 40)]

    watch = ProcessWatch(
        ProcessSettings(pid=1, name="app"),
        clock=clock,
        read=read,
        clocks=lambda: {"11": (ran_ns[0], ran_ns[1])},
    )
    for _ in range(8):
        watch.look()
    told = watch.snapshot()
    (task,) = told.tasks
    if ratio is None:
        assert (task.back_pressure, task.recent, task.busy_ns, told.back_pressure[0].level) == (None, None, None, None)
        assert told.back_pressure[0].problem is not None
        assert "waited too long for a core" in told.back_pressure[0].problem
        return
    assert task.back_pressure is not None
    assert task.back_pressure.ratio == pytest.approx(ratio)
    assert task.back_pressure.busy_ratio == pytest.approx(1 - ratio)
    # Of forty seconds.
    assert task.back_pressured_ns[BlockReason.BUFFER] == pytest.approx(40 * NS_PER_SECOND * ratio, rel=0.001)


def test_the_clocks_of_a_processes_threads_go_on_while_it_computes() -> None:
    before = read_clocks(os.getpid())
    if not before:
        pytest.skip("the system does not say how long threads ran")
    me = str(threading.get_native_id())
    assert wait_until(lambda: read_clocks(os.getpid())[me][0] > before[me][0])
    assert all(ran <= wanted for ran, wanted in before.values())
    assert read_clocks(2**22 + 1) == {}


def test_a_thread_that_ended_is_gone_and_its_number_free(process: Process, watch: ProcessWatch) -> None:
    process.samples = [Samples("1", "w-7", WORKS, 9), Samples("2", "w-8", HELD, 9)]
    watch.look()
    process.samples = [Samples("2", "w-8", HELD, 9), Samples("3", "w-9", IDLE, 9)]
    watch.look()
    assert [(task.task, task.subtask, task.state) for task in watch.snapshot().tasks] == [
        ("w", 0, "idle"),
        ("w", 1, "buffer"),
    ]


def test_a_process_that_is_gone_is_not_shown_and_says_why(process: Process, watch: ProcessWatch) -> None:
    watch.look()
    process.error = LookError("unreachable", "there is no process 4711")
    assert not watch.look()
    told = watch.snapshot()
    assert (told.tasks, told.state, told.failure) == ((), EngineState.FAILED, "there is no process 4711")
    assert told.bridge is not None
    assert told.bridge.errors["unreachable"] == 1


def test_more_threads_than_are_taken_are_counted_as_omitted(
    process: Process, watch: ProcessWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.bridges.process.watcher.THREADS_MAX", 2)
    watch.look()
    told = watch.snapshot()
    assert len(told.tasks) == 2
    assert told.bridge is not None
    assert told.bridge.omitted == 1


@pytest.mark.parametrize(("field", "value"), [("pid", 0), ("rate", 0), ("rate", 101), ("piece_seconds", 0)])
def test_settings_that_cannot_be_are_refused(field: str, value: int) -> None:
    with pytest.raises(SettingError):
        ProcessSettings(**{"pid": 1, field: value})  # type: ignore[arg-type]
