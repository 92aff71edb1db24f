"""Retention under `kill -9`, with two exporters of which one is paced: both bring every record, once and in order."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "2"))
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(10**6)))
RECORDS = 60_000
_YAML = """
pipeline:
  name: retained
  sources: {lines: {lines: {path: values.txt}}}
  exporters:
    quick: {jsonl: {path: out/quick.ndjson}}
    paced: {jsonl: {path: out/paced.ndjson}, maxRecordsPerSecond: 20000}
data: {path: ./data, retainedRecords: 500}
"""


def positions(file: Path) -> list[int]:
    """Of the whole lines."""
    if not file.exists():
        return []
    content = file.read_bytes()
    return [json.loads(line)["position"] for line in content[: content.rfind(b"\n") + 1].splitlines()]


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.timeout(300)
def test_two_exporters_of_which_one_is_paced_lose_and_double_nothing_however_often_it_is_killed(
    round_: int, tmp_path: Path
) -> None:
    print(f"TEST_SEED={SEED}, round {round_}")
    chance = random.Random(SEED * 1000 + round_)
    (tmp_path / "p.yaml").write_text(_YAML)
    (tmp_path / "values.txt").write_text("".join(f"value {n}\n" for n in range(RECORDS)))
    quick, paced = tmp_path / "out" / "quick.ndjson", tmp_path / "out" / "paced.ndjson"

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "penstock", "run", str(tmp_path / "p.yaml"), "--no-management"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    kills = 0
    for _ in range(4):
        process = start()
        # By what has left and not by seconds: also a slow machine gets somewhere.
        more = chance.randrange(200, 12_000)
        begun = len(positions(paced))
        assert wait_until(lambda p=process, n=begun + more: len(positions(paced)) >= n or p.poll() is not None, 60)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    process = start()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said.decode()
    assert kills, "it was killed at least once"
    for file in (quick, paced):
        found = positions(file)
        # Its own record of each opening stays inside or leaves; all that leaves is there once and in order.
        assert found == sorted(set(found))
        values = [json.loads(line)["value"] for line in file.read_bytes().splitlines()]
        assert [v for v in values if isinstance(v, str)] == [f"value {n}" for n in range(RECORDS)]
    segments = [*(tmp_path / "data" / "partitions" / "1").glob("*.log")]
    assert sum(file.stat().st_size for file in segments) < 40 << 20
