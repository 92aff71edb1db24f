"""What is set aside is in a file as a person wants to read it, and is said, once and then rarely."""

from __future__ import annotations

import errno
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from engine.core.clock import ManualClock
from engine.writing.reject_folder import RejectFolder
from engine.writing.rejects import Reject, RejectFile
from tests.support.nesting import nested
from tests.support.records import record


def reject(value: Any, offset: int = 7) -> Reject:
    return Reject(source="lines", offset=offset, reason="no", value=value)


def lines(file: RejectFile) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.path.read_bytes().splitlines()]


@pytest.mark.parametrize(
    ("value", "shown", "is_packed"),
    [
        ({"a": [1, None]}, {"a": [1, None]}, False),
        ("Zürich", "Zürich", False),
        (b"caf\xe9", "caf\\xe9", True),
        ("cut \ud83d", "cut \\ud83d", False),
        ({("a", "pair"): 1}, "{('a', 'pair'): 1}", True),
        (2**64, 2**64, False),
        (nested(100_000), "list, nested too deeply to be shown", False),
    ],
)
def test_a_value_is_json_where_it_is_json_and_readable_where_not(
    tmp_path: Path, value: Any, shown: Any, is_packed: bool
) -> None:
    file = RejectFile(tmp_path / "rejects", "step", ManualClock())
    file.put([reject(value)])
    (line,) = lines(file)
    assert line["value"] == shown
    assert ("packed" in line) is is_packed
    assert (line["task"], line["source"], line["offset"], line["reason"]) == ("step", "lines", 7, "no")


def test_a_record_of_the_log_is_kept_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    file = RejectFile(tmp_path, "search", ManualClock())
    one = record(3, {"n": 1})
    file.put([Reject(source="partition 2", offset=3, reason="no", value=one.value, partition=2, record=one)])
    (line,) = lines(file)
    assert line["value"] == {"n": 1}
    assert (line["partition"], line["position"], line["sourcePosition"]) == (2, 3, 2)
    assert line["timestampNs"] == one.timestamp_ns


def test_the_first_is_said_with_the_file_and_then_one_line_in_ten_seconds_with_the_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    file = RejectFile(tmp_path, "step", clock)
    with caplog.at_level(logging.WARNING, "penstock.rejects"):
        for offset in range(300):
            file.put([reject({"n": offset}, offset)])
        clock.advance(10)
        file.put([reject({"n": 1}, 300)])
    assert [one.getMessage() for one in caplog.records] == [
        f"step: lines at 0 is kept aside in {file.path}: no",
        f"step: lines at 300 is kept aside in {file.path}: no (and 299 more)",
    ]
    assert len(lines(file)) == 301


def test_a_line_that_a_crash_cut_short_spoils_none_behind_it(tmp_path: Path) -> None:
    file = RejectFile(tmp_path, "step", ManualClock())
    file.put([reject(1, 1)])
    with file.path.open("ab") as torn:
        torn.write(b'{"task": "st')
    file.put([reject(2, 2)])
    assert [line["value"] for line in lines(file)] == [1, 2]


def test_a_full_disk_leaves_no_half_of_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RejectFile(tmp_path, "step", ManualClock())
    file.put([reject(1, 1)])
    really_write = os.write
    writes = 0

    def half(descriptor: int, text: bytes) -> int:
        nonlocal writes
        writes += 1
        if writes > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return really_write(descriptor, text[: len(text) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space left"):
        file.put([reject(2, 2), reject(3, 3)])
    monkeypatch.setattr(os, "write", really_write)
    file.put([reject(2, 2)])
    assert [line["value"] for line in lines(file)] == [1, 2]


def test_what_comes_again_is_taken_back_and_the_rest_keeps_its_place_in_a_replay(tmp_path: Path) -> None:
    file, folder = RejectFile(tmp_path, "step", ManualClock()), RejectFolder(tmp_path)
    file.put([reject(n, n) for n in range(1, 5)])
    folder.set_out("step", 7)
    file.put([reject(n, n) for n in range(3, 7)])
    folder.take_back("step", lambda entry: entry["offset"] in (2, 5))
    assert [line["value"] for line in folder.lines("step")] == [1, 3, 4, 3, 4, 6]
    (replay,) = folder.replays()
    assert [entry.get("value") for entry in folder.entries(replay)] == [1, None, 3, 4]
    assert [one.count for one in folder.counts()] == [6]
    folder.take_back("step", lambda entry: True)
    assert folder.counts() == ()
