"""A database that is looked at from outside, beside whoever writes it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.core.errors import DataFolderError
from engine.log.local.tables import format_of, wrong_format


class ReadOnlyDatabase:
    """Open from entering to leaving; what is not whole in it is said as `DataFolderError`. For one thread."""

    def __init__(self, path: Path, version: int) -> None:
        self._database = path
        self._version = version
        self._db: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        self._db = opened_to_read(self._database, self._version)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if isinstance(error, sqlite3.DatabaseError):
            raise _damaged(self._database, error) from error

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._db is not None, "entered first"
        return self._db


def opened_to_read(path: Path, version: int) -> sqlite3.Connection:
    """Raises `DataFolderError` when it cannot be opened, or is of another format than `version`."""
    if not path.exists():
        raise DataFolderError(f"{path}: no such file")
    try:
        db = _connected(path)
    except sqlite3.Error as error:
        raise DataFolderError(f"{path} cannot be opened as a log: {error}") from error
    try:
        found = format_of(db)
    except sqlite3.Error as error:
        db.close()
        raise DataFolderError(f"{path} cannot be opened as a log: {error}") from error
    if found != version:
        db.close()
        raise wrong_format(path, found, version)
    return db


def _damaged(path: Path, error: sqlite3.DatabaseError) -> DataFolderError:
    """What there is to say of a database that we could not mend."""
    said = " ".join(str(error).split())
    return DataFolderError(f"{path}: the database itself is damaged ({said}); bring it back from a copy")


def check(db: sqlite3.Connection) -> None:
    """Raises `sqlite3.DatabaseError` where the database is not whole."""
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def size_of(path: Path) -> int:
    """Bytes of the database and of what is written ahead of it."""
    return sum(_size(path.with_name(path.name + end)) for end in ("", "-wal"))


def _connected(path: Path) -> sqlite3.Connection:
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        db = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=30)
        try:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            # A folder that may only be read has no room for the index of what is written ahead; it needs none
            # where nothing is.
            db.close()
            if _size(path.with_name(path.name + "-wal")) or mode.endswith("immutable=1"):
                raise
        except sqlite3.Error:
            db.close()
            raise
        else:
            return db
    raise AssertionError("one of the modes returns or raises")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
