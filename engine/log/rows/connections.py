"""Connections to one SQLite database in WAL mode: one that writes, and one for each thread that reads."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from engine.log.storage import StorageError


class Reader:
    """A thread's connection, to be held while it is used: one that is closed meanwhile would take the process along."""

    __slots__ = ("_db", "_lock")

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db: sqlite3.Connection | None = db
        self._lock = threading.Lock()

    def __enter__(self) -> sqlite3.Connection:
        """Raises `StorageError` once it is closed."""
        self._lock.acquire()
        if self._db is None:
            self._lock.release()
            raise StorageError("storage_error", "the log is closed")
        return self._db

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None


class Connections:
    """Opened when they are first asked for, closed together.

    The writer is for one thread at a time. WAL keeps the readers from waiting for it. `close` waits for readers that
    are at it; who comes later is refused, be it to read or to write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: sqlite3.Connection | None = None
        self._local = threading.local()
        self._readers: list[Reader] = []
        # Guards the list, and whether all are closed.
        self._readers_lock = threading.Lock()
        self._is_closed = False

    @property
    def writer(self) -> sqlite3.Connection:
        """Raises `StorageError` once all are closed."""
        if self._writer is None:
            if self._is_closed:
                raise StorageError("storage_error", "the log is closed")
            self._writer = self._connect()
            # Whoever writes says when: before it the new pages are looked at (`PageSums`).
            self._writer.execute("PRAGMA wal_autocheckpoint = 0")
            self._writer.execute("PRAGMA journal_size_limit = 67108864")
        return self._writer

    def checkpoint(self) -> bool:
        """Copies what was committed into the database, as far as nobody reads what is older; whether that was all.

        Raises `sqlite3.Error`.
        """
        is_busy, frames, copied = self.writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return not is_busy and frames == copied

    @property
    def reader(self) -> Reader:
        """The calling thread's own; to be entered. Raises `StorageError` once all are closed."""
        reader: Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            with self._readers_lock:
                if self._is_closed:
                    raise StorageError("storage_error", "the log is closed")
                connection = self._connect()
                connection.execute("PRAGMA query_only = ON")
                reader = self._local.reader = Reader(connection)
                self._readers.append(reader)
        return reader

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            connection.execute("PRAGMA page_size = 8192")
            connection.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self, *, checkpoints: bool = True) -> None:
        """The last connection copies the write-ahead log into the database, unless `checkpoints` is false."""
        with self._readers_lock:
            self._is_closed = True
            for reader in self._readers:
                reader.close()
            self._readers.clear()
        if self._writer is not None:
            # One that only reads copies nothing, and so whoever closes before it.
            last = None if checkpoints else sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True)
            if last is not None:
                last.execute("SELECT count(*) FROM sqlite_master").fetchone()
            self._writer.close()
            self._writer = None
            if last is not None:
                last.close()
