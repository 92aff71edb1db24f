"""A replay of rejects that is killed with -9, again and again: each reject is there once."""

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

from tests.support.waiting import wait_until

RECORDS = 3000
CODE = """\
import json
from pathlib import Path

def parse(line):
    value = json.loads(line)
    if value["n"] % 3 == 0 and Path("broken").exists():
        raise ValueError("of three")
    return value
"""
FILE = """\
pipeline:
  name: again
  partitions: 2
  key: k
  sources: {numbers: {lines: {path: in.ndjson}}}
  transforms: [{parse: {map: "again_code:parse"}}]
  exporters: {out: {jsonl: {path: "out-{partition}.ndjson"}}}
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


def test_each_reject_is_there_once_however_often_its_replay_is_killed(tmp_path: Path) -> None:
    seed = int(os.environ.get("TEST_SEED", Random().randrange(1 << 32)))
    print(f"TEST_SEED={seed}")
    random = Random(seed)
    (tmp_path / "again_code.py").write_text(CODE)
    (tmp_path / "in.ndjson").write_text("".join(f'{{"n": {n}, "k": "{n % 7}"}}\n' for n in range(RECORDS)))
    (tmp_path / "fast.yaml").write_text(FILE.replace("LIMIT", "100000"))
    (tmp_path / "slow.yaml").write_text(FILE.replace("LIMIT", "200"))
    (tmp_path / "broken").touch()

    first = penstock(tmp_path, "run", "fast.yaml", "--fail-on-rejects")
    assert first.returncode == 3, first.stderr
    assert "1,000 rejected (parse 1,000)" in first.stdout
    assert len([line for line in first.stderr.splitlines() if "is kept aside" in line]) <= 3
    assert re.match(r"parse  1,000, since \d", penstock(tmp_path, "rejects", "ls", "data").stdout)
    assert penstock(tmp_path, "rejects", "cat", "data", "parse", "--limit", "2").stdout.count("of three") == 2

    (tmp_path / "broken").unlink()
    dry = penstock(tmp_path, "rejects", "replay", "data", "parse", "--dry-run")
    assert dry.stdout == "1,000 rejects of parse would be tried again\n"
    assert penstock(tmp_path, "rejects", "replay", "data", "parse").returncode == 0
    again = penstock(tmp_path, "rejects", "replay", "data", "parse")
    assert (again.returncode, "are being replayed already" in again.stderr) == (2, True)
    for _ in range(4):
        before = len(exported(tmp_path))
        wanted = before + random.randint(1, 150)
        command = [sys.executable, "-m", "penstock", "run", "slow.yaml"]
        running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert wait_until(lambda wanted=wanted: len(exported(tmp_path)) >= wanted)
        running.send_signal(signal.SIGKILL)
        running.wait(20)
    last = penstock(tmp_path, "run", "fast.yaml", "--fail-on-rejects")
    assert last.returncode == 0, last.stderr
    assert exported(tmp_path) == [*range(RECORDS)]
    assert penstock(tmp_path, "rejects", "ls", "data").stdout == "nothing is set aside\n"
