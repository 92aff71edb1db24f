"""py-spy on real processes whose threads wait for a known share of their time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.core.errors import ConfigurationError
from penstock.bridges.process.watcher import ProcessSettings, ProcessWatch
from tests.support import duty_process
from tests.support.waiting import wait_until

# Half a minute each with DUTY_PIECES=6, as a ratio that is shown rests on; fewer samples are only that sure.
PIECES = int(os.environ.get("DUTY_PIECES", "2"))
PIECE_SECONDS = 5


@contextmanager
def duty(kind: str, work_ms: float, folder: Path) -> Iterator[tuple[int, Path]]:
    file = folder / "truth"
    process = subprocess.Popen([sys.executable, duty_process.__file__, kind, str(work_ms), str(file)])
    try:
        assert wait_until(lambda: file.exists() and len(file.read_text().splitlines()) > 3)
        yield process.pid, file
    finally:
        process.kill()
        process.wait()


def waited(file: Path, since: float, until: float) -> float:
    """The share of that time, by the process's own clock."""
    lines = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    during = [line for line in lines if since <= line["at"] <= until]
    first, last = during[0], during[-1]
    return float((last["waited"] - first["waited"]) / (last["at"] - first["at"]))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "work_ms"), [("sleep", 13), ("sleep", 6), ("cpu", 13), ("cpu", 6), ("asyncio", 13), ("asyncio", 6)]
)
def test_the_share_of_waiting_is_the_true_one_or_unknown(kind: str, work_ms: float, tmp_path: Path) -> None:
    with duty(kind, work_ms, tmp_path) as (pid, file):
        watch = ProcessWatch(ProcessSettings(pid=pid, piece_seconds=PIECE_SECONDS))
        began = time.time()
        before = os.times()
        for _ in range(PIECES):
            assert watch.look(), watch.snapshot().failure
        after = os.times()
        ended = time.time()
        truth = waited(file, began, ended)
    (worker,) = (task for task in watch.snapshot().tasks if task.task == "worker")
    reading = worker.back_pressure
    if reading is None:
        (vertex,) = (one for one in watch.snapshot().back_pressure if one.vertex_id == worker.vertex_id)
        print(f"{kind} {work_ms} ms: truth {truth:.3f}, unknown: {vertex.problem}")
        assert kind != "sleep", "it hardly wants a core"
        assert vertex.problem is not None
        assert "waited too long for a core" in vertex.problem
        return
    seen = reading.idle_ratio if kind == "asyncio" else reading.ratio
    assert seen is not None
    cost = after.children_user + after.children_system - before.children_user - before.children_system
    cost += after.user + after.system - before.user - before.system
    print(
        f"{kind} {work_ms} ms: truth {truth:.3f}, seen {seen:.3f} of {reading.samples} samples, "
        f"cost {cost / (ended - began):.2%} of a core"
    )
    # Three standard deviations of so many independent looks.
    sure = 3 * (0.25 / (reading.samples or 1)) ** 0.5
    assert abs(seen - truth) < max(0.06, sure)


def test_a_process_that_is_none_is_said_in_one_sentence(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "30"]) as other:
        try:
            with pytest.raises(ConfigurationError, match=f"process {other.pid} is not a Python that py-spy can read"):
                ProcessWatch(ProcessSettings(pid=other.pid)).check()
        finally:
            other.kill()
    with pytest.raises(ConfigurationError, match=f"there is no process {other.pid}"):
        ProcessWatch(ProcessSettings(pid=other.pid)).check()
