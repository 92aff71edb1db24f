"""A data folder is one process's at a time, says whose it is, and never begins anew in silence."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from engine.core.errors import DataFolderError
from engine.core.records import WriteSource
from engine.core.unit import Unit
from engine.log.local.storage import LocalLogStorage
from engine.log.rows.applier import APPLY_CHANGES_BYTES, APPLY_LOG_BYTES
from engine.log.storage import Entry
from engine.options import StorageKind
from engine.runtime.data_folder import DataFolder
from tests.support.disks import FaultyDisk, NotedDisk


def opened(path: Path, partitions: int = 2, storage: StorageKind = "local") -> DataFolder:
    folder = DataFolder(path)
    folder.open("p", partitions, storage)
    return folder


def made(path: Path, partitions: int = 2, storage: StorageKind = "local") -> DataFolder:
    folder = opened(path, partitions, storage)
    folder.close()
    return folder


def commit(folder: DataFolder, partition: int) -> None:
    storage = folder.storage(partition, "local", "FULL")
    storage.recover()
    storage.commit([Entry(Unit(source=WriteSource.INTERNAL, state={"a": b"1"}), None)])
    storage.close()


def test_a_folder_has_an_id_of_its_own_and_lists_the_partitions_that_were_made(tmp_path: Path) -> None:
    first, second = made(tmp_path / "a").description(), made(tmp_path / "b").description()
    assert first.made == second.made == (1, 2)
    assert first.id != second.id
    assert made(tmp_path / "a").description() == first, "it keeps what it is"


def test_a_run_in_memory_leaves_a_folder_to_whoever_stores_in_it(tmp_path: Path) -> None:
    assert made(tmp_path, storage="memory").description().storage == "memory"
    description = made(tmp_path).description()
    assert (description.storage, description.made) == ("local", (1, 2))
    assert made(tmp_path, storage="memory").description() == description


def test_a_folder_of_an_earlier_format_is_refused_in_one_sentence(tmp_path: Path) -> None:
    old = {"format": 1, "pipeline": "p", "partitions": 1, "storage": "sqlite"}
    (tmp_path / "penstock.json").write_text(json.dumps(old))
    with pytest.raises(DataFolderError) as caught:
        opened(tmp_path, 1)
    assert str(caught.value) == (
        f"data folder {tmp_path} has format 1, this version reads format 2; "
        "use the version that wrote it, or another data folder"
    )


def test_a_folder_that_lost_its_description_is_refused_and_not_described_anew(tmp_path: Path) -> None:
    commit(made(tmp_path), 1)
    (tmp_path / "penstock.json").unlink()
    with pytest.raises(DataFolderError, match=r"penstock\.json is gone, and there are partitions that it described"):
        opened(tmp_path)
    assert not (tmp_path / "penstock.json").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 2}', b"\0" * 40, b'{"format": 2, "id": "\xff"}'])
def test_a_description_that_is_damaged_is_refused(content: bytes, tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "penstock.json").write_bytes(content)
    with pytest.raises(DataFolderError, match=r"penstock\.json is damaged \(.*\); bring it back from a copy"):
        opened(tmp_path)


@pytest.mark.parametrize("left", [[], [1], [2], [1, 3], [1, 2, 3]])
def test_a_description_that_lists_other_partitions_is_refused_where_any_was_made(
    left: list[int], tmp_path: Path
) -> None:
    folder = made(tmp_path)
    for partition in (1, 2):
        commit(folder, partition)
    file = tmp_path / "penstock.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "made": left}))
    with pytest.raises(DataFolderError, match=r"penstock\.json (is damaged|does not know of)|does not know of"):
        opened(tmp_path)


def test_a_making_that_was_cut_short_is_finished_by_the_next_start(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.faults["sync_folder"] = [0] * 5
    folder = DataFolder(tmp_path, disk=disk)
    disk.faults = {}
    folder.open("p", 2)
    folder.close()
    file = tmp_path / "penstock.json"
    whole = json.loads(file.read_text())
    # As it stands until all are made.
    file.write_text(json.dumps({**whole, "made": []}))
    shutil.rmtree(tmp_path / "partitions" / "2")
    (tmp_path / "partitions" / "1" / "state.db").write_bytes(b"half")
    commit(made(tmp_path), 2)
    assert json.loads(file.read_text()) == whole


def test_a_partition_that_was_made_and_is_gone_is_refused_by_name(tmp_path: Path) -> None:
    folder = made(tmp_path)
    shutil.rmtree(tmp_path / "partitions" / "2")
    storage = opened(tmp_path).storage(2, "local", "FULL")
    with pytest.raises(DataFolderError, match=r"partitions/2/state\.db is gone; bring it back from a copy, together"):
        storage.recover()
    assert not folder.partition_path(2).exists(), "nothing is made in its place"


def test_the_lock_is_on_the_folder_and_no_file_that_goes_lets_a_second_process_in(tmp_path: Path) -> None:
    first = opened(tmp_path)
    for file in ("lock", "penstock.json"):
        (tmp_path / file).unlink()
        with pytest.raises(DataFolderError, match="is in use by another process"):
            DataFolder(tmp_path).hold()
    first.close()
    second = DataFolder(tmp_path)
    second.hold()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}"
    second.close()


def test_a_folder_survives_the_machine_with_all_that_leads_to_it(tmp_path: Path) -> None:
    disk = NotedDisk()
    path = tmp_path / "a" / "b"
    folder = DataFolder(path, disk=disk)
    folder.open("p", 1)
    assert {tmp_path, tmp_path / "a"} <= {*disk.synced}, "the names of what was made"
    written = disk.synced.index(path / "penstock.tmp")
    assert path in disk.synced[written:], "its content before its name"
    assert {path / "partitions", path / "partitions" / "1"} <= {*disk.synced}
    listed = len(disk.synced) - disk.synced[::-1].index(path / "penstock.tmp")
    assert listed > disk.synced.index(path / "partitions" / "1.floor"), "made before it is listed"
    folder.close()
    disk.synced.clear()
    folder.open("p", 1)
    folder.close()
    assert {tmp_path / "a", path} <= {*disk.synced}, "who made them may have died before"


def test_a_folder_whose_names_cannot_be_synced_is_refused_and_let_go(tmp_path: Path) -> None:
    disk = FaultyDisk()
    folder = DataFolder(tmp_path, disk=disk)
    disk.faults["sync"] = [errno.EIO]
    with pytest.raises(DataFolderError, match="cannot be written: Input/output error"):
        folder.open("p", 1)
    assert not (tmp_path / "penstock.json").exists()
    # Some file systems know no sync of a folder.
    disk.faults["sync_folder"] = [errno.EINVAL] * 3
    folder.open("p", 1)
    folder.close()
    assert made(tmp_path, 1).description().made == (1,)


def test_many_partitions_together_hold_no_more_in_memory_than_few(tmp_path: Path) -> None:
    def carried(partitions: int) -> tuple[int, int]:
        folder = DataFolder(tmp_path / f"{partitions}")
        folder.open("p", partitions, "memory")
        file = folder.path / "penstock.json"
        file.write_text(file.read_text().replace("memory", "local"))
        storage = folder.storage(1, "local", "NORMAL")
        assert isinstance(storage, LocalLogStorage)
        folder.close()
        return storage._applier._apply_log_bytes, storage._applier._apply_changes_bytes

    assert carried(1) == carried(4) == (APPLY_LOG_BYTES, APPLY_CHANGES_BYTES)
    for partitions in (16, 64, 256):
        log_bytes, changes_bytes = carried(partitions)
        assert partitions * log_bytes <= 16 * APPLY_LOG_BYTES
        assert partitions * changes_bytes <= 4 * APPLY_CHANGES_BYTES
    assert min(carried(10_000)) >= 256 << 10, "a transaction is worth its while"
