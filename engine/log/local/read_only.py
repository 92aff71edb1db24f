"""A database that is looked at from outside, beside whoever writes it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from engine.core.errors import DataFolderError
from engine.log.local.format import FORMAT_VERSION
from engine.log.local.identity import LogIdentity, check_identity
from engine.log.local.pages import SUMS_NAME, damaged, damaged_page, wal_path
from engine.log.rows.tables import format_of, meta_of, wrong_format

# An engine beside us goes on; what it is just writing is no damage.
_LOOKS = 5


def opened_to_read(path: Path) -> sqlite3.Connection:
    """Raises `DataFolderError` when it cannot be opened, or is of another format."""
    if not path.exists():
        raise DataFolderError(f"{path} is gone; bring it back from a copy, together with {path.parent}")
    try:
        db = _connected(path)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    try:
        found = format_of(db)
    except sqlite3.Error as error:
        db.close()
        raise _unreadable(path, error) from error
    if found is None or found < 0:
        db.close()
        raise damaged(path, "it does not say its format")
    if found != FORMAT_VERSION:
        db.close()
        raise wrong_format(path, found, FORMAT_VERSION)
    return db


def _unreadable(path: Path, error: sqlite3.Error) -> DataFolderError:
    if isinstance(error, sqlite3.OperationalError):
        # Not its content: rights, or the disk.
        return DataFolderError(f"{path} cannot be opened as a log: {error}")
    return damaged(path, " ".join(str(error).split()))


def check_state(path: Path, identity: LogIdentity) -> None:
    """Raises `DataFolderError` where a partition's database is gone, somebody else's, or not as it was written.

    Looks without changing anything, beside a running engine too.
    """
    try:
        with closing(opened_to_read(path)) as db:
            check_identity(meta_of(db), identity, path)
            for _ in range(_LOOKS):
                db.execute("BEGIN")
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()
                number = damaged_page(path, identity)
                db.execute("ROLLBACK")
                if number is None:
                    return
            raise damaged(path, f"page {number} is not as it was written")
    except sqlite3.Error as error:
        raise damaged(path, " ".join(str(error).split())) from error


def check(db: sqlite3.Connection) -> None:
    """Raises `sqlite3.DatabaseError` where the database is not whole."""
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def size_of(path: Path) -> int:
    """Bytes of the database, of what is written ahead of it, and of its sums."""
    return sum(map(_size, (path, wal_path(path), path.with_name(SUMS_NAME))))


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
