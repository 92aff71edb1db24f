"""Others touch the output: it is seen, it is said, whole lines go on, and nothing is cut that will not come again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.core.clock import NS_PER_MS
from engine.core.errors import TargetError
from engine.exporting.jsonl import JsonLines
from engine.exporting.protocol import ExporterContext
from engine.exporting.rotation import Rotation
from tests.support.records import record, records

WRITTEN_NS = record(1).timestamp_ns


def opened(
    path: Path,
    *,
    position: int = 0,
    cursor: bytes | None = None,
    last: int = 1000,
    written_ns: int = WRITTEN_NS,
    rotation: Rotation | None = None,
) -> JsonLines:
    exporter = JsonLines(path, rotation)
    exporter.open(ExporterContext("out", 1, 1, position, cursor, last, lambda _: written_ns))
    return exporter


def positions(path: Path) -> list[int]:
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line)["position"] for line in text.splitlines()]


def aside(path: Path, number: int = 1) -> Path:
    return path.with_name(f"{path.name}.aside-{number}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.ndjson"


# -- while it is open ---


def test_an_output_that_is_emptied_goes_on_with_whole_lines(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exporter = opened(path)
    exporter.export(records(1, 3))
    os.truncate(path, 0)
    exporter.export(records(4, 5))
    cursor = exporter.export(records(6, 6))
    assert positions(path) == [4, 5, 6]
    assert int(cursor) == path.stat().st_size
    assert caplog.text.count("was changed by somebody") == 1


@pytest.mark.parametrize("cut", [1, 30, 131, 140])
def test_an_output_that_is_shortened_within_a_line_goes_on_with_whole_lines(path: Path, cut: int) -> None:
    exporter = opened(path)
    exporter.export(records(1, 3))
    before = path.read_bytes()
    os.truncate(path, len(before) - cut)
    exporter.export(records(4, 4))
    kept = before[: len(before) - cut].rfind(b"\n") + 1
    assert positions(path)[-1] == 4
    assert path.read_bytes().startswith(before[:kept])
    assert aside(path).read_bytes() == before[kept : len(before) - cut]


def test_what_others_append_stays_and_lines_go_on_behind_it(path: Path) -> None:
    exporter = opened(path)
    exporter.export(records(1, 1))
    with path.open("a") as file:
        file.write('{"position":0}\nno end')
    exporter.export(records(2, 2))
    assert positions(path) == [1, 0, 2]
    assert aside(path).read_text() == "no end"


@pytest.mark.parametrize("how", ["renamed", "deleted"])
@pytest.mark.parametrize("made_anew", [False, True])
def test_a_renamed_or_deleted_output_is_opened_anew(
    path: Path, how: str, made_anew: bool, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = opened(path)
    exporter.export(records(1, 2))
    moved = path.with_name("out.ndjson.1")
    path.rename(moved)
    if how == "deleted":
        moved.unlink()
    if made_anew:
        path.touch()
    exporter.export(records(3, 4))
    exporter.export(records(5, 5))
    assert positions(path) == [3, 4, 5]
    assert how == "deleted" or positions(moved) == [1, 2]
    assert caplog.text.count(f"was {how} by somebody") == 1


def test_a_rotation_of_ones_own_goes_on_behind_that_of_others(path: Path) -> None:
    exporter = opened(path, rotation=Rotation(size_bytes=200))
    exporter.export(records(1, 2))
    path.rename(path.with_name("theirs"))
    exporter.export(records(3, 4))
    exporter.export(records(5, 5))
    assert positions(path) == [5]
    assert positions(path.with_name("out.000001.ndjson")) == [3, 4]


def test_what_is_emptied_while_it_is_written_is_written_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = opened(path)
    exporter.export(records(1, 3))
    really_sync = os.fsync

    def emptied(descriptor: int) -> None:
        os.truncate(path, 0)
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", emptied)
    with pytest.raises(TargetError, match="they are written again"):
        exporter.export(records(4, 4))
    monkeypatch.setattr(os, "fsync", really_sync)
    exporter.export(records(4, 4))
    assert positions(path) == [4]


def test_nothing_is_put_over_a_closed_file_that_stands_there(path: Path) -> None:
    exporter = opened(path, rotation=Rotation(size_bytes=1))
    exporter.export(records(1, 1))
    path.with_name("out.000001.ndjson").write_text("theirs")
    for _ in range(2):
        with pytest.raises(TargetError, match=r"out\.000001\.ndjson stands where out\.ndjson is to be closed; move it"):
            exporter.export(records(2, 2))
    assert path.with_name("out.000001.ndjson").read_text() == "theirs"
    path.with_name("out.000001.ndjson").unlink()
    exporter.export(records(2, 2))
    assert positions(path.with_name("out.000001.ndjson")) == [1]
    assert positions(path) == [2]


def test_an_old_file_that_cannot_be_deleted_holds_nothing_up_and_is_said_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.with_name("out.000001.ndjson").mkdir()
    exporter = opened(path, rotation=Rotation(size_bytes=1, keep=1))
    for position in range(1, 6):
        exporter.export(records(position, position))
    assert positions(path) == [5]
    assert positions(path.with_name("out.000005.ndjson")) == [4]
    assert caplog.text.count("out.000001.ndjson cannot be deleted") == 1


# -- when it opens ---


def test_a_tail_that_comes_again_is_cut(path: Path) -> None:
    exporter = opened(path)
    cursor = exporter.export(records(1, 2))
    exporter.export(records(3, 5))
    exporter.close()
    opened(path, position=2, cursor=cursor, last=5).export(records(3, 3))
    assert positions(path) == [1, 2, 3]
    assert not aside(path).exists()


@pytest.mark.parametrize(
    ("last", "written_ns"),
    [
        # An older data folder: the log does not reach as far as the file.
        (4, WRITTEN_NS),
        # The same positions of another life of the log.
        (5, WRITTEN_NS + NS_PER_MS),
    ],
)
@pytest.mark.parametrize("has_cursor", [True, False])
def test_a_tail_that_this_log_cannot_give_again_is_moved_aside(
    path: Path, last: int, written_ns: int, has_cursor: bool, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = opened(path)
    cursor = exporter.export(records(1, 2))
    exporter.export(records(3, 5))
    exporter.close()
    opened(path, position=2, cursor=cursor if has_cursor else None, last=last, written_ns=written_ns)
    assert positions(path) == [1, 2]
    assert positions(aside(path)) == [3, 4, 5]
    assert caplog.text.count(f"are moved to {aside(path)}") == 1


def test_a_fresh_data_folder_over_an_output_leaves_all_of_it_in_a_file_beside(path: Path) -> None:
    exporter = opened(path)
    exporter.export(records(1, 5))
    exporter.close()
    opened(path, last=0).export(records(1, 1))
    assert positions(path) == [1]
    assert positions(aside(path)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("pack", [False, True])
def test_closed_files_of_a_life_that_this_log_never_had_are_moved_aside(path: Path, pack: bool) -> None:
    rotation = Rotation(size_bytes=1, gzip=pack)
    exporter = opened(path, rotation=rotation)
    cursors = [exporter.export(records(position, position)) for position in range(1, 6)]
    exporter.close()
    opened(path, rotation=rotation, position=2, cursor=cursors[1], last=2).export(records(3, 3))
    assert positions(path) == [3]
    beside = sorted(p.name for p in path.parent.iterdir() if "aside" in p.name)
    ending = ".ndjson.gz.aside-1" if pack else ".ndjson.aside-1"
    assert beside == [f"out.000003{ending}", f"out.000004{ending}", "out.ndjson.aside-1"]
    assert positions(aside(path)) == [5]


def test_the_next_files_unacknowledged_lines_do_not_pass_for_a_closed_file_that_was_taken_away(path: Path) -> None:
    rotation = Rotation(size_bytes=1)
    exporter = opened(path, rotation=rotation)
    cursor = exporter.export(records(1, 2))
    exporter.export(records(3, 6))
    exporter.close()
    path.with_name("out.000001.ndjson").unlink()
    opened(path, rotation=rotation, position=2, cursor=cursor, last=6).export(records(3, 6))
    assert positions(path) == [3, 4, 5, 6]


def test_an_output_that_was_shortened_meanwhile_goes_on_with_whole_lines(path: Path) -> None:
    exporter = opened(path)
    cursor = exporter.export(records(1, 3))
    exporter.close()
    os.truncate(path, path.stat().st_size - 10)
    opened(path, position=3, cursor=cursor).export(records(4, 4))
    assert positions(path) == [1, 2, 4]
    assert '"position":3' in aside(path).read_text()


def test_what_is_no_file_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(Exception, match=r"out\.ndjson is not a file that lines can be appended to"):
        opened(path)
