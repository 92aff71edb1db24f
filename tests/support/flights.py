"""The flights example as tests run it: a copy of its own, as a process of its own, and what it must leave behind."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "flights"
FLIGHTS = 27_004
ARRIVALS = 26_398
# The lines of the file that say it, and what they are to be instead.
IN_BATCHES = {
    '{map: "flights:parse"}': '{mapBatch: "flights:parse_all"}',
    'processor: "flights:DelayStatistics"': 'processor: "flights:DelayStatisticsInBatches"',
}
SOURCE_FILES = ("flights.py", "flights.yaml", "flights.ndjson.gz")


@dataclass(frozen=True)
class Result:
    """What a finished run left: lines of the delays by what they say, a digest of them, and the final statistics."""

    lines: Counter[str]
    digest: str
    state: dict[str, Any]


def state_of(data: Path, partition: int) -> Path:
    """The database with a partition's keyed state."""
    return data / "partitions" / f"{partition}" / "state.db"


class FlightsRun:
    """One copy of the example in a folder."""

    def __init__(self, folder: Path, *, unlimited: bool = True, in_batches: bool = False) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in SOURCE_FILES:
            shutil.copy(EXAMPLE / name, folder / name)
        if unlimited:
            text = (folder / "flights.yaml").read_text()
            (folder / "flights.yaml").write_text(text[: text.index("\nflowControl:")] + "\n")
        if in_batches:
            text = (folder / "flights.yaml").read_text()
            for single, many in IN_BATCHES.items():
                assert single in text
                text = text.replace(single, many)
            (folder / "flights.yaml").write_text(text)

    def command(self, *more: str) -> list[str]:
        file = str(self.folder / "flights.yaml")
        return [sys.executable, "-m", "penstock", "run", file, *(more or ("--no-management",))]

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*more),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*more),
            cwd=ROOT,
            text=True,
            capture_output=True,
            timeout=100,
            check=False,
        )

    def files(self, name: str = "delays") -> Sequence[Path]:
        return [self.folder / "out" / f"{name}-{partition}.ndjson" for partition in (1, 2)]

    def result(self) -> Result:
        lines: Counter[str] = Counter()
        for file in self.files():
            for line in file.read_text().splitlines():
                said = json.loads(line)
                lines[json.dumps([said[k] for k in ("partition", "valueType", "intent", "key", "value")])] += 1
        state: dict[str, Any] = {}
        for partition in (1, 2):
            database = sqlite3.connect(state_of(self.folder / "data", partition))
            for key, value in database.execute("SELECT key, value FROM state WHERE key != 'summary_is_due'"):
                state[f"{partition}/{key}"] = msgspec.msgpack.decode(value)
            database.close()
        digest = hashlib.sha256("\n".join(sorted(lines.elements())).encode()).hexdigest()
        return Result(lines, digest, state)
