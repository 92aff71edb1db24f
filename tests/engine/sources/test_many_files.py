"""Files of a pattern: each line of each once, whatever joins, moves, grows or is stopped in between."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine import EngineOptions, Pipeline
from engine.core.errors import ConfigurationError, DamagedInputError
from engine.sources.lines import lines
from engine.sources.protocol import SourceBatch, SplitSource, SplitStart
from tests.support.pipelines import CollectingExporter
from tests.support.waiting import WAIT_SECONDS, wait_until

FOREVER = EngineOptions(run_forever=True)


class Reading:
    """A source of splits, read as its task does, stopped and begun again at what was stored."""

    def __init__(self, pattern: Path, **options: Any) -> None:
        self._pattern = pattern
        self._options = options
        self.stored: dict[str, SplitStart] = {}
        self.seen: list[tuple[str, int, Any]] = []
        self._source = self._made()

    def _made(self) -> SplitSource:
        source = lines(self._pattern, **self._options)
        assert isinstance(source, SplitSource)
        return source

    def begin(self) -> None:
        self._source = self._made()
        self._source.check()
        self._source.open_splits(dict(self.stored))

    def read(self, most: int = 3, batches: int = 10**6) -> None:
        """So many batches, or to the end; what they bring counts as stored."""
        for _ in range(batches):
            batch = self._source.read_split(lambda split, offset: most)
            if batch is None:
                return
            self._take(batch)

    def _take(self, batch: SourceBatch) -> None:
        before = self.stored.get(batch.split)
        assert before is None or batch.first_offset > before.offset
        assert batch.cursor is not None
        self.stored[batch.split] = SplitStart(batch.last_offset, batch.cursor, batch.cursor)
        for index, value in enumerate(batch.values):
            offset = batch.offsets[index] if batch.offsets else batch.first_offset + index
            self.seen.append((batch.split, offset, value))

    def stop(self) -> None:
        self._source.close()

    def run(self) -> list[Any]:
        """A whole run: what is new."""
        count = len(self.seen)
        self.begin()
        self.read()
        self.stop()
        return [value for _, _, value in self.seen[count:]]


def write(path: Path, *texts: str) -> None:
    with path.open("ab") as file:
        file.write("".join(f"{text}\n" for text in texts).encode())


def test_files_are_read_by_name_and_each_once(tmp_path: Path) -> None:
    write(tmp_path / "b.txt", "b1", "b2")
    write(tmp_path / "a.txt", "a1")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"c1\nc2\n"))
    write(tmp_path / "d.other", "no")
    reading = Reading(tmp_path / "*.txt*")
    assert reading.run() == [b"a1", b"b1", b"b2", b"c1", b"c2"]
    assert reading.run() == []
    write(tmp_path / "a.txt", "a2")
    write(tmp_path / "e.txt", "e1")
    assert reading.run() == [b"a2", b"e1"]
    assert ("a2", 2) in [(value.decode(), offset) for _, offset, value in reading.seen]


def test_a_file_is_known_again_under_another_name_and_in_another_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "the first line of a file", "a2")
    reading = Reading(tmp_path / "*.txt")
    reading.run()
    (tmp_path / "a.txt").rename(tmp_path / "z.txt")
    assert reading.run() == []
    shutil.copy(tmp_path / "z.txt", tmp_path / "moved.txt")
    (tmp_path / "z.txt").unlink()
    assert reading.run() == []
    write(tmp_path / "a.txt", "something else")
    assert reading.run() == [b"something else"]
    (tmp_path / "a.txt").write_text("quite another file of this name\n")
    assert reading.run() == [b"quite another file of this name"]
    assert reading.run() == []


def test_what_comes_while_others_are_read_is_read_and_what_goes_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "acx":
        write(tmp_path / f"{name}.txt", *(f"{name}{n}" for n in range(10)))
    reading = Reading(tmp_path / "*.txt")
    reading.begin()
    reading.read(batches=1)
    write(tmp_path / "b.txt", "b0")
    (tmp_path / "x.txt").unlink()
    reading.read()
    reading.stop()
    assert [value for _, _, value in reading.seen] == [f"{n}{i}".encode() for n in "ac" for i in range(10)] + [b"b0"]
    assert "x.txt is gone before it was read" in caplog.text


def test_a_damaged_file_holds_up_no_other_and_goes_on_when_it_is_whole(tmp_path: Path) -> None:
    rng = random.Random(5)
    whole = gzip.compress(b"".join(b"a%d %d\n" % (n, rng.randrange(10**9)) for n in range(5000)))
    (tmp_path / "a.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"b\n"))
    reading = Reading(tmp_path / "*.gz")
    reading.begin()
    with pytest.raises(DamagedInputError, match=r"a\.gz cannot be read behind line"):
        reading.read(500)
    reading.stop()
    assert reading.seen[-1][2] == b"b"
    (tmp_path / "a.gz").write_bytes(whole)
    reading.run()
    numbers = [int(value[1:].split()[0]) for _, _, value in reading.seen if value.startswith(b"a")]
    assert numbers == [*range(5000)]


def test_each_csv_file_has_names_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,Zoë\n")
    (tmp_path / "b.csv").write_text("name,id\nJosé,2\n")
    reading = Reading(tmp_path / "*.csv", format="csv")
    assert reading.run() == [{"id": "1", "name": "Zoë"}, {"name": "José", "id": "2"}]
    assert reading.run() == []


def test_no_file_at_all_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no file of such a name"):
        lines(tmp_path / "*.csv").check()
    (tmp_path / "really [called] so").write_text("a\n")
    assert not isinstance(lines(tmp_path / "really [called] so"), SplitSource)


def test_every_line_comes_once_wherever_it_is_stopped(tmp_path: Path) -> None:
    seed = int(os.environ.get("TEST_SEED", random.Random().randrange(1 << 32)))
    print(f"TEST_SEED={seed}")
    rng = random.Random(seed)
    for round_ in range(30):
        folder = tmp_path / str(round_)
        folder.mkdir()
        wanted = []
        reading = Reading(folder / "*", format="json")
        for step in range(rng.randrange(1, 6)):
            for _ in range(rng.randrange(1, 4)):
                name = rng.choice("abcdef")
                rows = [{"file": name, "step": step, "n": n} for n in range(rng.randrange(1, 12))]
                wanted += rows
                write(folder / name, *map(json.dumps, rows))
            reading.begin()
            reading.read(rng.randrange(1, 9), batches=rng.randrange(1, 8))
            reading.stop()
            names = [path.name for path in folder.iterdir()]
            old, new = rng.choice(names), f"{rng.choice(names)}-{step}"
            if rng.random() < 0.5:
                (folder / old).rename(folder / new)
        reading.run()
        seen = [value for _, _, value in reading.seen]
        assert sorted(map(str, seen)) == sorted(map(str, wanted)), round_


@pytest.mark.parametrize("parallelism", [1, 2])
def test_files_go_through_an_engine_once_over_stops_and_partitions(tmp_path: Path, parallelism: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    wanted = []
    for name in range(8):
        rows = [{"file": str(name), "n": n} for n in range(700)]
        wanted += rows
        write(folder / f"{name}.ndjson", *map(json.dumps, rows))
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p", partitions=3)
        .source("files", lines(folder / "*.ndjson", format="json"))
        .map("same", lambda value: value, parallelism=parallelism)
        .key_by(lambda value: str(value["n"] % 50))
        .export("out", exporter.factory)
    )
    for stop_at in (500, 1500, 3000):
        with pipeline.run(tmp_path / "data", options=FOREVER) as engine:
            assert wait_until(lambda stop_at=stop_at: len(exporter.values("record")) >= stop_at)
            engine.stop(drain=False)
    with pipeline.run(tmp_path / "data") as engine:
        assert engine.wait(WAIT_SECONDS)
    seen = exporter.values("record")
    # What was exported and not acknowledged comes again behind a stop; what is in the log is there once.
    assert {(value["file"], value["n"]) for value in seen} == {(value["file"], value["n"]) for value in wanted}
    positions = {number: [r.position for r in records] for number, records in exporter.records.items()}
    by_place = {
        (number, record.position): (record.value["file"], record.value["n"])
        for number, records in exporter.records.items()
        for record in records
    }
    assert len(set(by_place.values())) == len(by_place) == len(wanted), positions.keys()
