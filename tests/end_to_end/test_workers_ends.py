"""Every way in which a run over worker processes can end: no process, no socket and no shared memory is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import (
    ConfigurationError,
    DataFolderError,
    Engine,
    EngineOptions,
    PenstockError,
    TaskFailedError,
)
from engine.core.snapshot import EngineState
from engine.workers.engine import WorkerEngine
from tests.support.flights import ROOT
from tests.support.processes import children, is_running, leavable, sockets
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.worker_pipelines import engine_of

PATIENCE_SECONDS = 3 * WAIT_SECONDS
Running = Engine | WorkerEngine


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("penstock")}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Compared with what this process, which is the parent, had before."""
    me = os.getpid()
    processes_before, sockets_before, threads_before = set(children(me)), sockets(me), threads()
    yield
    assert wait_until(lambda: set(children(me)) <= processes_before)
    assert wait_until(lambda: sockets(me) <= sockets_before), sockets(me) - sockets_before
    assert wait_until(lambda: threads() <= threads_before), threads() - threads_before


def worker_ids(engine: Running) -> list[int]:
    return [worker.process_id for worker in engine.snapshot().workers if worker.process_id is not None]


# -- ends of an engine that this process started ---


def it_is_told_to_drain(engine: Running) -> None:
    engine.stop()


def it_is_told_to_end_at_once(engine: Running) -> None:
    engine.stop(drain=False)


def a_worker_is_killed_and_the_end_comes_before_it_is_back(engine: Running) -> None:
    os.kill(worker_ids(engine)[1], signal.SIGKILL)
    engine.stop()


def a_worker_is_killed_and_comes_back(engine: Running) -> None:
    before = worker_ids(engine)[0]
    os.kill(before, signal.SIGKILL)
    assert wait_until(lambda: engine.snapshot().workers[0].restarts == 1, PATIENCE_SECONDS)
    assert wait_until(lambda: all(worker.is_up for worker in engine.snapshot().workers), PATIENCE_SECONDS)
    assert not is_running(before)
    engine.stop(drain=False)


def all_workers_are_killed_during_the_end(engine: Running) -> None:
    workers = worker_ids(engine)
    ending = threading.Thread(target=engine.stop)
    ending.start()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    ending.join(PATIENCE_SECONDS)
    assert not ending.is_alive()


@pytest.mark.parametrize(
    "end",
    [
        it_is_told_to_drain,
        it_is_told_to_end_at_once,
        a_worker_is_killed_and_the_end_comes_before_it_is_back,
        a_worker_is_killed_and_comes_back,
        all_workers_are_killed_during_the_end,
    ],
)
def test_an_end_from_outside_leaves_nothing(end: Callable[[Running], None], tmp_path: Path) -> None:
    engine = engine_of("echoing", tmp_path, workers=2).start()
    workers = worker_ids(engine)
    for process in (os.getpid(), *workers):
        assert leavable(process) == [], "nothing has a name by which it could be left behind"
    end(engine)
    assert engine.wait(PATIENCE_SECONDS)
    assert not any(map(is_running, workers))
    # And the folder can be had at once.
    with engine_of("echoing", tmp_path, workers=2) as another:
        another.stop(drain=False)


def test_an_end_by_itself_leaves_nothing(tmp_path: Path) -> None:
    with engine_of("counting", tmp_path / "data", str(tmp_path), 50, workers=2) as engine:
        assert engine.wait(PATIENCE_SECONDS)
        assert worker_ids(engine) == []


def test_a_task_that_fails_leaves_nothing(tmp_path: Path) -> None:
    engine = engine_of("failing", tmp_path, workers=2).start()
    with pytest.raises(TaskFailedError, match="13 is not to my liking"):
        engine.wait(PATIENCE_SECONDS)
    assert worker_ids(engine) == []


def test_a_worker_that_cannot_be_replaced_leaves_nothing(tmp_path: Path) -> None:
    engine = engine_of("echoing", tmp_path, workers=2, options=EngineOptions(storage="memory")).start()
    os.kill(worker_ids(engine)[0], signal.SIGKILL)
    with pytest.raises(TaskFailedError, match="was ended by SIGKILL"):
        engine.wait(PATIENCE_SECONDS)
    assert worker_ids(engine) == []


@pytest.mark.parametrize(
    ("name", "error", "why"),
    [
        ("no_such_pipeline", ConfigurationError, "cannot import"),
        ("differing", ConfigurationError, "finds another pipeline than the others"),
        ("dying", PenstockError, "ended with exit code 78; it died 5 times in a row"),
    ],
)
def test_a_start_that_fails_leaves_nothing(name: str, error: type[Exception], why: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=why):
        engine_of(name, tmp_path, workers=2).start()


def test_an_end_that_is_wanted_before_the_beginning_is_no_failure_and_leaves_nothing(tmp_path: Path) -> None:
    engine = engine_of("slow_to_make", tmp_path / "data", str(tmp_path), workers=2)
    starting = threading.Thread(target=engine.start)
    starting.start()
    assert wait_until(lambda: len(list(tmp_path.glob("begun-*"))) == 2, PATIENCE_SECONDS)
    engine.stop()
    starting.join(PATIENCE_SECONDS)
    assert not starting.is_alive()
    assert engine.wait(PATIENCE_SECONDS)
    assert engine.state is EngineState.FINISHED
    assert worker_ids(engine) == []


def test_sigterm_before_the_beginning_is_no_failure_of_penstock_run(tmp_path: Path) -> None:
    (tmp_path / "slow_code.py").write_text(
        "import pathlib, threading\npathlib.Path(__file__).with_name('begun').touch()\nthreading.Event().wait()\n"
    )
    (tmp_path / "slow.yaml").write_text(
        "pipeline:\n  name: slow\n  partitions: 2\n  sources: {numbers: {generator: {}}}\n"
        '  transforms: [{same: {map: "slow_code:same"}}]\n  key: n\n'
        "management: {enabled: false}\nworkers: 2\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "run", str(tmp_path / "slow.yaml")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert wait_until((tmp_path / "begun").exists, PATIENCE_SECONDS)
    workers = children(process.pid)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert wait_until(lambda: not any(map(is_running, workers)), PATIENCE_SECONDS)


def test_a_folder_that_is_in_use_leaves_nothing(tmp_path: Path) -> None:
    with engine_of("echoing", tmp_path, workers=2) as engine:
        before = worker_ids(engine)
        with pytest.raises(DataFolderError, match="is in use"):
            engine_of("echoing", tmp_path, workers=2).start()
        assert worker_ids(engine) == before
        engine.stop(drain=False)


# -- ends of a parent of its own ---

PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
from tests.support.worker_pipelines import engine_of
engine = engine_of("echoing", Path(sys.argv[1]), workers=2).start()
print(*[worker.process_id for worker in engine.snapshot().workers], flush=True)
RUN
"""


@pytest.mark.parametrize(
    ("run", "number", "code"),
    [
        ("engine.wait()", signal.SIGKILL, -signal.SIGKILL),
        # Nobody in this program acts on it: it dies of it, as of SIGKILL.
        ("engine.wait()", signal.SIGTERM, -signal.SIGTERM),
        ("import os; os._exit(3)", 0, 3),
        ("sys.exit(4)", 0, 4),
        ("raise RuntimeError", 0, 1),
    ],
    ids=["SIGKILL", "SIGTERM", "exit-at-once", "exit", "error"],
)
def test_a_parent_that_ends_without_a_word_takes_its_workers_with_it(
    run: str, number: int, code: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", PARENT.replace("RUN", run), str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    workers = [int(word) for word in process.stdout.readline().split()]
    assert len(workers) == 2
    if number:
        process.send_signal(number)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code
    assert wait_until(lambda: not any(map(is_running, workers)), PATIENCE_SECONDS)
    assert [path for path in tmp_path.rglob("*") if path.is_socket() or path.is_fifo()] == []


@pytest.mark.parametrize("signals", [1, 2])
def test_sigterm_to_penstock_run_ends_its_workers(signals: int, tmp_path: Path) -> None:
    (tmp_path / "numbers.yaml").write_text(
        "pipeline:\n  name: numbers\n  partitions: 2\n  sources: {numbers: {generator: {}}}\n"
        "  key: n\n  exporters: {out: {jsonl: {path: out.ndjson}}}\nmanagement: {enabled: false}\nworkers: 2\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "run", str(tmp_path / "numbers.yaml")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "runs over" in line:
            break
    workers = children(process.pid)
    assert len(workers) == 2, said
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_SECONDS)
    # The second one comes while it drains, when that is done, or when nobody listens any more.
    assert process.returncode in ((0,) if signals == 1 else (0, 128 + signal.SIGTERM, -signal.SIGTERM))
    assert wait_until(lambda: not any(map(is_running, workers)), PATIENCE_SECONDS)
