"""What no database could hold is refused before anything is written, and alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine.core.clock import ManualClock
from engine.core.errors import AppendError, DataFolderError
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Acknowledgement, Message, SourceProgress, Timer, Unit
from engine.log.local import format as segment_format
from engine.log.local import storable
from engine.log.local.format import HEAD_BYTES, Changes, decode_body, decode_head, frame_of, new_mark
from engine.log.partition_log import PartitionLog
from engine.log.storage import Entry, StorageError
from tests.engine.log.local.test_storage import entry, killed, only, segments, values
from tests.support.logs import local_log

_MARK = new_mark()


class _Text(str):
    __slots__ = ()


UNSTORABLE: list[dict[str, Any]] = [
    {"state": {1: b"x"}},
    {"state": {"\ud800": b"x"}},
    {"state": {"k": "x"}},
    {"state": {"k": 1, "l": None}},
    {"progress": [SourceProgress("s", True)]},
    {"progress": [SourceProgress("s", 1.5)]},  # type: ignore[arg-type]
    {"progress": [SourceProgress("s", 2**63)]},
    {"progress": [SourceProgress("s", -(2**63) - 1)]},
    {"progress": [SourceProgress("s", 1, 2**63)]},
    {"progress": [SourceProgress("s", 1, 0, "page-2")]},  # type: ignore[arg-type]
    {"progress": [SourceProgress(7, 1)]},  # type: ignore[arg-type]
    {"progress": [SourceProgress("\ud800", 1)]},
    {"acknowledged": {"e": Acknowledgement("e", 1, 7)}},  # type: ignore[arg-type]
    {"acknowledged": {"e": Acknowledgement("e", 1, True)}},  # type: ignore[arg-type]
    {"acknowledged": {"e": Acknowledgement("e", 1, "c")}},  # type: ignore[arg-type]
    {"acknowledged": {"e": Acknowledgement("e", 2**63, None)}},
    {"acknowledged": {"e": Acknowledgement(_Text("e"), 1, None)}},
    {"timers_added": [Timer(2**63 - 1, 1, b"")]},
    {"timers_added": [Timer(1, 2**63, b"")]},
    {"timers_added": [Timer(1, 1, "c")]},  # type: ignore[arg-type]
    {"timers_fired": [1, "2"]},
    {"outbox": [Message(2**63 - 1, 1, b"")]},
    {"outbox": [Message(1, 1.0, b"")]},  # type: ignore[arg-type]
    {"outbox": [Message(1, 1, "c")]},  # type: ignore[arg-type]
    {"delivered": {1: 2**63}},
    {"delivered": {"1": 1}},
    {"received": {2**64: 1}},
    {"received": {1: None}},
    {"processed_position": 2**63},
    {"processed_position": True},
]
MOST: list[dict[str, Any]] = [
    {"state": {"k": b"", "": None, "\0": b"\0"}},
    {"state": {"k": None, _Text("text"): b"x"}},
    {"progress": [SourceProgress("s", 2**63 - 1, -(2**63), b"c")]},
    {"acknowledged": {"e": Acknowledgement("e", 2**63 - 1, b"")}},
    {"timers_added": [Timer(2**63 - 2, -(2**63), b"")], "timers_fired": [1]},
    {"outbox": [Message(2**63 - 2, 1, b"")], "delivered": {1: 1}, "received": {1: 2**63 - 2}},
    {"processed_position": 2**63 - 1},
]


@pytest.mark.parametrize("fields", UNSTORABLE, ids=repr)
def test_what_cannot_be_stored_is_refused_and_nothing_of_it_is_there(fields: dict[str, Any], tmp_path: Path) -> None:
    storage = local_log(tmp_path / "1")
    storage.recover()
    storage.commit([entry(1)])
    for _ in range(2):
        with pytest.raises(StorageError, match="cannot be stored") as raised:
            storage.commit([only(**fields), entry(2, 5)])
        assert raised.value.reason == "storage_error"
    storage.commit([entry(2)])
    image = killed(tmp_path / "1", tmp_path / "image")
    storage.close()
    storage = local_log(image)
    assert storage.recover().last_position == 2
    assert values(storage) == [1, 2]
    storage.close()


@pytest.mark.parametrize("fields", MOST, ids=repr)
def test_all_that_is_accepted_goes_through_the_log_and_into_the_database(
    fields: dict[str, Any], tmp_path: Path
) -> None:
    storage = local_log(tmp_path / "1")
    storage.recover()
    storage.commit([only(**fields)])
    image = killed(tmp_path / "1", tmp_path / "image")
    storage.close()
    applied, replayed = local_log(tmp_path / "1"), local_log(image)
    assert applied.recover() == replayed.recover()
    assert [*applied.state_scan("")] == [*replayed.state_scan("")]
    applied.close()
    replayed.close()


def test_one_unit_that_cannot_be_stored_takes_no_other_with_it(tmp_path: Path) -> None:
    storage = local_log(tmp_path / "1")
    log = PartitionLog(1, storage, ManualClock(), committed=lambda _: None)
    log.open()

    def unit(**fields: Any) -> Unit:
        return Unit(source=WriteSource.INTERNAL, records=[Record(RecordType.EVENT, "t", "i", "k", 1)], **fields)

    good, bad = unit(), unit(progress=[SourceProgress("s", 2**63)])
    log.append(good)
    with pytest.raises(AppendError, match=r"cannot be stored: a source, .* are 's', 9223372036854775808"):
        log.append(bad)
    assert log.append_failures["storage_error"] == 1
    log.append(unit())
    assert log.last_position == 2
    log.close()


# -- sizes ---


@pytest.mark.parametrize(
    "fields",
    [
        {"state": {"k" * 60: b"x" * 50}},
        {"progress": [SourceProgress("s", 1, 0, b"x" * 100)]},
        {"acknowledged": {"e": Acknowledgement("é" * 51, 1, None)}},
        {"timers_added": [Timer(1, 1, b"x" * 101)]},
        {"outbox": [Message(1, 1, b"x" * 101)]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_is_too_large_for_a_row_of_the_database_is_refused(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storable, "_ROW_BYTES_MAX", 100)
    monkeypatch.setattr(segment_format, "_SURELY_FITTING_BYTES", 90)
    with pytest.raises(StorageError, match="are more than the database holds"):
        frame_of(1, 1, [only(**fields)], _MARK, 0)
    frame_of(1, 1, [only(state={f"{n}": b"x" * 90 for n in range(5)})], _MARK, 0)


def test_a_row_is_no_larger_than_a_database_takes() -> None:
    db = sqlite3.connect(":memory:")
    assert db.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) > storable._ROW_BYTES_MAX
    assert segment_format._SURELY_FITTING_BYTES < storable._ROW_BYTES_MAX
    db.close()


def test_a_batch_and_a_commit_that_nobody_would_read_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    one = entry(1).batch
    assert one is not None
    size = len(one.blob)
    monkeypatch.setattr(segment_format, "_BATCH_BYTES_MAX", size - 1)
    with pytest.raises(StorageError, match=f"a batch of {size} bytes is larger"):
        frame_of(1, 1, [entry(1)], _MARK, 0)
    monkeypatch.setattr(segment_format, "_BATCH_BYTES_MAX", size)
    monkeypatch.setattr(segment_format, "_PART_BYTES_MAX", 3 * size)
    entries = [Entry(entry(n).unit, entry(n).batch) for n in range(1, 5)]
    with pytest.raises(StorageError, match="too many for one commit"):
        frame_of(1, 1, entries, _MARK, 0)
    with pytest.raises(StorageError, match="too many for one commit"):
        frame_of(1, 1, [only(state={"k": b"x" * 3 * size})], _MARK, 0)
    frame = frame_of(1, 1, entries[:1], _MARK, 0)
    assert decode_head(frame.parts[0][:HEAD_BYTES], _MARK, 0) == frame.head


# -- reading ---


def test_a_commit_that_is_whole_and_says_nonsense_is_no_torn_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = local_log(tmp_path / "1")
    storage.recover()
    storage.commit([entry(1)])
    # As a version without these checks wrote it.
    monkeypatch.setattr(segment_format, "check_storable", lambda _: None)
    storage.commit([entry(2, progress=[SourceProgress("s", 2, 0, "page-2")])])  # type: ignore[arg-type]
    monkeypatch.undo()
    image = killed(tmp_path / "1", tmp_path / "image")
    storage.close()
    (file,) = segments(image)
    content = file.read_bytes()
    refused = local_log(image)
    with pytest.raises(DataFolderError, match="commit 2 behind position 1 is whole, and cannot be read"):
        refused.recover()
    refused.close()
    assert file.read_bytes() == content, "nothing is cut off"


def test_a_body_that_does_not_say_what_it_must_is_told_from_a_damaged_one() -> None:
    frame = frame_of(1, 1, [only(processed_position=1)], _MARK, 0)
    body = frame.parts[0][HEAD_BYTES:]
    assert decode_body(frame.head, body).changes == [Changes(processed_position=1)]
    with pytest.raises(ValueError, match="checksum") as damaged:
        decode_body(frame.head, body[:-1] + b"\x02")
    assert not isinstance(damaged.value, segment_format.UnreadableBodyError)
