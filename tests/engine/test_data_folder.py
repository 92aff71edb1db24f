"""A data folder stays with the storage that wrote it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import EngineOptions
from engine.data_folder import DataFolder
from engine.errors import DataFolderError
from engine.options import StorageKind


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
