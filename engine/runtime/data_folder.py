"""The folder that a pipeline's data lies in: one process at a time, one format, one number of partitions."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import IO, Literal

import msgspec

from engine.core.errors import DataFolderError
from engine.log.local.applier import APPLY_CHANGES_BYTES, APPLY_LOG_BYTES
from engine.log.local.disk import Disk
from engine.log.local.storage import SegmentsStorage
from engine.log.memory import MemoryStorage
from engine.log.sqlite import SqliteStorage
from engine.log.storage import LogStorage
from engine.options import StorageKind

_FORMAT = 1
# How long the workers of a process that was killed may take to notice, and how often they are looked for.
_ORPHANS_END_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.02
_DESCRIPTION = "penstock.json"
_PARTITIONS = "partitions"
# What all partitions together carry at once, of the log and of what memory holds of its changes; and the least that is
# worth a transaction of one of them. Several times as much may wait.
_APPLY_LOG_BYTES_OF_ALL = 256 << 20
_APPLY_LOG_BYTES_MIN = 1 << 20
_APPLY_CHANGES_BYTES_OF_ALL = 64 << 20
_APPLY_CHANGES_BYTES_MIN = 256 << 10
# A folder that we may not look into, or a file system that knows no such sync: there is nothing to be done.
_NO_SYNC_OF_FOLDERS = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP)


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """What `penstock.json` says of a data folder."""

    format: int
    pipeline: str
    partitions: int
    # What its partitions lie in; folders that do not say it are older than the choice.
    storage: StorageKind = "sqlite"


class DataFolder:
    """Holds the folder from `open` or `hold` to `close`, by a lock that the system takes back when the process dies."""

    def __init__(self, path: Path, *, disk: Disk | None = None) -> None:
        self.path = path
        self._disk = disk or Disk()
        self._lock: IO[bytes] | None = None

    @property
    def rejects(self) -> Path:
        return self.path / "rejects"

    def open(self, pipeline: str, partitions: int, storage: StorageKind = "sqlite") -> None:
        """Makes the folder if need be. Raises `DataFolderError` with one sentence when it cannot be used."""
        try:
            self._make(self.path)
        except OSError as error:
            raise self._unwritable(error) from error
        self.hold()
        try:
            self._describe(Description(_FORMAT, pipeline, partitions, storage))
            # Also what a process that died had made and not synced.
            self._sync(self.path)
        except OSError as error:
            self.close()
            raise self._unwritable(error) from error
        except DataFolderError:
            self.close()
            raise

    def hold(self) -> None:
        """Takes a folder that is there for this process alone. Raises `DataFolderError` while another has it."""
        try:
            self._lock = (self.path / "lock").open("a+b")
        except OSError as error:
            raise self._unwritable(error) from error
        self._take(self._lock)
        try:
            self._lock.truncate(0)
            self._lock.write(str(os.getpid()).encode())
            self._lock.flush()
        except OSError as error:
            self.close()
            raise self._unwritable(error) from error

    def _take(self, lock: IO[bytes]) -> None:
        """Worker processes have the lock of the one that started them; where that is dead they end at any moment."""
        deadline = time.monotonic() + _ORPHANS_END_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                lock.seek(0)
                owner = lock.read(20).decode(errors="replace").strip() or "unknown"
                if time.monotonic() < deadline and not _is_alive(owner):
                    time.sleep(_LOOK_AGAIN_SECONDS)
                    continue
                self.close()
                raise DataFolderError(f"data folder {self.path} is in use by another process (id {owner})") from error
            return

    @property
    def lock(self) -> int:
        """The descriptor that holds the folder; a process it is handed to holds the folder too."""
        assert self._lock is not None, "the folder is open"
        return self._lock.fileno()

    def description(self) -> Description:
        """What the folder says of itself. Raises `DataFolderError` for one that says nothing we understand."""
        file = self.path / _DESCRIPTION
        try:
            found = msgspec.json.decode(file.read_bytes(), type=Description)
        except FileNotFoundError as error:
            raise DataFolderError(f"{self.path} is no data folder: there is no {_DESCRIPTION} in it") from error
        except OSError as error:
            raise DataFolderError(f"{file} cannot be read: {error.strerror}") from error
        except msgspec.DecodeError as error:
            raise DataFolderError(f"{file} cannot be read: {error}") from error
        if found.format != _FORMAT:
            raise DataFolderError(
                f"data folder {self.path} has format {found.format}, this version reads format {_FORMAT}; "
                "use the version that wrote it, or another data folder"
            )
        return found

    def partition_path(self, partition: int, kind: StorageKind = "sqlite") -> Path:
        """The database of a partition, or with `segments` its folder."""
        return self.path / _PARTITIONS / (f"{partition}" if kind == "segments" else f"{partition}.db")

    def _unwritable(self, error: OSError) -> DataFolderError:
        return DataFolderError(f"data folder {self.path} cannot be written: {error.strerror}")

    def _describe(self, wanted: Description) -> None:
        file = self.path / _DESCRIPTION
        if not file.exists():
            self._check_alone(wanted.storage)
            self._write(wanted)
            return
        found = self.description()
        if found.pipeline != wanted.pipeline:
            raise DataFolderError(
                f"data folder {self.path} belongs to pipeline {found.pipeline!r}, not to {wanted.pipeline!r}"
            )
        if found.partitions != wanted.partitions:
            raise DataFolderError(
                f"data folder {self.path} holds {found.partitions} partitions, the pipeline asks for "
                f"{wanted.partitions}; the number of partitions cannot change"
            )
        if found.storage == "memory":
            # Nothing was stored since, so nothing is lost.
            self._check_alone(wanted.storage)
            self._write(wanted)
        elif wanted.storage not in (found.storage, "memory"):
            raise DataFolderError(
                f"data folder {self.path} was written with storage {found.storage}, not {wanted.storage}; "
                "use the storage that wrote it, or another data folder"
            )

    def _check_alone(self, wanted: StorageKind) -> None:
        """Nothing of another storage is there. Raises `DataFolderError`: who lost the description lost no records."""
        try:
            names = os.listdir(self.path / _PARTITIONS)
        except FileNotFoundError:
            return
        # As `partition_path` names them.
        found = {
            "sqlite" if name.endswith(".db") else "segments" for name in names if name.removesuffix(".db").isdigit()
        }
        if wanted != "memory" and found - {wanted}:
            raise DataFolderError(
                f"data folder {self.path} holds partitions of storage {', '.join(sorted(found))}, not {wanted}; "
                "use the storage that wrote it, or another data folder"
            )

    def _write(self, description: Description) -> None:
        """Whole or not at all, also when the machine stops."""
        file = self.path / _DESCRIPTION
        written = file.with_suffix(".tmp")
        with written.open("wb") as new:
            new.write(msgspec.json.encode(description))
            new.flush()
            self._disk.sync(new.fileno())
        written.replace(file)
        self._sync(self.path)

    def _make(self, folder: Path) -> None:
        """With its parents, so that they survive the machine."""
        parents = [folder.parent, *(made.parent for made in folder.parents if not made.exists())]
        folder.mkdir(parents=True, exist_ok=True)
        for parent in parents:
            self._sync(parent)

    def _sync(self, folder: Path) -> None:
        """The names in it survive the machine, where that can be had."""
        try:
            self._disk.sync_folder(folder)
        except OSError as error:
            if error.errno not in _NO_SYNC_OF_FOLDERS:
                raise

    def storage(self, partition: int, kind: StorageKind, synchronous: Literal["FULL", "NORMAL"]) -> LogStorage:
        if kind == "memory":
            return MemoryStorage()
        path = self.partition_path(partition, kind)
        if not path.parent.exists():
            self._make(path.parent)
        if kind == "sqlite":
            return SqliteStorage(path, synchronous=synchronous)
        partitions = self.description().partitions
        return SegmentsStorage(
            path,
            synchronous=synchronous,
            apply_log_bytes=min(APPLY_LOG_BYTES, max(_APPLY_LOG_BYTES_OF_ALL // partitions, _APPLY_LOG_BYTES_MIN)),
            apply_changes_bytes=min(
                APPLY_CHANGES_BYTES, max(_APPLY_CHANGES_BYTES_OF_ALL // partitions, _APPLY_CHANGES_BYTES_MIN)
            ),
        )

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _is_alive(process: str) -> bool:
    """Whether a process of this id runs; an id that cannot be read is taken for one that does."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):
        return True
    return True
