"""A data folder stays with the storage that wrote it."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from engine import EngineOptions
from engine.core.errors import DataFolderError
from engine.log.local.applier import APPLY_CHANGES_BYTES, APPLY_LOG_BYTES
from engine.log.local.storage import SegmentsStorage
from engine.options import StorageKind
from engine.runtime.data_folder import DataFolder
from tests.support.disks import FaultyDisk, NotedDisk


def describe(path: Path, storage: StorageKind) -> str:
    """Opens and closes it; returns what it says of its storage then."""
    folder = DataFolder(path)
    folder.open("p", 1, storage)
    folder.close()
    return folder.description().storage


@pytest.mark.parametrize(("wrote", "other"), [("sqlite", "segments"), ("segments", "sqlite")])
def test_a_folder_of_one_storage_is_refused_by_the_other(
    wrote: StorageKind, other: StorageKind, tmp_path: Path
) -> None:
    assert describe(tmp_path, wrote) == wrote
    with pytest.raises(DataFolderError, match=f"was written with storage {wrote}, not {other}; use the storage that"):
        describe(tmp_path, other)
    assert describe(tmp_path, wrote) == wrote


@pytest.mark.parametrize("durable", ["sqlite", "segments"])
def test_a_run_in_memory_leaves_a_folder_to_whoever_stores_in_it(durable: StorageKind, tmp_path: Path) -> None:
    assert describe(tmp_path, "memory") == "memory"
    assert describe(tmp_path, durable) == durable
    assert describe(tmp_path, "memory") == durable


def test_a_folder_that_does_not_say_its_storage_is_of_sqlite(tmp_path: Path) -> None:
    (tmp_path / "penstock.json").write_text(json.dumps({"format": 1, "pipeline": "p", "partitions": 1}))
    assert describe(tmp_path, "sqlite") == "sqlite"
    with pytest.raises(DataFolderError, match="was written with storage sqlite, not segments"):
        describe(tmp_path, "segments")


def test_a_partition_of_segments_is_a_folder_and_a_database_is_a_file(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.open("p", 1, "segments")
    for kind, name in (("segments", "1"), ("sqlite", "1.db")):
        storage = folder.storage(1, kind, EngineOptions().synchronous)  # type: ignore[arg-type]
        storage.recover()
        storage.close()
        assert folder.partition_path(1, kind) == tmp_path / "partitions" / name  # type: ignore[arg-type]
        assert (tmp_path / "partitions" / name).exists()
    folder.close()


@pytest.mark.parametrize("between", [None, "memory"])
@pytest.mark.parametrize(("wrote", "other"), [("sqlite", "segments"), ("segments", "sqlite")])
def test_a_folder_that_lost_its_description_is_opened_by_the_storage_alone_that_wrote_it(
    wrote: StorageKind, other: StorageKind, between: StorageKind | None, tmp_path: Path
) -> None:
    folder = DataFolder(tmp_path)
    folder.open("p", 1, wrote)
    storage = folder.storage(1, wrote, "FULL")
    storage.recover()
    storage.close()
    folder.close()
    (tmp_path / "penstock.json").unlink()
    if between is not None:
        assert describe(tmp_path, between) == between
    with pytest.raises(DataFolderError, match=f"holds partitions of storage {wrote}, not {other}; use the storage"):
        describe(tmp_path, other)
    assert describe(tmp_path, wrote) == wrote


def test_a_folder_survives_the_machine_with_all_that_leads_to_it(tmp_path: Path) -> None:
    disk = NotedDisk()
    path = tmp_path / "a" / "b"
    folder = DataFolder(path, disk=disk)
    folder.open("p", 1, "segments")
    assert {tmp_path, tmp_path / "a"} <= {*disk.synced}, "the names of what was made"
    written = disk.synced.index(path / "penstock.tmp")
    assert path in disk.synced[written:], "its content before its name"
    disk.synced.clear()
    folder.storage(1, "segments", "FULL")
    assert path in disk.synced, "that of the partitions"
    folder.close()
    disk.synced.clear()
    folder.open("p", 1, "segments")
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
    assert describe(tmp_path, "sqlite") == "sqlite"


def test_many_partitions_together_hold_no_more_in_memory_than_few(tmp_path: Path) -> None:
    def carried(partitions: int) -> tuple[int, int]:
        folder = DataFolder(tmp_path / f"{partitions}")
        folder.open("p", partitions, "segments")
        storage = folder.storage(1, "segments", "NORMAL")
        assert isinstance(storage, SegmentsStorage)
        folder.close()
        return storage._applier._apply_log_bytes, storage._applier._apply_changes_bytes

    assert carried(1) == carried(4) == (APPLY_LOG_BYTES, APPLY_CHANGES_BYTES)
    for partitions in (16, 64, 256):
        log_bytes, changes_bytes = carried(partitions)
        assert partitions * log_bytes <= 16 * APPLY_LOG_BYTES
        assert partitions * changes_bytes <= 4 * APPLY_CHANGES_BYTES
    assert min(carried(10_000)) >= 256 << 10, "a transaction is worth its while"
