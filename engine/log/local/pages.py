"""A checksum of each page of a database, beside it: SQLite has none of its own, and takes a flipped bit for data.

What has changed is read from the write-ahead log, whose frames are the new pages, before a checkpoint copies them into
the database. So at any moment each page of the database is as the sums say, or as they will say of a frame.
Format of the write-ahead log: SQLite's own documentation, "Database File Format", 4.1 and 4.2.
"""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from struct import Struct
from zlib import crc32

from engine.core.errors import DataFolderError
from engine.log.local.disk import Disk
from engine.log.local.identity import IDENTITY_BYTES, LogIdentity

_MAGIC = b"PnSu"
_FORMAT = 1
# Magic, format, identity, bytes of a page, pages; then the checksum of all this and of all sums.
_HEADER = Struct(f"<4sI{IDENTITY_BYTES}sII")
_CHECKSUM = Struct("<I")
_WAL_HEADER = Struct(">IIII8sII")
_WAL_MAGICS = (0x377F0682, 0x377F0683)
_FRAME_HEADER = Struct(">II8s8s")
# Pages that are read in one call of the system.
_PAGES_AT_ONCE = 256
SUMS_NAME = "state.sums"


class Frames:
    """The last committed frame of each page in a write-ahead log: checksums by page number, from 1.

    `pages` is how many the database has with them; None where nothing was committed.
    """

    def __init__(self, path: Path) -> None:
        self.sums: dict[int, int] = {}
        self.pages: int | None = None
        try:
            with path.open("rb") as file:
                self._read(file.fileno())
        except FileNotFoundError:
            pass

    def _read(self, file: int) -> None:
        header = os.pread(file, _WAL_HEADER.size, 0)
        if len(header) < _WAL_HEADER.size:
            return
        magic, _, page_bytes, _, salts, *_ = _WAL_HEADER.unpack(header)
        if magic not in _WAL_MAGICS:
            return
        at, step = _WAL_HEADER.size, _FRAME_HEADER.size + page_bytes
        begun: dict[int, int] = {}
        while len(data := os.pread(file, step * _PAGES_AT_ONCE, at)) >= step:
            for start in range(0, len(data) - step + 1, step):
                number, pages, of, _ = _FRAME_HEADER.unpack_from(data, start)
                if of != salts:
                    # Of before the last time that it was begun anew.
                    return
                begun[number] = crc32(memoryview(data)[start + _FRAME_HEADER.size : start + step])
                if pages:
                    self.sums.update(begun)
                    self.pages = pages
                    begun.clear()
            at += len(data) - len(data) % step


class PageSums:
    """Of one database. One thread at a time."""

    def __init__(self, database: Path, identity: LogIdentity, disk: Disk) -> None:
        self._database = database
        self._path = database.with_name(SUMS_NAME)
        self._identity = identity
        self._disk = disk
        self._sums = array("I")
        self._page_bytes = 0

    def make(self) -> None:
        """Of a database that has just been made, all of which is in its file. Raises `OSError`."""
        self._page_bytes, self._sums = _sums_of(self._database)
        self._write()

    def follow(self) -> None:
        """Takes in what was committed; call before each checkpoint. Raises `OSError`."""
        frames = Frames(wal_path(self._database))
        if frames.pages is None:
            return
        self._take(frames)
        self._write()

    def _take(self, frames: Frames) -> None:
        assert frames.pages is not None, "something was committed"
        del self._sums[frames.pages :]
        self._sums.extend([0] * (frames.pages - len(self._sums)))
        for number, checksum in frames.sums.items():
            if number <= frames.pages:
                self._sums[number - 1] = checksum

    def _write(self) -> None:
        """Whole or not at all."""
        written = self._path.with_suffix(".tmp")
        header = _HEADER.pack(_MAGIC, _FORMAT, self._identity.packed, self._page_bytes, len(self._sums))
        sums = self._sums.tobytes()
        file = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            self._disk.write(file, [header, sums, _CHECKSUM.pack(crc32(sums, crc32(header)))], 0)
            self._disk.sync(file)
        finally:
            os.close(file)
        written.replace(self._path)
        self._disk.sync_folder(self._path.parent)

    def open(self, frames: Frames, *, is_copied: bool) -> None:
        """Of a database that `damaged_page` has found whole.

        `frames`: what its write-ahead log held before it was opened; `is_copied`: that is in the database by now. Such
        a page may be as it was before a transaction that was cut short, or as that made it: SQLite knows which. Raises
        `DataFolderError` where it is neither, `OSError`.
        """
        self._page_bytes, self._sums = read_sums(self._path, self._identity)
        if frames.pages is None:
            return
        before = self._sums[:]
        self._take(frames)
        if is_copied:
            _, found = _sums_of(self._database)
            if len(found) not in (len(before), len(self._sums)):
                raise damaged(self._database, f"it has {len(found)} pages, and should have {len(self._sums)}")
            for number in frames.sums:
                checksum = _at(found, number)
                if checksum not in (_at(self._sums, number), _at(before, number)):
                    raise damaged(self._database, f"page {number} is not as it was written")
            self._sums = found
        self._write()


def read_sums(path: Path, identity: LogIdentity) -> tuple[int, array[int]]:
    """Bytes of a page, and the checksum of each. Raises `DataFolderError`."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataFolderError(f"{path} is gone; bring it back from a copy, together with {path.parent}") from error
    content, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if len(data) < _HEADER.size + _CHECKSUM.size or _CHECKSUM.pack(crc32(content)) != checksum:
        raise damaged(path, "its checksum does not match its content")
    magic, version, whose, page_bytes, pages = _HEADER.unpack_from(content)
    sums = array("I", content[_HEADER.size :])
    if magic != _MAGIC or version != _FORMAT or pages != len(sums):
        raise damaged(path, "it is not what it has to be")
    identity.check(LogIdentity.unpacked(whose), path)
    return page_bytes, sums


def damaged_page(database: Path, identity: LogIdentity) -> int | None:
    """The first page that is neither as its sum says nor in the write-ahead log; None where all are.

    For who holds a transaction that reads, so that no checkpoint passes over it; beside an engine look again where one
    is found. Raises `DataFolderError`.
    """
    frames = Frames(wal_path(database))
    _, sums = read_sums(database.with_name(SUMS_NAME), identity)
    _, found = _sums_of(database)
    for number in range(1, max(len(found), len(sums)) + 1):
        if number not in frames.sums and _at(found, number) != _at(sums, number):
            return number
    return None


def damaged(path: Path, why: str) -> DataFolderError:
    return DataFolderError(f"{path}: the database itself is damaged ({why}); bring it back from a copy")


def _at(sums: array[int], number: int) -> int | None:
    return sums[number - 1] if number <= len(sums) else None


def wal_path(database: Path) -> Path:
    """Where SQLite keeps what is written ahead of a database."""
    return database.with_name(f"{database.name}-wal")


def _sums_of(database: Path) -> tuple[int, array[int]]:
    """Bytes of a page, and the checksum of each as it lies on the disk. What is more than whole pages is a page too."""
    sums = array("I")
    with database.open("rb") as file:
        # Its own header says how large its pages are; 1 stands for 65536.
        page_bytes = int.from_bytes(os.pread(file.fileno(), 2, 16), "big")
        page_bytes = 1 << 16 if page_bytes == 1 else page_bytes
        if page_bytes < 512:
            raise damaged(database, "it does not begin as a database does")
        while data := file.read(page_bytes * _PAGES_AT_ONCE):
            view = memoryview(data)
            sums.extend(crc32(view[start : start + page_bytes]) for start in range(0, len(data), page_bytes))
    return page_bytes, sums
