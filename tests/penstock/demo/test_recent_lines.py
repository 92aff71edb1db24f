"""The exporter of the demo: it writes down what comes, and its file stays small."""

from __future__ import annotations

import json
from pathlib import Path

from engine import ExporterContext, Record, RecordType, SystemClock
from penstock.demo.pace import Speed
from penstock.demo.recent_lines import recent_lines


def record(number: int) -> Record:
    return Record(RecordType.EVENT, "departure", "departed", "JFK", {"number": number})


def exported(folder: Path, numbers: range, *, bytes_max: int = 10_000) -> list[int]:
    exporter = recent_lines(folder, Speed(), SystemClock(), bytes_max=bytes_max)()
    exporter.open(ExporterContext("archive", 2, 2, 0, None))
    for number in numbers:
        exporter.export([record(number)])
    exporter.close()
    return [json.loads(line)["value"]["number"] for line in (folder / "archive-2.ndjson").read_text().splitlines()]


def test_each_record_becomes_a_line(tmp_path: Path) -> None:
    assert exported(tmp_path / "out", range(5)) == [0, 1, 2, 3, 4]


def test_a_later_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    exported(tmp_path, range(3))
    assert exported(tmp_path, range(3, 5)) == [0, 1, 2, 3, 4]


def test_a_full_file_is_begun_anew_and_ends_with_the_newest(tmp_path: Path) -> None:
    numbers = exported(tmp_path, range(1000), bytes_max=2000)
    assert numbers == list(range(numbers[0], 1000))
    assert len(numbers) < 100
    assert (tmp_path / "archive-2.ndjson").stat().st_size < 2000 + 200
