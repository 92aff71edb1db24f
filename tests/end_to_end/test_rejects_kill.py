"""Runs that set aside, and replays of what they did, killed with -9 again and again: each reject is there once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.processes import children
from tests.support.waiting import wait_until

RECORDS = 1500
KILLS = 2
CODE = """\
import json
from pathlib import Path

def check(task, value):
    if value["n"] % 3 == 0 and Path("broken-" + task).exists():
        raise ValueError("of three")

def parse(line):
    value = json.loads(line)
    check("parse", value)
    return value

class Work:
    def process(self, record, context):
        check("work", record.value)
        context.emit("done", record.value)
"""
FILE = """\
pipeline:
  name: again
  partitions: 2
  key: k
  sources: {numbers: {lines: {path: in.ndjson}}}
  transforms: [{parse: {map: "again_code:parse"}}]
  processor: {name: work, class: "again_code:Work", attempts: 1}
  exporters: {out: {jsonl: {path: "out-{partition}.ndjson"}, valueTypes: [done]}}
workers: WORKERS
data: data
management: {enabled: false}
flowControl: {write: {enabled: true, limit: LIMIT}}
"""


def penstock(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penstock", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)


def exported(folder: Path) -> list[int]:
    found: list[int] = []
    for path in folder.glob("out-*.ndjson"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                value: dict[str, Any] = json.loads(line)["value"]
                found.append(value["n"])
    return sorted(found)


def running(folder: Path, file: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "penstock", "run", file]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def said(folder: Path) -> str:
    return (folder / "log").read_text()


def kill_half_way(folder: Path, random: Random, *, workers: int) -> None:
    """Of a run over workers one of these, which is started again, or the parent and all with it."""
    wanted = len(exported(folder)) + random.randint(1, 150)
    run = running(folder, "slow.yaml")
    if workers > 1 and random.random() < 0.5:
        assert wait_until(lambda: len(exported(folder)) >= wanted or run.poll() is not None, 60), said(folder)
        for worker in children(run.pid)[:1]:
            os.kill(worker, signal.SIGKILL)
        wanted += 100
    assert wait_until(lambda: len(exported(folder)) >= wanted or run.poll() is not None, 60), said(folder)
    run.send_signal(signal.SIGKILL)
    run.wait(20)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("task", ["parse", "work"])
def test_each_reject_is_kept_once_and_tried_again_once_however_often_the_run_is_killed(
    tmp_path: Path, task: str, workers: int
) -> None:
    seed = int(os.environ.get("TEST_SEED", Random().randrange(1 << 32)))
    print(f"TEST_SEED={seed}")
    random = Random(seed)
    (tmp_path / "again_code.py").write_text(CODE)
    (tmp_path / "in.ndjson").write_text("".join(f'{{"n": {n}, "k": "{n % 7}"}}\n' for n in range(RECORDS)))
    file = FILE.replace("WORKERS", str(workers))
    (tmp_path / "fast.yaml").write_text(file.replace("LIMIT", "100000"))
    (tmp_path / "slow.yaml").write_text(file.replace("LIMIT", "400"))
    (tmp_path / f"broken-{task}").touch()
    bad = len(range(0, RECORDS, 3))

    for _ in range(KILLS):
        kill_half_way(tmp_path, random, workers=workers)
    first = penstock(tmp_path, "run", "fast.yaml", "--fail-on-rejects")
    assert first.returncode == 3, first.stderr
    assert f"rejected ({task} " in first.stdout
    assert len([line for line in first.stderr.splitlines() if "is kept aside" in line]) <= 3 * workers
    assert re.match(rf"{task}  {bad}, since \d", penstock(tmp_path, "rejects", "ls", "data").stdout)
    assert penstock(tmp_path, "rejects", "cat", "data", task, "--limit", "2").stdout.count("of three") == 2

    (tmp_path / f"broken-{task}").unlink()
    dry = penstock(tmp_path, "rejects", "replay", "data", task, "--dry-run")
    assert dry.stdout == f"{bad} rejects of {task} would be tried again\n"
    assert penstock(tmp_path, "rejects", "replay", "data", task).returncode == 0
    again = penstock(tmp_path, "rejects", "replay", "data", task)
    assert (again.returncode, "are being replayed already" in again.stderr) == (2, True)
    for _ in range(KILLS):
        kill_half_way(tmp_path, random, workers=workers)
    last = penstock(tmp_path, "run", "fast.yaml", "--fail-on-rejects")
    assert last.returncode == 0, last.stderr
    assert exported(tmp_path) == [*range(RECORDS)]
    assert penstock(tmp_path, "rejects", "ls", "data").stdout == "nothing is set aside\n"
