"""CSV that another program writes to: rows as they are whole, names anew with each file, every row once."""

from __future__ import annotations

import csv
import io
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.core.clock import ManualClock
from engine.sources.csv_dialect import CsvDialect
from engine.sources.csv_followed import FollowedRows
from engine.sources.followed_file import FollowedFile
from engine.sources.lines import lines
from engine.sources.protocol import SourceBatch, SourceStart, SplitSource
from engine.sources.unreadable import Unreadable


class Table:
    """A CSV file that is followed with a clock that the test turns; may be stopped and begun again."""

    def __init__(self, path: Path, **dialect: Any) -> None:
        self.path = path
        self.clock = ManualClock()
        self._dialect = CsvDialect(**dialect)
        self.seen: list[SourceBatch] = []
        self._source = self._made()

    def _made(self) -> FollowedRows:
        return FollowedRows(FollowedFile(self.path, clock=self.clock), dialect=self._dialect)

    def begin(self) -> None:
        self._source.close()
        self._source = self._made()
        last = self.seen[-1] if self.seen else None
        self._source.open(SourceStart(0, None) if last is None else SourceStart(last.last_offset, last.cursor))

    def write(self, *rows: str) -> None:
        with self.path.open("a", newline="") as file:
            file.write("".join(f"{row}\n" for row in rows))

    def read(self, most: int = 100, batches: int = 10**6) -> list[Any]:
        found: list[Any] = []
        for _ in range(60):
            while batches and (batch := self._source.read(most)).values:
                assert not self.seen or batch.first_offset > self.seen[-1].last_offset
                self.seen.append(batch)
                found += batch.values
                batches -= 1
            self.clock.advance(0.2)
        return found


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "t.csv")


def test_rows_come_as_they_are_whole_and_go_on_behind_a_restart(table: Table) -> None:
    table.write("id,name")
    table.begin()
    assert table.read() == []
    table.write("1,Zoë", '2,"two')
    assert table.read() == [{"id": "1", "name": "Zoë"}]
    table.begin()
    assert table.read() == []
    table.write('lines"', "3,c")
    assert table.read() == [{"id": "2", "name": "two\nlines"}, {"id": "3", "name": "c"}]
    table.begin()
    table.write("4,d")
    assert table.read() == [{"id": "4", "name": "d"}]


@pytest.mark.parametrize("restart", [False, True])
def test_a_file_behind_a_rotation_has_names_of_its_own(
    table: Table, restart: bool, caplog: pytest.LogCaptureFixture
) -> None:
    table.write("id,name", "1,a")
    table.begin()
    assert table.read() == [{"id": "1", "name": "a"}]
    table.write("2,b", '3,"open')
    with table.path.open("a") as file:
        # Without an end.
        file.write("4,c")
    table.path.rename(table.path.with_name("t.csv.1"))
    table.write("name,id,more", "c,4,x")
    if restart:
        table.begin()
    found = table.read()
    assert found[0] == {"id": "2", "name": "b"}
    assert isinstance(found[1], Unreadable)
    assert "its quotes are still open at the end" in found[1].reason
    assert found[2:] == [{"id": "4", "name": "c"}, {"name": "c", "id": "4", "more": "x"}]
    assert "the columns of the next file are name, id, more, and were id, name" in caplog.text
    table.begin()
    table.write("d,5,y")
    assert table.read() == [{"name": "d", "id": "5", "more": "y"}]


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("restart", [False, True])
def test_a_file_that_was_truncated_goes_on_with_its_names(table: Table, repeats: bool, restart: bool) -> None:
    table.write("id,the name of it", "1,a")
    table.begin()
    table.read()
    table.write("2,b")
    shutil.copy(table.path, table.path.with_name("t.csv.1"))
    table.path.write_text("")
    if restart:
        table.begin()
    assert table.read() == [{"id": "2", "the name of it": "b"}]
    table.write(*(["id,the name of it"] if repeats else []), "3,c")
    assert table.read() == [{"id": "3", "the name of it": "c"}]
    table.begin()
    table.write("4,d")
    assert table.read() == [{"id": "4", "the name of it": "d"}]


def test_names_that_are_given_hold_for_all_files(tmp_path: Path) -> None:
    table = Table(tmp_path / "postgresql.csv", columns=("time", "message"))
    table.write('10:00,"ERROR: a ""b"""')
    table.begin()
    table.path.rename(tmp_path / "postgresql-20240131.csv")
    table.write("10:01,ok")
    assert table.read() == [{"time": "10:00", "message": 'ERROR: a "b"'}, {"time": "10:01", "message": "ok"}]


def _numbered(folder: Path, turn: int) -> Path:
    """The name `.1`, free again."""
    for number in range(turn, 0, -1):
        if (path := folder / f"t.csv.{number}").exists():
            path.rename(folder / f"t.csv.{number + 1}")
    return folder / "t.csv.1"


def _dated(folder: Path, turn: int) -> Path:
    return folder / f"t.csv-{20240000 + turn}"


@pytest.mark.parametrize("name_of", [_numbered, _dated])
@pytest.mark.parametrize("clock", ["of the file system", "coarse"])
def test_every_row_comes_once_however_the_file_is_rotated_and_the_reader_stopped(
    tmp_path: Path, clock: str, name_of: Callable[[Path, int], Path]
) -> None:
    seed = int(os.environ.get("TEST_SEED", random.Random().randrange(1 << 32)))
    print(f"TEST_SEED={seed}")
    rng = random.Random(seed)
    second = 1_700_000_000

    def stamp(path: Path) -> None:
        """When a file was written to tells little where the clock of the file system is coarse."""
        nonlocal second
        if clock == "coarse":
            second += rng.random() < 0.2
            os.utime(path, (second, second))

    for round_ in range(20):
        folder = tmp_path / str(round_)
        folder.mkdir()
        table = Table(folder / "t.csv")
        names, written, truncates = ["id", "name"], [], rng.random() < 0.3
        table.write(",".join(names))
        stamp(table.path)
        table.begin()
        for turn in range(rng.randrange(2, 8)):
            for _ in range(rng.randrange(12)):
                row = [f"number {len(written):012}", rng.choice(["plain", 'a "quote"', "two\nlines", "", "a,b"])]
                text = io.StringIO()
                csv.writer(text, lineterminator="\n").writerow(row)
                table.write(text.getvalue().removesuffix("\n"))
                stamp(table.path)
                written.append(dict(zip(names, row, strict=True)))
            if rng.random() < 0.5:
                table.read(rng.randrange(1, 6), batches=rng.randrange(0, 5))
            if rng.random() < 0.5:
                table.begin()
            if rng.random() < 0.4 and written:
                table.read(5)
                rotated = name_of(folder, turn)
                if truncates:
                    shutil.copy(table.path, rotated)
                    stamp(rotated)
                    table.path.write_text("")
                else:
                    table.path.rename(rotated)
                    names = rng.choice([["id", "name"], ["number", "text"]])
                    table.write(",".join(names))
                stamp(table.path)
        table.begin()
        table.read(7)
        values = [value for batch in table.seen for value in batch.values]
        assert values == written, round_


def test_tables_of_a_pattern_are_followed_too(tmp_path: Path) -> None:
    source = lines(tmp_path / "*.csv", format="csv", follow=True)
    assert isinstance(source, SplitSource)
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(f"id,{name}\n1,x\n")
    source.check()
    source.open_splits({})
    found = []
    for _ in range(10):
        batch = source.read_split(lambda split, offset: 10)
        assert batch is not None
        found += batch.values
    source.close()
    assert sorted(map(str, found)) == ["{'id': '1', 'a': 'x'}", "{'id': '1', 'b': 'x'}"]
