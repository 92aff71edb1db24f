"""The log in files of its own: torn ends, disks that refuse, crashes at any moment, retention, damage."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest

from engine.core.clock import ManualClock
from engine.core.errors import AppendError, DataFolderError, LogCorruptedError
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Message, Recovered, Timer, Unit
from engine.log.codec import EncodedBatch, checksum_of, decode_batch, encode_batch
from engine.log.local.disk import Disk
from engine.log.local.floor import floor_path
from engine.log.local.format import HEAD_BYTES, SEGMENT_HEADER_BYTES, decode_head, mark_of
from engine.log.local.storage import LocalLogStorage
from engine.log.partition_log import PartitionLog
from engine.log.storage import DeletedError, Entry, StorageError
from tests.support.disks import FaultyDisk, NotedDisk, PhotographedDisk, StandingDisk
from tests.support.logs import copy_log, local_log
from tests.support.waiting import wait_until

# As many reads beside retention; `RETENTION_READS=1000000` is the long run of docs/durability.md.
READS = int(os.environ.get("RETENTION_READS", "2000"))


def entry(first: int, count: int = 1, **fields: Any) -> Entry:
    """Records from position `first` on, each with its position as value."""
    records = [Record(RecordType.COMMAND, "t", "create", "k", first + i) for i in range(count)]
    blob, kinds = encode_batch(records)
    batch = EncodedBatch(
        first, count, 1000 + first, WriteSource.USER_COMMAND, checksum_of(blob, first, count, kinds), blob, kinds
    )
    return Entry(Unit(source=WriteSource.USER_COMMAND, **fields), batch)


def only(**fields: Any) -> Entry:
    return Entry(Unit(source=WriteSource.INTERNAL, **fields), None)


class Opened:
    """A storage in a folder, closed with the test."""

    def __init__(self) -> None:
        self._all: list[LocalLogStorage] = []

    def __call__(self, folder: Path, **options: Any) -> tuple[LocalLogStorage, Recovered]:
        storage = local_log(folder, **options)
        self._all.append(storage)
        return storage, storage.recover()

    def close(self) -> None:
        for storage in self._all:
            storage.close()


@pytest.fixture
def opened() -> Iterator[Opened]:
    made = Opened()
    yield made
    made.close()


def values(storage: LocalLogStorage, position: int | None = None, count: int = 10**6) -> list[Any]:
    """From `position` on, or all that retention has left."""
    position = position or storage._oldest_position
    return [r.value for batch in storage.read(position, count) for r in decode_batch(batch).records]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))


def frames(file: Path) -> list[int]:
    """Where each frame of a whole segment begins, and where the last one ends; zeros may follow."""
    data, starts = file.read_bytes().rstrip(b"\0"), [SEGMENT_HEADER_BYTES]
    mark = mark_of(data)
    assert mark is not None
    while starts[-1] < len(data):
        head = decode_head(data[starts[-1] : starts[-1] + HEAD_BYTES], mark, starts[-1])
        assert head is not None
        starts.append(starts[-1] + head.frame_bytes)
    return starts


def turn(file: Path, offset: int) -> None:
    """Another byte stands there than was written."""
    data = bytearray(file.read_bytes())
    data[offset] ^= 0xFF
    file.write_bytes(data)


def killed(folder: Path, into: Path) -> Path:
    """What a process that is killed now leaves behind."""
    return copy_log(folder, into)


# -- ends ---


@pytest.mark.parametrize("rest", ["nothing", "zeros", "noise"])
@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_a_commit_that_was_torn_at_any_byte_is_gone_and_the_log_goes_on(
    rest: str, synchronous: str, opened: Opened, tmp_path: Path
) -> None:
    folder = tmp_path / "1"
    storage, _ = opened(folder)
    storage.commit([entry(1, 2, state={"a": b"first"})])
    storage.commit([entry(3, 2, state={"a": b"second"}), entry(5, 1, state={"b": b"second"})])
    untouched, image = killed(folder, tmp_path / "untouched"), killed(folder, tmp_path / "image")
    (file,) = segments(image)
    whole = file.read_bytes()
    _, start, end = frames(file)
    for cut in range(start, end, 1 if rest == "nothing" else 7):
        left = {"nothing": b"", "zeros": bytes(end - cut), "noise": b"\xa5" * (end - cut)}[rest]
        shutil.rmtree(image)
        # Nobody was told that it is stored.
        floor_path(image).unlink(missing_ok=True)
        shutil.copytree(untouched, image)
        file.write_bytes(whole[:cut] + left)
        again = local_log(image, synchronous=synchronous)  # type: ignore[arg-type]
        recovered = again.recover()
        assert recovered.last_position == 2, f"torn at byte {cut}"
        assert (again.state_get("a"), again.state_get("b")) == (b"first", None)
        assert values(again) == [1, 2]
        again.commit([entry(3, 1, state={"b": b"third"})])
        assert values(again) == [1, 2, 3]
        again.close()
    assert opened(untouched)[1].last_position == 5, "it was only the tear that made it disappear"


def test_small_commits_write_over_zeros_and_nothing_of_them_stays(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1")
    (file,) = segments(tmp_path / "1")
    sizes = set()
    for n in range(1, 101):
        storage.commit([entry(n)])
        sizes.add(file.stat().st_size)
    assert len(sizes) == 1, "the length of the file stays"
    image = killed(tmp_path / "1", tmp_path / "image")
    assert values(opened(image)[0]) == [*range(1, 101)]
    storage.commit([entry(101, 5000)])
    storage.commit([entry(5101)])
    assert values(storage, 101) == [*range(101, 5102)]
    storage.close()
    assert frames(file)[-1] == file.stat().st_size


def test_no_room_for_zeros_is_no_reason_to_refuse_a_commit(opened: Opened, tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.faults["lengthen"] = [errno.ENOSPC]
    storage, _ = opened(tmp_path / "1", disk=disk)
    storage.commit([entry(1)])
    storage.commit([entry(2)])
    assert values(storage) == [1, 2]


def test_zeros_behind_the_end_are_no_damage(opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    storage, _ = opened(tmp_path / "1")
    storage.commit([entry(1)])
    image = killed(tmp_path / "1", tmp_path / "image")
    with segments(image)[0].open("ab") as file:
        file.write(bytes(5000))
    again, recovered = opened(image)
    assert recovered.last_position == 1
    again.commit([entry(2)])
    assert values(again) == [1, 2]
    assert not caplog.records


def test_without_syncs_a_crash_of_the_machine_may_leave_holes_and_the_log_ends_before_them(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage, _ = opened(tmp_path / "1", synchronous="NORMAL")
    for position in range(1, 6):
        storage.commit([entry(position)])
    image = killed(tmp_path / "1", tmp_path / "image")
    (file,) = segments(image)
    turn(file, frames(file)[2] + 5)
    again, recovered = opened(image, synchronous="NORMAL")
    assert recovered.last_position == 2
    assert "the machine stopped without a sync" in caplog.text
    again.commit([entry(3)])
    assert values(again) == [1, 2, 3]


# -- disks that refuse ---


@pytest.mark.parametrize("call", ["write", "sync"])
@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "disk_full"), (errno.EIO, "io_error")])
def test_what_the_disk_refuses_is_not_there_and_the_next_commit_is(
    call: str, number: int, reason: str, opened: Opened, tmp_path: Path
) -> None:
    disk = FaultyDisk()
    storage, _ = opened(tmp_path / "1", disk=disk)
    storage.commit([entry(1, state={"a": b"1"})])
    disk.faults[call] = [number]
    with pytest.raises(StorageError) as raised:
        storage.commit([entry(2, state={"a": b"2"})])
    assert raised.value.reason == reason
    assert (values(storage), storage.state_get("a")) == ([1], b"1")
    assert opened(killed(tmp_path / "1", tmp_path / "after"))[1].last_position == 1
    storage.commit([entry(2, state={"a": b"3"})])
    assert (values(storage), storage.state_get("a")) == ([1, 2], b"3")
    assert opened(killed(tmp_path / "1", tmp_path / "end"))[1].last_position == 2


@pytest.mark.parametrize("mending", ["sync"])
def test_nothing_is_stored_while_what_a_failed_commit_left_cannot_be_cut_off(
    mending: str, opened: Opened, tmp_path: Path
) -> None:
    disk = FaultyDisk()
    storage, _ = opened(tmp_path / "1", disk=disk)
    storage.commit([entry(1)])
    disk.faults = {"write": [errno.EIO], mending: [errno.EIO] * 3}
    for _ in range(3):
        with pytest.raises(StorageError):
            storage.commit([entry(2)])
        assert values(storage) == [1]
    storage.commit([entry(2)])
    assert values(storage) == [1, 2]
    assert opened(killed(tmp_path / "1", tmp_path / "image"))[1].last_position == 2


@pytest.mark.parametrize("call", ["sync", "sync_folder"])
def test_a_segment_that_cannot_be_begun_refuses_the_commit_and_is_begun_by_the_next(
    call: str, opened: Opened, tmp_path: Path
) -> None:
    disk = FaultyDisk()
    storage, _ = opened(tmp_path / "1", disk=disk, segment_bytes=1)
    storage.commit([entry(1)])
    disk.faults[call] = [errno.ENOSPC]
    with pytest.raises(StorageError):
        storage.commit([entry(2)])
    assert opened(killed(tmp_path / "1", tmp_path / "after"))[1].last_position == 1
    storage.commit([entry(2)])
    assert (values(storage), len(segments(tmp_path / "1"))) == ([1, 2], 2)
    assert opened(killed(tmp_path / "1", tmp_path / "end"))[1].last_position == 2


def test_a_database_that_is_full_holds_commits_up_only_when_too_much_waits_for_it(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage, _ = opened(tmp_path / "1", apply_changes_bytes=4000)
    writer = storage._connections.writer
    writer.execute(f"PRAGMA max_page_count = {writer.execute('PRAGMA page_count').fetchone()[0]}")
    stored = 0
    refused: StorageError | None = None
    while refused is None:
        try:
            storage.commit([entry(stored + 1, state={f"key {stored + 1}": bytes(500)})])
        except StorageError as error:
            refused = error
        else:
            stored += 1
            assert stored < 1000, "what waits in memory has a bound"
    assert refused.reason == "disk_full"
    assert stored * 500 > 4000, "writes went on for a while"
    assert values(storage) == [*range(1, stored + 1)]
    assert storage.state_get(f"key {stored}") == bytes(500)
    assert opened(killed(tmp_path / "1", tmp_path / "image"))[1].last_position == stored
    assert sum("it is tried again" in record.message for record in caplog.records) == 1

    def room_again() -> bool:
        writer.execute("PRAGMA max_page_count = 1000000")
        try:
            storage.commit([entry(stored + 1, state={"at last": b"1"})])
        except StorageError:
            return False
        return True

    assert wait_until(room_again)
    assert len(dict(storage.state_scan("key "))) == stored
    assert storage.state_get("at last") == b"1"


# -- crashes ---


def test_a_crash_at_any_moment_leaves_all_that_was_acknowledged_and_nothing_half(
    opened: Opened, tmp_path: Path
) -> None:
    """Each call to the disk is such a moment; the applier stands wherever it stands."""
    acknowledged = 0
    disk = PhotographedDisk(tmp_path / "1", tmp_path / "images", lambda: acknowledged)
    storage, _ = opened(tmp_path / "1", disk=disk, segment_bytes=700, apply_changes_bytes=300)
    for n in range(1, 31):
        unit: dict[str, Any] = {
            "state": {f"k{n % 5}": b"%d" % n, f"old{n - 3}": None, f"old{n}": b"x"},
            "timers_added": [Timer(2 * n, n, b"t"), Timer(2 * n + 1, n, b"u")],
            "timers_fired": [2 * n],
            "outbox": [Message(n, 2, b"m")],
            "delivered": {2: n - 2} if n > 2 else {},
        }
        storage.commit([entry(n, 1, **unit)])
        acknowledged = n
        if n % 4 == 0:
            storage.delete_before(n - 2, 3)
            disk.photograph()
    assert len(disk.taken) > 100
    for image, known, behind in disk.taken:
        again, recovered = opened(image)
        # What was being written may have been finished all the same.
        n = recovered.last_position
        assert known <= n <= behind + 1
        assert recovered.timers == [Timer(2 * i + 1, i, b"u") for i in range(1, n + 1)]
        assert recovered.next_timer_id == (2 * n + 2 if n else 1)
        assert [m.sequence for m in recovered.outbox] == [*range(max(1, n - 1), n + 1)]
        assert recovered.next_sequence == n + 1
        expected = {f"k{i % 5}": b"%d" % i for i in range(1, n + 1)}
        expected |= {f"old{i}": b"x" for i in range(max(1, n - 2), n + 1)}
        assert dict(again.state_scan("")) == expected
        assert values(again) == [*range(recovered.oldest_position, n + 1)]
        again.commit([entry(n + 1)])
        assert again.read(n + 1, 1)[0].first_position == n + 1
        again.close()


def test_opening_reads_nothing_of_what_the_database_has(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1", synchronous="NORMAL", segment_bytes=1 << 18, apply_log_bytes=1 << 17)
    for n in range(1, 10_001):
        storage.commit([entry(n, state={f"{n % 100}": b"%d" % n})])
    storage.close()
    storage, _ = opened(tmp_path / "1", synchronous="NORMAL")
    for n in range(10_001, 10_004):
        storage.commit([entry(n, state={f"{n % 100}": b"%d" % n})])
    image = killed(tmp_path / "1", tmp_path / "image")
    files = segments(image)
    assert len(files) > 3
    for file in files[:-1]:
        file.write_bytes(b"")
    starts = frames(files[-1])
    data = files[-1].read_bytes()
    # All but the frame that was applied last, and the three behind it.
    files[-1].write_bytes(b"\xa5" * starts[-5] + data[starts[-5] :])
    again, recovered = opened(image)
    assert recovered.last_position == 10_003
    assert {int(value) for _, value in again.state_scan("")} == {*range(9904, 10_004)}
    assert values(again, 10_001) == [10_001, 10_002, 10_003]


# -- state in layers ---


def test_state_may_be_far_larger_than_what_waits_in_memory(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1", apply_changes_bytes=5000)
    for n in range(300):
        storage.commit([only(state={f"key {n}/{i}": bytes(100) for i in range(5)})])
        assert storage.state_get(f"key {n}/3") == bytes(100)
        assert storage.state_get(f"key {n // 2}/4") == bytes(100)
        waiting = sum(layer.changes_bytes for layer in storage._applier._layers)
        assert waiting < 2 * 4 * 5000 + 2000
    assert len(dict(storage.state_scan("key "))) == 1500
    storage.close()
    again, _ = opened(tmp_path / "1")
    assert len(dict(again.state_scan("key "))) == 1500


def test_a_read_of_state_sees_the_newest_of_three_layers_and_no_key_that_is_deleted_in_one(
    opened: Opened, tmp_path: Path
) -> None:
    disk = StandingDisk()
    # Without a sync a commit the applier is the only one that syncs the log.
    storage, _ = opened(tmp_path / "1", synchronous="NORMAL", apply_changes_bytes=400, disk=disk)
    filling: dict[str, bytes | None] = {f"z{n}": bytes(50) for n in range(10)}
    storage.commit([only(state={"a": b"1", "b": b"1", "c": b"1", "d": b"1", **filling})])
    assert wait_until(lambda: storage._applier.applied_commit == 1 and len(storage._applier._layers) == 1)
    disk.may_sync.clear()
    disk.has_begun.clear()
    storage.commit([only(state={"b": b"2", "c": None, "d": b"2", "e": b"2", **filling})])
    assert disk.has_begun.wait(60)
    storage.commit([only(state={"d": None, "e": b"3", "f": b"3"})])
    expected = {"a": b"1", "b": b"2", "c": None, "d": None, "e": b"3", "f": b"3"}
    held = {key: value for key, value in expected.items() if value is not None}
    assert {key: storage.state_get(key) for key in expected} == expected
    assert [pair for pair in storage.state_scan("") if not pair[0].startswith("z")] == [*held.items()]
    assert [key for key, _ in storage.state_scan("z")] == sorted(filling)
    assert [*storage.state_scan("d")] == []
    disk.may_sync.set()
    storage.close()
    again, _ = opened(tmp_path / "1")
    assert {key: again.state_get(key) for key in expected} == expected


def test_the_state_may_be_read_while_it_is_carried_into_the_database(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1", synchronous="NORMAL", apply_changes_bytes=500)
    is_over = threading.Event()
    failures: list[object] = []

    def look() -> None:
        seen = 0
        while not is_over.is_set():
            # Both keys change together, and never go back.
            found = {key: int(value) for key, value in storage.state_scan("n") if value}
            if found and (found["n1"] != found["n2"] or found["n1"] < seen):
                failures.append((seen, found))
            seen = found.get("n1", seen)
            single = storage.state_get("n1")
            if single is not None and int(single) < seen:
                failures.append((seen, single))

    readers = [threading.Thread(target=look, daemon=True) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(1, 1500):
        storage.commit([only(state={"n1": b"%d" % n, "n2": b"%d" % n})])
    is_over.set()
    for reader in readers:
        reader.join(60)
    assert not failures


# -- retention ---


def test_segments_go_when_all_in_them_is_deleted_and_what_it_changed_is_in_the_database(
    opened: Opened, tmp_path: Path
) -> None:
    storage, _ = opened(tmp_path / "1", segment_bytes=500, apply_log_bytes=1 << 20)
    for n in range(1, 41):
        storage.commit([entry(n, state={f"{n}": b"x"})])
    before = len(segments(tmp_path / "1"))
    assert before > 4
    assert storage.delete_before(30, 1000) == 29
    assert values(storage) == [*range(30, 41)]
    assert len(segments(tmp_path / "1")) == before, "their changes are in memory alone"
    storage.close()
    storage, recovered = opened(tmp_path / "1", segment_bytes=500)
    assert (recovered.oldest_position, recovered.last_position) == (30, 40)
    assert values(storage) == [*range(30, 41)]
    assert storage.delete_before(30, 1000) == 0
    assert 0 < len(segments(tmp_path / "1")) < before
    assert storage.delete_before(100, 1000) == 11
    assert len(segments(tmp_path / "1")) == 1
    storage.commit([entry(41)])
    assert values(storage) == [41]
    storage.close()
    assert opened(tmp_path / "1")[1].oldest_position == 41


def test_without_syncs_the_log_is_synced_before_a_segment_is_deleted(opened: Opened, tmp_path: Path) -> None:
    folder, disk = tmp_path / "1", NotedDisk()
    storage, _ = opened(folder, synchronous="NORMAL", segment_bytes=500, disk=disk)
    for n in range(1, 21):
        storage.commit([entry(n)])
    storage.close()
    storage, _ = opened(folder, synchronous="NORMAL", segment_bytes=1 << 20, disk=disk)
    storage.commit([entry(21)])
    disk.synced.clear()
    # For all the log knows, whoever is done with these records says so in the last commit.
    assert storage.delete_before(21, 1000) > 0
    assert disk.synced[:2] == [segments(folder)[-1], floor_path(folder)]
    assert len(segments(folder)) == 1


def test_a_commit_of_many_batches_is_deleted_batch_by_batch(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1")
    storage.commit([entry(1, 2), entry(3, 2), entry(5, 2)])
    storage.commit([entry(7, 2)])
    assert storage.delete_before(5, 1) == 1
    assert values(storage) == [3, 4, 5, 6, 7, 8]
    assert storage.delete_before(6, 9) == 1
    assert values(storage) == [5, 6, 7, 8]
    assert values(storage, 6, 1) == [5, 6], "the batch that holds the position"


def test_readers_beside_commits_and_deletions_find_no_hole_and_no_damage(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1", synchronous="NORMAL", segment_bytes=2000, apply_log_bytes=3000)
    storage.commit([entry(1)])
    is_over = threading.Event()
    failures: list[object] = []
    rounds = [0, 0]

    def follow(reader: int) -> None:
        position = 1
        while not is_over.is_set() or not rounds[reader]:
            rounds[reader] += 1
            try:
                for batch in storage.read(position, 50):
                    if batch.first_position != position:
                        failures.append((position, batch.first_position))
                    if decode_batch(batch).records[0].value != batch.first_position:
                        failures.append(batch)
                    position = batch.last_position + 1
            except DeletedError as error:
                # It is told, and never given what lies behind a gap.
                if error.position != position or error.oldest_position <= position:
                    failures.append(error)
                position = error.oldest_position
            except Exception as error:
                failures.append(error)
            if rounds[reader] % 7 == 0:
                position = storage._oldest_position

    readers = [threading.Thread(target=follow, args=(n,), daemon=True) for n in range(2)]
    for reader in readers:
        reader.start()
    for n in count(2):
        storage.commit([entry(n)])
        if n % 50 == 0:
            storage.delete_before(n - 100, 60)
        if (n >= 2000 and sum(rounds) >= READS) or failures:
            break
    is_over.set()
    for reader in readers:
        reader.join(60)
    print(f"{sum(rounds)} reads beside {n} commits")
    assert not failures


# -- damage ---


def log_over(storage: LocalLogStorage) -> PartitionLog:
    # Nothing in memory: all reads go to the files.
    log = PartitionLog(7, storage, ManualClock(), committed=lambda _: None, tail_bytes=0)
    log.open()
    return log


def damaged(tmp_path: Path, part: Literal["head", "body", "blob"], *, applied: bool) -> Path:
    """A log of five commits of two records; the third is damaged."""
    storage = local_log(tmp_path / "1")
    storage.recover()
    for n in range(5):
        storage.commit([entry(2 * n + 1, 2, state={f"k{n}": b"x"})])
    if applied:
        storage.close()
    image = killed(tmp_path / "1", tmp_path / "image")
    storage.close()
    (file,) = segments(image)
    start, end = frames(file)[2:4]
    turn(file, {"head": start + 6, "body": start + HEAD_BYTES + 3, "blob": end - 2}[part])
    return image


@pytest.mark.parametrize("part", ["head", "body", "blob"])
def test_damage_in_what_the_database_has_is_found_by_who_reads_it_and_by_nobody_else(
    part: Literal["head", "body", "blob"], tmp_path: Path
) -> None:
    log = log_over(local_log(damaged(tmp_path, part, applied=True)))
    assert log.last_position == 10
    assert log.storage.state_get("k2") == b"x"
    assert [r.value for batch in log.read(1, 4) for r in batch.records] == [1, 2, 3, 4]
    for position in (5, 6):
        with pytest.raises(LogCorruptedError, match="batch at position 5 is damaged") as raised:
            log.read(position, 1)
        assert raised.value.position == 5
    assert [r.value for batch in log.read(7, 100) for r in batch.records] == [7, 8, 9, 10]
    assert log.timestamp_of(5) is None or part == "blob"
    assert log.timestamp_of(7) == 1007
    log.append(Unit(source=WriteSource.INTERNAL, records=[Record(RecordType.EVENT, "t", "i", "k", 11)]))
    assert [r.value for batch in log.read(9, 100) for r in batch.records] == [9, 10, 11]
    assert log.delete_before(8, 3) == 3
    log.close()


@pytest.mark.parametrize("part", ["head", "body"])
def test_changes_that_are_lost_before_the_database_has_them_keep_the_log_closed(
    part: Literal["head", "body"], tmp_path: Path
) -> None:
    storage = local_log(damaged(tmp_path, part, applied=False))
    with pytest.raises(DataFolderError, match=r"damaged behind position 4, .* see `penstock log verify`"):
        storage.recover()
    storage.close()


def test_records_that_are_damaged_keep_no_log_closed_whose_changes_are_whole(opened: Opened, tmp_path: Path) -> None:
    log = log_over(local_log(damaged(tmp_path, "blob", applied=False)))
    assert dict(log.storage.state_scan("")) == {f"k{n}": b"x" for n in range(5)}
    with pytest.raises(LogCorruptedError, match="position 5"):
        log.read(5, 1)
    log.close()


@pytest.mark.parametrize("part", ["head", "body", "blob"])
def test_an_end_that_is_damaged_after_the_database_had_it_gives_no_position_twice(part: str, tmp_path: Path) -> None:
    storage = local_log(tmp_path / "1")
    storage.recover()
    for n in range(1, 4):
        storage.commit([entry(n)])
    storage.close()
    (file,) = segments(tmp_path / "1")
    start, end = frames(file)[2:4]
    turn(file, {"head": start + 6, "body": start + HEAD_BYTES + 3, "blob": end - 2}[part])
    log = log_over(local_log(tmp_path / "1"))
    assert log.last_position == 3
    log.append(Unit(source=WriteSource.INTERNAL, records=[Record(RecordType.EVENT, "t", "i", "k", 4)]))
    assert [r.value for batch in log.read(1, 2) for r in batch.records] == [1, 2]
    with pytest.raises(LogCorruptedError, match="position 3"):
        log.read(3, 1)
    assert [r.value for batch in log.read(4, 9) for r in batch.records] == [4]
    log.close()
    log = log_over(local_log(tmp_path / "1"))
    assert log.last_position == 4
    assert [r.value for batch in log.read(4, 9) for r in batch.records] == [4]
    log.close()


def test_a_segment_that_somebody_has_taken_away_is_heard_of(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1", segment_bytes=300)
    for n in range(1, 21):
        storage.commit([entry(n)])
    files = segments(tmp_path / "1")
    first, behind = (int(file.stem.split("-")[1]) for file in files[1:3])
    files[1].unlink()
    for _ in range(2):
        (batch,) = storage.read(first, 1)
        assert (batch.first_position, batch.last_position) == (first, behind - 1)
        with pytest.raises(ValueError, match="checksum"):
            decode_batch(batch)
        assert values(storage, behind) == [*range(behind, 21)]
        storage.close()
        storage, _ = opened(tmp_path / "1")


# -- the database ---


def test_a_database_that_is_gone_is_not_made_anew(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1", segment_bytes=300)
    for n in range(1, 21):
        storage.commit([entry(n, state={f"{n}": b"x"})])
    storage.close()
    for file in (tmp_path / "1").glob("state.db*"):
        file.unlink()
    refused = LocalLogStorage(tmp_path / "1")
    with pytest.raises(DataFolderError, match=r"state\.db is gone; bring it back from a copy"):
        refused.recover()
    refused.close()


def test_another_format_is_refused(opened: Opened, tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "1")
    storage.close()
    db = sqlite3.connect(tmp_path / "1" / "state.db")
    db.execute("UPDATE meta SET value = 9 WHERE key = 'format'")
    db.commit()
    db.close()
    other = local_log(tmp_path / "1")
    with pytest.raises(DataFolderError, match="has format 9, this version reads format 2"):
        other.recover()
    other.close()


def test_a_unit_that_is_refused_is_told_to_who_appended_it_and_the_others_are_stored(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = log_over(local_log(tmp_path / "1", disk=disk))
    disk.faults["sync"] = [errno.ENOSPC]
    record = Record(RecordType.COMMAND, "t", "create", "k", 1)
    with pytest.raises(AppendError, match="partition 7 could not store a write: 1: No space left on device"):
        log.append(Unit(source=WriteSource.INTERNAL, records=[record]))
    assert log.append_failures["disk_full"] == 1
    log.append(Unit(source=WriteSource.INTERNAL, records=[record]))
    assert log.last_position == 1
    log.close()


def test_parts_beyond_what_one_call_takes_are_all_written(tmp_path: Path) -> None:
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    parts = [b"%d," % n for n in range(3000)]
    Disk().write(file, parts, 5)
    assert os.pread(file, 1 << 20, 5) == b"".join(parts)
    os.close(file)


def test_without_a_sync_a_commit_the_floor_says_nothing_that_a_loss_of_power_takes(
    opened: Opened, tmp_path: Path
) -> None:
    folder = tmp_path / "1"
    storage, _ = opened(folder, synchronous="NORMAL")
    for n in range(1, 4):
        storage.commit([entry(n)])
    # Retention waits for a sync too: who let go of a record may be forgotten.
    assert storage.delete_before(2, 10) == 1
    image = killed(folder, tmp_path / "image")
    (file,) = segments(image)
    os.truncate(file, frames(file)[2])
    again, recovered = opened(image, synchronous="NORMAL")
    assert (recovered.oldest_position, recovered.last_position) == (1, 2)
    again.close()
    storage.close()
    shutil.rmtree(image)
    image = killed(folder, tmp_path / "image")
    os.truncate(file, frames(file)[2])
    with pytest.raises(DataFolderError, match="the log ends before commit 3, which the state beside it knows"):
        opened(image)
