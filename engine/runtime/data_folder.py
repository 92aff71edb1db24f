"""The folder that a pipeline's data lies in: one process at a time, one format, one number of partitions."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Literal

import msgspec

from engine.core.errors import DataFolderError
from engine.log.local.disk import Disk
from engine.log.local.identity import FOLDER_BYTES, LogIdentity, new_folder_id
from engine.log.local.storage import LocalLogStorage
from engine.log.memory import MemoryStorage
from engine.log.rows.applier import APPLY_CHANGES_BYTES, APPLY_LOG_BYTES
from engine.log.storage import LogStorage
from engine.options import StorageKind

# 2: the folder has an id, and says which partitions were made.
_FORMAT = 2
# How long the workers of a process that was killed may take to notice, and how often they are looked for.
_ORPHANS_END_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.02
_DESCRIPTION = "penstock.json"
_PARTITIONS = "partitions"
_HEXADECIMAL = frozenset("0123456789abcdef")
# What all partitions together carry at once, of the log and of what memory holds of its changes; and the least that is
# worth a transaction of one of them. Several times as much may wait.
_APPLY_LOG_BYTES_OF_ALL = 256 << 20
_APPLY_LOG_BYTES_MIN = 1 << 20
_APPLY_CHANGES_BYTES_OF_ALL = 64 << 20
_APPLY_CHANGES_BYTES_MIN = 256 << 10
# A folder that we may not look into, or a file system that knows no such sync: there is nothing to be done.
NO_SYNC_OF_FOLDERS = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP)


class _Format(msgspec.Struct, frozen=True):
    """All that `penstock.json` of any version says."""

    format: int


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """What `penstock.json` says of a data folder."""

    format: int
    # Hexadecimal; each file in the folder says it too.
    id: str
    pipeline: str
    partitions: int
    storage: StorageKind
    # The partitions that were made, rising. What of them is not there any more is lost.
    made: tuple[int, ...]
    # Of the cluster that has the log; empty where none has.
    cluster: str = ""


class DataFolder:
    """Holds the folder from `open` or `hold` to `close`, by a lock that the system takes back when the process dies."""

    def __init__(self, path: Path, *, disk: Disk | None = None) -> None:
        self.path = path
        self._disk = disk or Disk()
        self._lock: int | None = None

    @property
    def rejects(self) -> Path:
        return self.path / "rejects"

    def open(self, pipeline: str, partitions: int, storage: StorageKind = "local") -> None:
        """Makes the folder and its partitions if need be.

        Raises `DataFolderError` with one sentence when it cannot be used.
        """
        try:
            self._make(self.path)
        except OSError as error:
            raise self._unwritable(error) from error
        self.hold()
        try:
            self._describe(Description(_FORMAT, new_folder_id(), pipeline, partitions, storage, ()))
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
            # Of the folder itself: no file that somebody deletes lets a second process in.
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unwritable(error) from error
        self._take(self._lock)
        try:
            self._owner.write_text(f"{os.getpid()}")
        except OSError as error:
            self.close()
            raise self._unwritable(error) from error

    @property
    def _owner(self) -> Path:
        """Says who holds the folder, for people; the lock is on the folder itself."""
        return self.path / "lock"

    def _take(self, lock: int) -> None:
        """Worker processes have the lock of the one that started them; where that is dead they end at any moment."""
        deadline = time.monotonic() + _ORPHANS_END_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = self._told_owner()
                if time.monotonic() < deadline and not _is_alive(owner):
                    time.sleep(_LOOK_AGAIN_SECONDS)
                    continue
                self.close()
                raise DataFolderError(f"data folder {self.path} is in use by another process (id {owner})") from error
            return

    def _told_owner(self) -> str:
        try:
            return self._owner.read_text(errors="replace")[:20].strip() or "unknown"
        except OSError:
            return "unknown"

    @property
    def lock(self) -> int:
        """The descriptor that holds the folder; a process it is handed to holds the folder too."""
        assert self._lock is not None, "the folder is open"
        return self._lock

    def description(self) -> Description:
        """What the folder says of itself. Raises `DataFolderError` for one that says nothing we understand."""
        file = self.path / _DESCRIPTION
        try:
            content = file.read_bytes()
            version = msgspec.json.decode(content, type=_Format).format
            if version != _FORMAT:
                raise DataFolderError(
                    f"data folder {self.path} has format {version}, this version reads format {_FORMAT}; "
                    "use the version that wrote it, or another data folder"
                )
            found = msgspec.json.decode(content, type=Description)
        except FileNotFoundError as error:
            raise DataFolderError(f"{self.path} is no data folder: there is no {_DESCRIPTION} in it") from error
        except OSError as error:
            raise DataFolderError(f"{file} cannot be read: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataFolderError(f"{file} is damaged ({error}); bring it back from a copy") from error
        if len(found.id) != 2 * FOLDER_BYTES or set(found.id) - _HEXADECIMAL:
            raise DataFolderError(f"{file} is damaged ({found.id!r} is no id); bring it back from a copy")
        return found

    def identity(self, partition: int) -> LogIdentity:
        """Raises as `description`."""
        return LogIdentity.of(self.description().id, partition)

    def partition_path(self, partition: int) -> Path:
        """The folder of a partition."""
        return self.path / _PARTITIONS / f"{partition}"

    def _unwritable(self, error: OSError) -> DataFolderError:
        return DataFolderError(f"data folder {self.path} cannot be written: {error.strerror}")

    def _describe(self, wanted: Description) -> None:
        file = self.path / _DESCRIPTION
        if not file.exists():
            self._check_empty()
            self._write(wanted)
            self._make_partitions(wanted)
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
        if found.storage == "memory" and wanted.storage != "memory":
            # Nothing was stored since, so nothing is lost.
            found = msgspec.structs.replace(found, storage=wanted.storage)
            self._write(found)
        elif wanted.storage not in (found.storage, "memory"):
            raise DataFolderError(
                f"data folder {self.path} was written with storage {found.storage}, not {wanted.storage}; "
                "use the storage that wrote it, or another data folder"
            )
        if wanted.storage == "local":
            self._make_partitions(found)

    def belongs_to(self, cluster: str, servers: str) -> None:
        """Notes the cluster that has the log; raises `DataFolderError` where it is another."""
        found = self.description()
        if not found.cluster:
            self._write(msgspec.structs.replace(found, cluster=cluster))
        elif found.cluster != cluster:
            raise DataFolderError(
                f"data folder {self.path} belongs to the Kafka cluster {found.cluster}, bootstrapServers {servers} "
                f"lead to {cluster}; put the address right, or use another data folder"
            )

    def _check_empty(self) -> None:
        """Raises `DataFolderError` where there are partitions that nothing describes any more."""
        try:
            left = sorted(os.listdir(self.path / _PARTITIONS))
        except FileNotFoundError:
            return
        if left:
            raise DataFolderError(
                f"{self.path / _DESCRIPTION} is gone, and there are partitions that it described; "
                "bring it back from a copy, or use another data folder"
            )

    def _make_partitions(self, description: Description) -> None:
        """Those that were not made yet; then it is said that all are."""
        if description.storage != "local":
            return
        wanted = tuple(range(1, description.partitions + 1))
        if description.made == wanted:
            return
        if description.made:
            raise DataFolderError(
                f"{self.path / _DESCRIPTION} is damaged (it lists partitions {list(description.made)} of "
                f"{description.partitions}); bring it back from a copy"
            )
        self._make(self.path / _PARTITIONS)
        for partition in wanted:
            identity = LogIdentity.of(description.id, partition)
            LocalLogStorage(self.partition_path(partition), identity=identity, disk=self._disk).make()
        self._write(msgspec.structs.replace(description, made=wanted))

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
            if error.errno not in NO_SYNC_OF_FOLDERS:
                raise

    def storage(self, partition: int, kind: StorageKind, synchronous: Literal["FULL", "NORMAL"]) -> LogStorage:
        if kind == "memory":
            return MemoryStorage()
        assert kind == "local", "the log in a cluster is no business of the folder"
        description = self.description()
        partitions = description.partitions
        return LocalLogStorage(
            self.partition_path(partition),
            identity=LogIdentity.of(description.id, partition),
            synchronous=synchronous,
            apply_log_bytes=min(APPLY_LOG_BYTES, max(_APPLY_LOG_BYTES_OF_ALL // partitions, _APPLY_LOG_BYTES_MIN)),
            apply_changes_bytes=min(
                APPLY_CHANGES_BYTES, max(_APPLY_CHANGES_BYTES_OF_ALL // partitions, _APPLY_CHANGES_BYTES_MIN)
            ),
        )

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
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
