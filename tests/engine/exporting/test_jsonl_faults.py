"""Every system call of the file exporter fails once, at every place: the records are in the files, each once."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path
from random import Random

import pytest

from engine.exporting import files, jsonl, own_lines, rotation
from engine.exporting.jsonl import JsonLines
from engine.exporting.protocol import ExporterContext
from engine.exporting.rotation import Rotation
from tests.support.faulty_os import FaultyOs, faulty_os
from tests.support.records import records

LAST = 12
# More attempts than any one failure takes.
ATTEMPTS = 4


class Scenario:
    """A run of calls with crashes in between, the same again from the same seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        random = Random(seed)
        self.path = folder / "out" / "out.ndjson"
        self.rotation = Rotation(
            size_bytes=random.choice([1, 300, 700]), gzip=random.random() < 0.5, keep=random.choice([None, None, LAST])
        )
        self._random = random
        # What the log has stored of the exporter's acknowledgements, the newest last.
        self._stored: list[tuple[int, bytes | None]] = [(0, None)]
        self._handed_over = 0

    def run(self) -> None:
        exporter = self._opened()
        while self._stored[-1][0] < LAST:
            first = self._stored[-1][0] + 1
            last = min(LAST, first + self._random.randrange(2))
            exporter = self._exported(exporter, first, last)
            if self._random.random() < 0.3:
                self._close(exporter)
                # Acknowledgements ride on later commits: a crash takes some back.
                for _ in range(self._random.randrange(3)):
                    if len(self._stored) > 2:
                        self._stored.pop()
                exporter = self._opened()
        self._close(exporter)

    def _opened(self) -> JsonLines:
        for _ in range(ATTEMPTS):
            exporter = JsonLines(self.path, self.rotation)
            try:
                exporter.open(ExporterContext("out", 1, 1, *self._stored[-1], self._handed_over))
            except OSError:
                self._close(exporter)
            else:
                return exporter
        raise AssertionError("it does not open")

    def _exported(self, exporter: JsonLines, first: int, last: int) -> JsonLines:
        self._handed_over = max(self._handed_over, last)
        for _ in range(ATTEMPTS):
            try:
                self._stored.append((last, exporter.export(records(first, last))))
            except OSError:
                continue
            return exporter
        raise AssertionError("it does not go on")

    @staticmethod
    def _close(exporter: JsonLines) -> None:
        try:
            exporter.close()
        except OSError:
            return


def positions_in(folder: Path) -> list[int]:
    """Of every file there; where a file and its packed copy are both there, of one of them."""
    found: list[int] = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".tmp" or (path.suffix == ".gz" and path.with_suffix("").exists()):
            continue
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found += [json.loads(line)["position"] for line in content.splitlines()]
    return sorted(found)


def run(folder: Path, seed: int, fail_at: int | None = None, done_first: bool = False) -> FaultyOs:
    shutil.rmtree(folder, ignore_errors=True)
    scenario = Scenario(folder, seed)
    with faulty_os(files, jsonl, own_lines, rotation) as faulty:
        faulty.fail_at, faulty.done_first = fail_at, done_first
        scenario.run()
    return faulty


@pytest.mark.parametrize("nth", range(2))
@pytest.mark.timeout(600)
def test_whichever_system_call_fails_each_record_is_in_the_files_once(tmp_path: Path, nth: int) -> None:
    seed = int(os.environ.get("TEST_SEED", Random().randrange(1 << 32))) + nth
    print(f"TEST_SEED={seed}")
    calls = run(tmp_path / "clean", seed).count
    assert positions_in(tmp_path / "clean" / "out") == [*range(1, LAST + 1)]
    for fail_at in range(1, calls + 1):
        for done_first in (False, True):
            faulty = run(tmp_path / "faulty", seed, fail_at, done_first)
            place = f"call {fail_at} of {calls}, {faulty.failed}, done first: {done_first}"
            assert faulty.failed is not None, place
            assert positions_in(tmp_path / "faulty" / "out") == [*range(1, LAST + 1)], place
