"""Segments while something goes wrong around them: no thread, an interrupt, a failed sync, two ends."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from engine.core.errors import DataFolderError
from engine.core.unit import Timer, Unit
from engine.log.local.segment import Segment
from engine.log.local.storage import LocalLogStorage
from engine.log.rows.applier import Applier
from engine.log.rows.pending import Pending
from engine.log.storage import StorageError
from tests.engine.log.local.test_storage import Opened, entry, killed, only, segments, values
from tests.support.disks import FaultyDisk, NotedDisk
from tests.support.logs import local_log
from tests.support.waiting import WAIT_SECONDS, wait_until


@pytest.fixture
def opened() -> Iterator[Opened]:
    made = Opened()
    yield made
    made.close()


def meta(folder: Path) -> dict[str, int]:
    db = sqlite3.connect(folder / "state.db")
    found = dict(db.execute("SELECT key, value FROM meta"))
    db.close()
    return found


def commit_until_refused(storage: LocalLogStorage, first: int) -> int:
    """One record after the other; the last position that was stored."""
    for position in range(first, first + 1000):
        try:
            storage.commit([entry(position)])
        except StorageError:
            return position - 1
    pytest.fail("what waits in memory has a bound")


# -- threads ---


def no_thread() -> Any:
    return mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread"))


def test_a_system_without_a_thread_to_give_costs_nothing_that_was_stored(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage, _ = opened(tmp_path / "1", apply_log_bytes=500)
    with no_thread():
        stored = commit_until_refused(storage, 1)
        assert stored > 5, "writes went on for a while"
        assert sum("can't start new thread" in record.message for record in caplog.records) == 1
    image = killed(tmp_path / "1", tmp_path / "image")
    assert values(opened(image)[0]) == [*range(1, stored + 1)]

    def goes_on() -> bool:
        try:
            storage.commit([entry(stored + 1)])
        except StorageError:
            return False
        return True

    assert wait_until(goes_on)
    assert values(storage) == [*range(1, stored + 2)]


def test_a_log_is_closed_whole_that_never_had_a_thread(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1", apply_log_bytes=500)
    with no_thread():
        stored = commit_until_refused(storage, 1)
        storage.close()
    assert meta(tmp_path / "1")["applied_commit"] == stored
    assert values(opened(tmp_path / "1")[0]) == [*range(1, stored + 1)]


# -- interrupts ---


def half_taken_in() -> Any:
    """The second unit of a commit is not taken in any more."""
    add, calls = Pending.add, iter(range(100))

    def interrupted(self: Pending, unit: Unit) -> None:
        if next(calls) == 1:
            raise KeyboardInterrupt
        add(self, unit)

    return mock.patch.object(Pending, "add", interrupted)


@pytest.mark.parametrize(
    "interrupted",
    [
        lambda: mock.patch.object(Segment, "add", side_effect=KeyboardInterrupt),
        lambda: mock.patch.object(Applier, "add", side_effect=KeyboardInterrupt),
        half_taken_in,
    ],
    ids=["before it can be read", "before its changes count", "between its changes"],
)
def test_a_commit_that_is_interrupted_when_it_is_stored_is_the_last_and_whole_after_the_next_start(
    interrupted: Callable[[], Any], opened: Opened, tmp_path: Path
) -> None:
    storage, _ = opened(tmp_path / "1")
    storage.commit([entry(1, state={"a": b"1"})])
    both = [
        entry(2, state={"a": b"2"}, timers_added=[Timer(1, 10, b"")]),
        entry(3, state={"b": b"3"}, timers_added=[Timer(2, 10, b"")]),
    ]
    with interrupted(), pytest.raises(KeyboardInterrupt):
        storage.commit(both)
    for _ in range(2):
        with pytest.raises(StorageError, match="1: a commit was interrupted; start again"):
            storage.commit([entry(4)])
    image = killed(tmp_path / "1", tmp_path / "image")
    storage.close()
    for folder in (image, tmp_path / "1"):
        again, recovered = opened(folder)
        assert recovered.timers == [Timer(1, 10, b""), Timer(2, 10, b"")]
        assert dict(again.state_scan("")) == {"a": b"2", "b": b"3"}
        again.commit([entry(4)])
        assert values(again) == [1, 2, 3, 4]


# -- syncs ---


def test_opening_syncs_the_names_that_a_process_that_died_had_not(opened: Opened, tmp_path: Path) -> None:
    disk = FaultyDisk()
    storage, _ = opened(tmp_path / "1", disk=disk, segment_bytes=1)
    storage.commit([entry(1)])
    disk.faults["sync_folder"] = [errno.EIO]
    with pytest.raises(StorageError):
        storage.commit([entry(2)])
    image = killed(tmp_path / "1", tmp_path / "images" / "1")
    assert len(segments(image)) == 2
    noted = NotedDisk()
    again, _ = opened(image, disk=noted)
    assert {image, image.parent} <= {*noted.synced}
    again.commit([entry(2)])
    assert values(again) == [1, 2]


def test_without_syncs_a_commit_the_database_gets_nothing_more_once_the_log_could_not_be_synced(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FaultyDisk()
    storage, _ = opened(tmp_path / "1", synchronous="NORMAL", disk=disk, apply_log_bytes=500)
    disk.faults["sync"] = [errno.EIO]
    stored = commit_until_refused(storage, 1)
    assert stored > 5, "writes went on for a while"
    assert not disk.faults["sync"], "the disk would say by now that all is well"
    with pytest.raises(StorageError, match="Input/output error") as raised:
        storage.commit([entry(stored + 1)])
    assert raised.value.reason == "io_error"
    assert sum("then they are refused: start again" in record.message for record in caplog.records) == 1
    storage.close()
    assert "applied_commit" not in meta(tmp_path / "1")
    assert values(opened(tmp_path / "1")[0]) == [*range(1, stored + 1)]


def test_without_syncs_a_commit_no_segment_follows_one_that_could_not_be_synced(opened: Opened, tmp_path: Path) -> None:
    disk = FaultyDisk()
    storage, _ = opened(tmp_path / "1", synchronous="NORMAL", disk=disk, segment_bytes=1)
    storage.commit([entry(1)])
    disk.faults["sync"] = [errno.EIO]
    for _ in range(3):
        with pytest.raises(StorageError) as raised:
            storage.commit([entry(2)])
        assert raised.value.reason == "io_error"
    assert len(segments(tmp_path / "1")) == 1
    storage.close()
    assert "applied_commit" not in meta(tmp_path / "1")
    assert values(opened(tmp_path / "1")[0]) == [1]


# -- what the database is told ---


def test_what_is_deleted_stays_so_however_often_the_process_is_killed_while_it_reads_the_log(
    opened: Opened, tmp_path: Path
) -> None:
    storage, _ = opened(tmp_path / "1")
    for n in range(1, 30):
        storage.commit([entry(n)])
    assert storage.delete_before(20, 100) == 19
    storage.close()
    storage, _ = opened(tmp_path / "1")
    for n in range(30, 60):
        storage.commit([entry(n)])
    once = killed(tmp_path / "1", tmp_path / "once")
    # So little is carried at once that all is while the log is read.
    assert opened(once, apply_log_bytes=1)[1].oldest_position == 20
    again, recovered = opened(killed(once, tmp_path / "twice"))
    assert meta(tmp_path / "twice")["applied_commit"] == 59
    assert recovered.oldest_position == 20
    assert values(again) == [*range(20, 60)]


def test_a_log_that_is_refused_is_left_as_it_was_and_nothing_of_it_stays_open(tmp_path: Path) -> None:
    storage = local_log(tmp_path / "1")
    storage.recover()
    storage.commit([entry(1)])
    storage.close()
    db = sqlite3.connect(tmp_path / "1" / "state.db")
    db.execute("UPDATE meta SET value = 9 WHERE key = 'format'")
    db.execute("UPDATE meta SET value = 77 WHERE key = 'oldest_position'")
    db.commit()
    db.close()
    before = meta(tmp_path / "1")
    refused = [local_log(tmp_path / "1") for _ in range(3)]
    for storage in refused:
        with pytest.raises(DataFolderError, match="has format 9"):
            storage.recover()
    assert open_files(tmp_path / "1") == []
    for storage in refused:
        storage.close()
    assert meta(tmp_path / "1") == before


def open_files(folder: Path) -> list[str]:
    """Of this process, in that folder."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            # That of the list itself, or of somebody who has just closed it.
            continue
    return [name for name in found if name.startswith(f"{folder}/")]


def test_many_small_keys_count_as_what_memory_holds_of_them(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1", apply_changes_bytes=20_000)
    storage.commit([only(state={f"{n}": b"1" for n in range(200)})])
    assert len(segments(tmp_path / "1")[0].read_bytes().rstrip(b"\0")) < 5000, "on the disk it is little"
    assert wait_until(lambda: storage._applier.applied_commit == 1)


# -- the end ---


def test_a_commit_that_waits_for_a_database_that_refuses_ends_with_the_log(tmp_path: Path) -> None:
    storage = local_log(tmp_path / "1", apply_log_bytes=500)
    storage.recover()
    may_fail = threading.Event()

    def write(_: Pending, __: sqlite3.Connection) -> None:
        assert may_fail.wait(60)
        raise sqlite3.OperationalError("refused")

    stored: list[int] = []
    committing = threading.Thread(target=lambda: stored.append(commit_until_refused(storage, 1)), daemon=True)
    closing = threading.Thread(target=storage.close, daemon=True)
    with mock.patch.object(Pending, "write", write):
        committing.start()
        assert wait_until(lambda: storage._applier._layers[0].log_bytes >= 4 * 500)
        closing.start()
        assert wait_until(lambda: storage._applier._is_closing)
        may_fail.set()
        for thread in (committing, closing):
            thread.join(WAIT_SECONDS)
            assert not thread.is_alive()
    again = local_log(tmp_path / "1")
    assert again.recover().last_position == stored[0]
    again.close()


def test_closing_a_second_time_touches_nothing(opened: Opened, tmp_path: Path) -> None:
    first, _ = opened(tmp_path / "1")
    first.commit([entry(1, state={"a": b"old"})])
    first.close()
    second, _ = opened(tmp_path / "1")
    second.commit([entry(2, state={"a": b"new"})])
    second.close()
    first.close()
    assert meta(tmp_path / "1")["applied_commit"] == 2
    again, _ = opened(tmp_path / "1")
    assert (values(again), again.state_get("a")) == ([1, 2], b"new")


def test_nothing_is_stored_or_deleted_behind_the_end(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1")
    storage.commit([entry(1)])
    storage.close()
    with pytest.raises(StorageError, match="the log is closed"):
        storage.commit([entry(2)])
    with pytest.raises(StorageError, match="the log is closed"):
        storage.delete_before(2, 10)
    assert values(opened(tmp_path / "1")[0]) == [1]
