"""How far a partition was ever acknowledged to anyone, and what retention has left of it, outside of its log.

A log that was cut short cannot know it by itself: its end looks like one that was never finished, its beginning as if
retention had deleted it. The floor knows.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from engine.core.errors import DataFolderError
from engine.log.local.disk import Disk
from engine.log.local.identity import IDENTITY_BYTES, LogIdentity

_MAGIC = b"PnFl"
_FORMAT = 1
# Magic, format, identity, the fields of `Floor`; then the checksum of all this.
_FIELDS = Struct(f"<4sI{IDENTITY_BYTES}sQQIQQ")
_CHECKSUM = Struct("<I")
_SLOT_BYTES = _FIELDS.size + _CHECKSUM.size
# Two, each in a sector of its own and written in turn: a write that is torn leaves the other.
_SLOTS = 2
_SECTOR_BYTES = 512


class Floor(NamedTuple):
    """What must be there: segments from `oldest_commit`, records from `oldest_position`, to `commit` and `position`.

    The log may reach further. Retention goes by positions, and deletes a segment when all in it may go.
    """

    commit: int = 0
    position: int = 0
    # Of what that commit says, as in its head; 0 where it is unknown.
    checksum: int = 0
    oldest_commit: int = 1
    oldest_position: int = 1


def floor_path(folder: Path) -> Path:
    """Beside the folder of the partition."""
    return folder.with_name(f"{folder.name}.floor")


class FloorFile:
    """The floor of one partition. One thread raises it, and any may sync it.

    Raising is a write without a sync, a few microseconds a commit: it outlives the process. What a loss of power takes
    of it is bounded by `sync`, and the log itself was synced before.
    """

    def __init__(self, path: Path, identity: LogIdentity, disk: Disk) -> None:
        self.path = path
        self._identity = identity
        self._disk = disk
        self._file: int | None = None
        self._turn = 0

    def make(self, floor: Floor) -> None:
        """Writes the file anew, whatever was there. Raises `OSError`."""
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        for slot in range(_SLOTS):
            self._write(slot, floor)
        self.sync()
        self._disk.sync_folder(self.path.parent)

    def open(self) -> Floor:
        """What was acknowledged. Raises `DataFolderError` where the file is gone, damaged or somebody else's."""
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise _gone(self.path) from error
        floor, slot = _newest(self._file, self.path, self._identity)
        self._turn = slot + 1
        return floor

    def raise_to(self, floor: Floor) -> None:
        """What has just been stored, before anybody is told. Raises `OSError`."""
        self._write(self._turn, floor)
        self._turn += 1

    def _write(self, turn: int, floor: Floor) -> None:
        assert self._file is not None, "open it first"
        fields = _FIELDS.pack(_MAGIC, _FORMAT, self._identity.packed, *floor)
        data = fields + _CHECKSUM.pack(crc32(fields))
        self._disk.write(self._file, [data], turn % _SLOTS * _SECTOR_BYTES)

    def sync(self) -> None:
        """Raises `OSError`."""
        if self._file is not None:
            self._disk.sync(self._file)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read_floor(path: Path, identity: LogIdentity) -> Floor:
    """From outside, beside a running engine too. Raises as `FloorFile.open`."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise _gone(path) from error
    try:
        return _newest(file, path, identity)[0]
    finally:
        os.close(file)


def _newest(file: int, path: Path, identity: LogIdentity) -> tuple[Floor, int]:
    """The higher slot of those that are whole, and which one that is."""
    found: list[tuple[Floor, int]] = []
    for slot in range(_SLOTS):
        data = os.pread(file, _SLOT_BYTES, slot * _SECTOR_BYTES)
        fields = data[: _FIELDS.size]
        if len(data) < _SLOT_BYTES or _CHECKSUM.unpack_from(data, _FIELDS.size)[0] != crc32(fields):
            continue
        magic, version, whose, *floor = _FIELDS.unpack(fields)
        if magic != _MAGIC or version != _FORMAT:
            continue
        identity.check(LogIdentity.unpacked(whose), path)
        found.append((Floor(*floor), slot))
    if not found:
        raise DataFolderError(f"{path} is damaged, and nothing says how far its partition was acknowledged; {_MENDED}")
    return max(found)


def _gone(path: Path) -> DataFolderError:
    return DataFolderError(f"{path} is gone, and nothing says how far its partition was acknowledged; {_MENDED}")


_MENDED = "bring it back from a copy, or have `penstock log verify --repair` take the log as it is"
