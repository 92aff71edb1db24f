import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine.core.records import Record, RecordType
from engine.exporting.jsonl import JsonLines, jsonl
from engine.exporting.protocol import ExporterContext


def record(position: int, value: Any = None) -> Record:
    return Record(
        record_type=RecordType.EVENT,
        value_type="departure",
        intent="departed",
        key="JFK",
        value=value,
        source_position=position - 1,
        position=position,
        timestamp_ns=1_700_000_000_123_456_789,
    )


def opened(
    path: Path, *, partition: int = 1, partitions: int = 1, position: int = 0, cursor: bytes | None = None
) -> JsonLines:
    exporter = jsonl(path)()
    exporter.open(
        ExporterContext(exporter="file", partition=partition, partitions=partitions, position=position, cursor=cursor)
    )
    return exporter


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def positions(path: Path) -> list[int]:
    return [line["position"] for line in lines_of(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out" / "delays.ndjson"


def test_a_line_holds_the_whole_record_under_the_documented_names(path: Path) -> None:
    opened(path).export([record(7, {"delay": 3})])
    assert lines_of(path) == [
        {
            "position": 7,
            "partition": 1,
            "timestamp": 1_700_000_000_123,
            "recordType": "event",
            "valueType": "departure",
            "intent": "departed",
            "key": "JFK",
            "value": {"delay": 3},
            "sourcePosition": 6,
        }
    ]


def test_bytes_are_text_where_they_can_be_and_base64_where_not(path: Path) -> None:
    opened(path).export([record(1, "Zürich".encode()), record(2, b"\xff\x00")])
    assert [line["value"] for line in lines_of(path)] == ["Zürich", {"base64": "/wA="}]


@pytest.mark.parametrize(
    ("name", "partitions", "file"),
    [
        ("delays.ndjson", 1, "delays.ndjson"),
        ("delays.ndjson", 3, "delays-2.ndjson"),
        ("delays", 3, "delays-2"),
        ("p{partition}/delays.ndjson", 3, "p2/delays.ndjson"),
    ],
)
def test_each_partition_writes_a_file_of_its_own(tmp_path: Path, name: str, partitions: int, file: str) -> None:
    partition = min(2, partitions)
    opened(tmp_path / name, partition=partition, partitions=partitions).export([record(1)])
    assert positions(tmp_path / file) == [1]


def test_the_cursor_is_the_length_of_the_file(path: Path) -> None:
    exporter = opened(path)
    for position in (1, 2, 3):
        assert exporter.export([record(position)]) == str(path.stat().st_size).encode()


def test_what_was_written_and_not_acknowledged_is_cut_on_open(path: Path) -> None:
    first = opened(path)
    cursor = first.export([record(1)])
    first.export([record(2), record(3)])
    first.close()
    opened(path, position=1, cursor=cursor).export([record(2)])
    assert positions(path) == [1, 2]


@pytest.mark.parametrize("cut_short", [b"", b'{"position":3,"parti'])
@pytest.mark.parametrize("acknowledged", [0, 1, 2])
def test_without_a_cursor_the_file_is_cut_behind_the_acknowledged_position(
    path: Path, acknowledged: int, cut_short: bytes
) -> None:
    opened(path).export([record(1), record(2)])
    with path.open("ab") as file:
        file.write(cut_short)
    opened(path, position=acknowledged).export([record(acknowledged + 1)])
    assert positions(path) == list(range(1, acknowledged + 2))


@pytest.mark.parametrize(
    "theirs", ["a letter\n", '{"name": "not ours"}\n', '{"position":1,"partition":2}\n', '{"position":1}\n', "no end"]
)
def test_a_file_of_somebody_else_is_moved_aside_as_it_is(
    path: Path, theirs: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_text(theirs)
    path.with_name("delays.ndjson.aside-1").write_text("stands there already")
    opened(path).export([record(1)])
    assert positions(path) == [1]
    assert path.with_name("delays.ndjson.aside-1").read_text() == "stands there already"
    assert path.with_name("delays.ndjson.aside-2").read_text() == theirs
    assert f"{path}: {len(theirs)} bytes that this log cannot give again are moved to {path}.aside-2" in caplog.text


def test_a_file_that_was_moved_away_begins_anew(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exporter = opened(path)
    cursor = exporter.export([record(1)])
    exporter.close()
    path.unlink()
    opened(path, position=1, cursor=cursor).export([record(2)])
    assert positions(path) == [2]
    assert "0 are there" in caplog.text


def test_a_write_that_fails_halfway_leaves_nothing_and_is_tried_again_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = opened(path)
    exporter.export([record(1)])
    really_write = os.write

    def disk_is_full(descriptor: int, text: bytes) -> int:
        really_write(descriptor, text[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", disk_is_full)
    with pytest.raises(OSError, match="No space left"):
        exporter.export([record(2)])
    assert positions(path) == [1]
    monkeypatch.setattr(os, "write", really_write)
    exporter.export([record(2)])
    assert positions(path) == [1, 2]


def test_a_short_write_is_completed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, text: really_write(fd, text[:7]))
    opened(path).export([record(1), record(2)])
    assert positions(path) == [1, 2]


def test_the_file_is_synced_before_export_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = opened(path)
    lengths: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: lengths.append(os.fstat(fd).st_size))
    cursor = exporter.export([record(1)])
    assert lengths == [int(cursor)]


def test_closing_twice_or_before_opening_is_harmless(path: Path) -> None:
    never_opened = jsonl(path)()
    never_opened.close()
    exporter = opened(path)
    exporter.close()
    exporter.close()
