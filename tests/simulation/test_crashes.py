"""Whatever a run dies of and wherever: runs that go on behind it end where an undisturbed one does."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from engine import EngineOptions, Pipeline, Record, TaskFailedError
from engine.exporting.protocol import ExporterContext
from engine.log.memory import MemoryStorage
from engine.log.storage import Entry
from engine.processing.protocol import ProcessingContext
from tests.support.pipelines import ListSource
from tests.support.waiting import WAIT_SECONDS

PARTITIONS = 2
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(10**6)))


class Fuse:
    """Counts commits of all partitions, and burns through at one of them: from then on the process is dead."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.left: float = float("inf")

    def burn(self) -> None:
        with self._lock:
            self.left -= 1
            if self.left <= 0:
                raise RuntimeError("the process died")


class MortalStorage(MemoryStorage):
    """Dies before or behind a commit, as a process would: what was committed stays."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse

    def commit(self, entries: Sequence[Entry]) -> None:
        self._fuse.burn()
        super().commit(entries)
        self._fuse.burn()


class TruncatingFile:
    """An outside that can be cut to a cursor, as a file can."""

    def __init__(self, lines: dict[int, list[Any]]) -> None:
        self._all = lines

    def open(self, context: ExporterContext) -> None:
        self._lines = self._all.setdefault(context.partition, [])
        del self._lines[int(context.cursor or b"0") :]

    def export(self, records: Sequence[Record]) -> bytes:
        self._lines += [(r.position, r.value_type, r.value) for r in records]
        return str(len(self._lines)).encode()

    def close(self) -> None:
        return


class Counting:
    """Counts per key, emits the count, and tells another partition, which counts too."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        count = context.state.get(record.key, 0) + 1
        context.state.put(record.key, count)
        if record.intent == "receive":
            context.emit("told", {"key": record.key})
        else:
            context.emit("counted", {"key": record.key, "count": count, "n": record.value["n"]})
            context.send(f"about {record.value['n'] % 11}", "message", {"n": record.value["n"]})


class World:
    """The storages and the outside, which outlive each run."""

    def __init__(self) -> None:
        self.fuse = Fuse()
        self.storages = {number: MortalStorage(self.fuse) for number in range(1, PARTITIONS + 1)}
        self.file: dict[int, list[Any]] = {}

    def run(self, folder: Path, *, commits: float, parallelism: int) -> bool:
        """One life, which ends at a commit or with the work; True for the latter."""
        self.fuse.left = commits
        pipeline = (
            Pipeline("crashes", partitions=PARTITIONS)
            .source("a", ListSource([{"n": n, "k": f"k{n % 13}"} for n in range(900)], batch=9))
            .source("b", ListSource([{"n": n, "k": f"b{n % 7}"} for n in range(900, 1300)], batch=4))
            .map("as_is", lambda value: value, parallelism=parallelism)
            .filter("some", lambda value: value["n"] % 4 != 1)
            .process(Counting, key="k")
            .export("file", lambda: TruncatingFile(self.file))
        )
        engine = pipeline.run(folder, options=EngineOptions(buffer_records=10, processing_batch_records=20))
        engine._storage = self.storages.__getitem__
        try:
            with engine:
                return engine.wait(WAIT_SECONDS)
        except (TaskFailedError, RuntimeError):
            return False

    def result(self) -> dict[str, Any]:
        lines = [line for partition in self.file.values() for line in partition]
        return {
            "state": {n: dict(storage._state) for n, storage in self.storages.items()},
            "told": Counter(v["key"] for _, t, v in lines if t == "told"),
            "counted": sorted((v["key"], v["count"], v["n"]) for _, t, v in lines if t == "counted"),
            "dense": all([p for p, _, _ in ls] == list(range(1, len(ls) + 1)) for ls in self.file.values()),
            "outbox": [storage._outbox for storage in self.storages.values()],
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    world = World()
    assert world.run(tmp_path_factory.mktemp("undisturbed"), commits=float("inf"), parallelism=1)
    result = world.result()
    assert len(result["counted"]) == 975
    assert sum(result["told"].values()) == 975
    return result


@pytest.mark.parametrize("round_", range(12))
def test_any_number_of_deaths_changes_nothing_in_the_end(
    round_: int, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    print(f"TEST_SEED={SEED}, round {round_}")
    chance = random.Random(SEED * 1000 + round_)
    world = World()
    lives = 1
    while not world.run(tmp_path, commits=chance.randint(3, 120), parallelism=chance.choice([1, 3])):
        lives += 1
        assert lives < 500, "each life gets something done"
    # A death may also have hit the very last positions: another run finds nothing new to do and stores them.
    assert world.run(tmp_path, commits=float("inf"), parallelism=1)
    result = world.result()
    assert result == undisturbed, f"after {lives} lives, seed {SEED}, round {round_}"
