"""Whose a file is: of which data folder, and of which partition in it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from struct import Struct
from typing import NamedTuple, Self

from engine.core.errors import DataFolderError
from engine.log.rows import tables

FOLDER_BYTES = 16
_PACKED = Struct(f"<{FOLDER_BYTES}sI")
# SQLite's integers have a sign.
_HALVES = Struct("<qq")


class LogIdentity(NamedTuple):
    """The id of a data folder, which nobody else has, and the number of a partition."""

    folder: bytes
    partition: int

    @classmethod
    def of(cls, folder_id: str, partition: int) -> Self:
        """`folder_id` as `penstock.json` says it: hexadecimal."""
        return cls(bytes.fromhex(folder_id), partition)

    @classmethod
    def unpacked(cls, data: bytes) -> Self:
        return cls(*_PACKED.unpack(data))

    @classmethod
    def of_halves(cls, high: int, low: int, partition: int) -> Self:
        """As `halves` gives them."""
        return cls(_HALVES.pack(high, low), partition)

    @property
    def packed(self) -> bytes:
        return _PACKED.pack(self.folder, self.partition)

    @property
    def halves(self) -> tuple[int, int]:
        """The folder's id as two integers of 64 bits."""
        high, low = _HALVES.unpack(self.folder)
        return high, low

    def check(self, found: LogIdentity, what: object) -> None:
        """Raises `DataFolderError` where `what`, which says that it is of `found`, is not of this one."""
        if found == self:
            return
        whose = f"partition {found.partition} of "
        whose += "this data folder" if found.folder == self.folder else "another data folder"
        raise DataFolderError(
            f"{what} is of {whose}, not of partition {self.partition} here; bring the right one back from a copy"
        )


IDENTITY_BYTES = _PACKED.size
# Of a log outside of any data folder.
NOWHERE = LogIdentity(bytes(FOLDER_BYTES), 0)


def new_folder_id() -> str:
    return os.urandom(FOLDER_BYTES).hex()


def put_identity(db: sqlite3.Connection, identity: LogIdentity) -> None:
    """In the table that each transaction writes to: the pages of a foreign write-ahead log say whose they are too."""
    high, low = identity.halves
    for key, value in (("folder_high", high), ("folder_low", low), ("partition", identity.partition)):
        tables.put_meta(db, key, value)


def check_identity(meta: Mapping[str, int], identity: LogIdentity, path: Path) -> None:
    """Raises `DataFolderError` where the database says that it is somebody else's."""
    found = LogIdentity.of_halves(meta.get("folder_high", 0), meta.get("folder_low", 0), meta.get("partition", 0))
    identity.check(found, path)
