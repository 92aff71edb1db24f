"""`kill -9` at random moments of a run with all exporters: nothing is missing, nor double where that is promised."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.targets.http_target import BulkTarget, LineTarget, bulk_target, line_target
from tests.support.targets.postgres_server import MISSING, PostgresServer, postgres_server

pytestmark = [pytest.mark.real, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(10**6)))
ROUNDS = int(os.environ.get("TEST_KILLS", "4"))
# So many that there is work left for each life.
RECORDS = 1000 * ROUNDS
ROOT = Path(__file__).parents[2]

SETTINGS = """\
pipeline:
  name: killed
  partitions: 2
  sources: {{numbers: {{lines: {{path: numbers.ndjson}}}}}}
  transforms: [{{parse: {{map: "json:loads"}}}}]
  key: k
  exporters:
    file: {{jsonl: {{path: out.ndjson, rotate: {{size: 100KB, gzip: true}}}}}}
    rows: {{postgres: {{url: "{database}"}}}}
    documents: {{elasticsearch: {{url: "{bulk}", index: killed}}}}
    lines: {{http: {{url: "{lines}"}}}}
flowControl: {{write: {{enabled: true, limit: 1000}}}}
engine: {{exportBatchRecords: 100}}
management: {{enabled: false}}
"""


@pytest.fixture
def lines() -> Iterator[LineTarget]:
    with line_target() as target:
        yield target


@pytest.fixture
def bulk() -> Iterator[BulkTarget]:
    with bulk_target() as target:
        yield target


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def started(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "penstock", "run", str(folder / "killed.yaml")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def positions_in_files(folder: Path, partition: int) -> list[tuple[int, int | None]]:
    """Position and number of each line, closed files first."""
    closed = sorted(folder.glob(f"out-{partition}.*.ndjson.gz"))
    text = b"".join(gzip.decompress(path.read_bytes()) for path in closed)
    text += (folder / f"out-{partition}.ndjson").read_bytes()
    found = [json.loads(line) for line in text.splitlines()]
    return [(line["position"], line["value"].get("n")) for line in found]


def test_killed_again_and_again_all_targets_have_everything(
    lines: LineTarget, bulk: BulkTarget, database: PostgresServer, tmp_path: Path
) -> None:
    print(f"TEST_SEED={SEED}, {ROUNDS} kills")
    chance = random.Random(SEED)
    (tmp_path / "numbers.ndjson").write_text(
        "".join(json.dumps({"n": n, "k": f"key {n % 17}"}) + "\n" for n in range(RECORDS))
    )
    (tmp_path / "killed.yaml").write_text(SETTINGS.format(database=database.url, bulk=bulk.url, lines=lines.url))
    never = threading.Event()
    killed = 0
    while killed < ROUNDS:
        process = started(tmp_path)
        # Into the start, or into the work.
        never.wait(chance.uniform(0.3, 1.6))
        process.kill()
        process.wait(20)
        killed += 1
    process = started(tmp_path)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 0, said.decode()

    everything = set(range(RECORDS))
    in_files: dict[int, list[int]] = {}
    for partition in (1, 2):
        found = positions_in_files(tmp_path, partition)
        positions = [position for position, _ in found]
        # In order and each once; the engine's own records, one of each opening, stay inside.
        assert positions == sorted(set(positions))
        in_files[partition] = positions
    numbers = [n for p in (1, 2) for _, n in positions_in_files(tmp_path, p) if n is not None]
    assert sorted(numbers) == sorted(everything)

    rows = database.query("SELECT partition, position, value->>'n' FROM penstock_records ORDER BY 1, 2")
    assert [(partition, position) for partition, position, _ in rows] == [
        (partition, position) for partition, positions in in_files.items() for position in positions
    ]
    assert {int(n) for _, _, n in rows if n is not None} == everything

    for partition, positions in in_files.items():
        assert bulk.positions(partition) == positions
        # At least once, and the first time in order.
        assert list(dict.fromkeys(lines.positions(partition))) == positions
