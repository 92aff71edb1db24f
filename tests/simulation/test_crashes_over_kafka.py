"""The same deaths over a log in Kafka, each time with the cache of the life before, an older one, or none."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine import EngineOptions, Pipeline, TaskFailedError
from engine.log.kafka.storage import KafkaLogStorage
from engine.log.storage import Entry
from tests.simulation.test_crashes import PARTITIONS, Counting, Fuse, TruncatingFile
from tests.support.kafka_logs import KafkaLogs
from tests.support.pipelines import ListSource
from tests.support.waiting import WAIT_SECONDS

SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(10**6)))
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))


class World:
    """Topics and an outside, which outlive each run; the cache may not."""

    def __init__(self, servers: str, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance
        self.fuse = Fuse()
        self.file: dict[int, list[Any]] = {}
        self.logs = KafkaLogs(servers, folder / "cache", partitions=PARTITIONS)

    def storage(self, number: int) -> KafkaLogStorage:
        storage = self.logs.storage(number)
        commit = storage.commit

        def mortal(entries: Sequence[Entry]) -> None:
            self.fuse.burn()
            commit(entries)
            self.fuse.burn()

        storage.commit = mortal  # type: ignore[method-assign]
        return storage

    def _spoil_cache(self) -> None:
        """Another machine, or one that was away for a while: what it has is older, but never newer."""
        match self._chance.randrange(4):
            case 0:
                self.logs.lose_cache()
            case 1:
                shutil.rmtree(self._folder / "older", ignore_errors=True)
                shutil.copytree(self._folder / "cache", self._folder / "older")
            case 2 if (self._folder / "older").exists():
                shutil.rmtree(self._folder / "cache")
                shutil.copytree(self._folder / "older", self._folder / "cache")

    def run(self, folder: Path, *, commits: float) -> bool:
        """One life, which ends at a commit or with the work; True for the latter."""
        self._spoil_cache()
        self.fuse.left = commits
        pipeline = (
            Pipeline("crashes", partitions=PARTITIONS)
            .source("a", ListSource([{"n": n, "k": f"k{n % 13}"} for n in range(900)], batch=9))
            .source("b", ListSource([{"n": n, "k": f"b{n % 7}"} for n in range(900, 1300)], batch=4))
            .filter("some", lambda value: value["n"] % 4 != 1)
            .process(Counting, key="k")
            .export("file", lambda: TruncatingFile(self.file))
        )
        engine = pipeline.run(folder, options=EngineOptions(buffer_records=10, processing_batch_records=20))
        engine._storage = self.storage
        try:
            with engine:
                return engine.wait(WAIT_SECONDS)
        except (TaskFailedError, RuntimeError):
            return False

    def result(self) -> dict[str, Any]:
        """What all lives made of it, read with an empty cache."""
        self.logs.lose_cache()
        counts: Counter[str] = Counter()
        positions: dict[int, list[int]] = {}
        for number in range(1, PARTITIONS + 1):
            storage = self.logs.storage(number)
            recovered = storage.recover()
            positions[number] = [
                position
                for batch in storage.read(1, recovered.last_position)
                for position in range(batch.first_position, batch.last_position + 1)
            ]
            for key, value in storage.state_scan(""):
                counts[key] += msgspec.msgpack.decode(value)
            storage.close()
        lines = [line for partition in self.file.values() for line in partition]
        return {
            "state": counts,
            "told": Counter(v["key"] for _, t, v in lines if t == "told"),
            "counted": sorted(v["n"] for _, t, v in lines if t == "counted"),
            "dense": all(found == list(range(1, len(found) + 1)) for found in positions.values()),
            "in order": all(a < b for ls in self.file.values() for (a, _, _), (b, _, _) in pairwise(ls)),
        }


WANTED = [n for n in range(1300) if n % 4 != 1]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_any_number_of_deaths_changes_nothing_in_the_end(kafka: str, round_: int, tmp_path: Path) -> None:
    print(f"TEST_SEED={SEED}, round {round_}")
    chance = random.Random(SEED * 1000 + round_)
    (tmp_path / "cache").mkdir()
    world = World(kafka, tmp_path, chance)
    lives = 1
    while not world.run(tmp_path / "run", commits=chance.randint(10, 60)):
        lives += 1
        assert lives < 100, "each life gets something done"
    assert world.run(tmp_path / "run", commits=float("inf"))
    result = world.result()
    assert result["dense"]
    assert result["in order"]
    assert result["counted"] == WANTED, f"after {lives} lives"
    assert result["told"] == Counter(f"about {n % 11}" for n in WANTED)
    keys = Counter(f"k{n % 13}" if n < 900 else f"b{n % 7}" for n in WANTED)
    assert result["state"] == keys + result["told"]
    assert lives > 1
    print(f"{lives} lives")
