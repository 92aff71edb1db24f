"""The embedded durable log: one SQLite database a partition, in WAL mode, record batches as blobs."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from msgspec.structs import astuple

from engine.errors import DataFolderError
from engine.log.codec import EncodedBatch
from engine.log.storage import Entry, StorageError
from engine.unit import Acknowledgement, Message, Recovered, SourceProgress, Timer, Unit

FORMAT_VERSION = 1

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE batch (
    first_position INTEGER PRIMARY KEY, count INTEGER NOT NULL, timestamp_ns INTEGER NOT NULL,
    source TEXT NOT NULL, checksum INTEGER NOT NULL, blob BLOB NOT NULL, kinds TEXT NOT NULL);
CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE timer (timer_id INTEGER PRIMARY KEY, due_wall_ns INTEGER NOT NULL, command BLOB NOT NULL);
CREATE TABLE outbox (sequence INTEGER PRIMARY KEY, receiver INTEGER NOT NULL, command BLOB NOT NULL);
CREATE TABLE received (sender INTEGER PRIMARY KEY, sequence INTEGER NOT NULL);
CREATE TABLE progress (
    source TEXT PRIMARY KEY, offset_ INTEGER NOT NULL, extra INTEGER NOT NULL, cursor BLOB) WITHOUT ROWID;
CREATE TABLE exporter (name TEXT PRIMARY KEY, position INTEGER NOT NULL, cursor BLOB) WITHOUT ROWID;
"""


def _statements(begin: str, columns: int, rows_max: int) -> list[tuple[int, str]]:
    """`begin` for `rows_max` rows, half as many … and one: so many parameters, the statement.

    Many rows a statement: SQLite works on all of them without the interpreter lock, which `executemany` takes back
    after each row. In powers of two, so that few statements are enough for any number of rows.
    """
    row = f"({','.join('?' * columns)})"
    sizes = [1 << power for power in reversed(range(rows_max.bit_length()))]
    return [(rows * columns, f"{begin} VALUES {','.join([row] * rows)}") for rows in sizes]


_INSERT_BATCH = _statements("INSERT INTO batch", 7, 64)
_PUT_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_PUT_STATE = _statements("INSERT OR REPLACE INTO state", 2, 256)
_PUT_PROGRESS = "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?)"
_PUT_EXPORTER = "INSERT OR REPLACE INTO exporter VALUES (?, ?, ?)"
_PUT_RECEIVED = "INSERT OR REPLACE INTO received VALUES (?, ?)"


def format_of(db: sqlite3.Connection) -> int | None:
    """The format of a partition's database; None for one with nothing in it, -1 for one that says nothing."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return None
    row = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    return int(row[0]) if row else -1


def format_error(path: Path, version: int | None) -> DataFolderError:
    return DataFolderError(
        f"{path} has format {version}, this version reads format {FORMAT_VERSION}; "
        "use the version that wrote it, or another data folder"
    )


class SqliteStorage:
    """Implements `LogStorage` over one database file.

    `synchronous` FULL syncs each commit (survives a crash of the machine), NORMAL survives a crash of the process
    only. One connection writes, under the caller's promise of one commit at a time; each reading thread has one of
    its own, which WAL keeps from waiting for the writer.
    """

    def __init__(self, path: Path, *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> None:
        self._path = path
        self._synchronous = synchronous
        self._writer: sqlite3.Connection | None = None
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()

    # -- opening ---

    def recover(self) -> Recovered:
        try:
            writer = self._connect()
            self._writer = writer
            writer.execute(f"PRAGMA synchronous = {self._synchronous}")
            # A checkpoint copies pages and syncs on the committing thread: seldom, and not too much at once.
            writer.execute("PRAGMA wal_autocheckpoint = 2000")
            writer.execute("PRAGMA journal_size_limit = 67108864")
            version = format_of(writer)
            if version is None:
                writer.executescript(f"BEGIN;{_SCHEMA}INSERT INTO meta VALUES ('format', {FORMAT_VERSION});COMMIT;")
            elif version != FORMAT_VERSION:
                raise format_error(self._path, version)
            return self._read_all(writer)
        except sqlite3.DatabaseError as error:
            raise DataFolderError(f"{self._path} cannot be opened as a log: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        return connection

    @staticmethod
    def _read_all(db: sqlite3.Connection) -> Recovered:
        meta: dict[str, int] = dict(db.execute("SELECT key, value FROM meta"))
        last = db.execute(
            "SELECT first_position + count - 1 FROM batch ORDER BY first_position DESC LIMIT 1"
        ).fetchone()
        first = db.execute("SELECT first_position FROM batch ORDER BY 1 LIMIT 1").fetchone()
        # Retention may have deleted every batch; the last position lives on in meta.
        last_position = max(last[0] if last else 0, meta.get("last_position", 0))
        timers = [Timer(*row) for row in db.execute("SELECT timer_id, due_wall_ns, command FROM timer ORDER BY 1")]
        outbox = [Message(*row) for row in db.execute("SELECT sequence, receiver, command FROM outbox ORDER BY 1")]
        return Recovered(
            last_position=last_position,
            oldest_position=first[0] if first else last_position + 1,
            processed_position=meta.get("processed_position", 0),
            progress={row[0]: SourceProgress(*row) for row in db.execute("SELECT * FROM progress")},
            acknowledged={row[0]: Acknowledgement(*row) for row in db.execute("SELECT * FROM exporter")},
            timers=timers,
            next_timer_id=meta.get("next_timer_id", 1),
            outbox=outbox,
            next_sequence=meta.get("next_sequence", 1),
            received=dict(db.execute("SELECT sender, sequence FROM received")),
        )

    # -- writing ---

    def commit(self, entries: Sequence[Entry]) -> None:
        db = self._writer
        assert db is not None, "recover comes first"
        try:
            # The fields of a batch stand in the order of the table's columns.
            batches = [column for entry in entries if entry.batch is not None for column in astuple(entry.batch)]
            db.execute("BEGIN IMMEDIATE")
            _put(db, _INSERT_BATCH, batches)
            for entry in entries:
                self._write(db, entry.unit)
            db.execute("COMMIT")
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error | OverflowError):
                raise StorageError(_reason(error), f"{self._path.name}: {error}") from error
            raise

    @staticmethod
    def _write(db: sqlite3.Connection, unit: Unit) -> None:
        """All of a unit but its records."""
        if unit.state:
            _put(db, _PUT_STATE, [part for pair in unit.state.items() if pair[1] is not None for part in pair])
            deleted = [(k,) for k, v in unit.state.items() if v is None]
            if deleted:
                db.executemany("DELETE FROM state WHERE key = ?", deleted)
        if unit.progress:
            db.executemany(_PUT_PROGRESS, [(p.source, p.offset, p.extra, p.cursor) for p in unit.progress])
        if unit.timers_added:
            db.executemany(
                "INSERT INTO timer VALUES (?, ?, ?)",
                [(t.timer_id, t.due_wall_ns, t.command) for t in unit.timers_added],
            )
            db.execute(_PUT_META, ("next_timer_id", max(t.timer_id for t in unit.timers_added) + 1))
        if unit.timers_fired:
            db.executemany("DELETE FROM timer WHERE timer_id = ?", [(i,) for i in unit.timers_fired])
        if unit.outbox:
            db.executemany(
                "INSERT INTO outbox VALUES (?, ?, ?)",
                [(m.sequence, m.receiver, m.command) for m in unit.outbox],
            )
            db.execute(_PUT_META, ("next_sequence", unit.outbox[-1].sequence + 1))
        if unit.delivered:
            db.executemany("DELETE FROM outbox WHERE receiver = ? AND sequence <= ?", list(unit.delivered.items()))
        if unit.received:
            db.executemany(_PUT_RECEIVED, list(unit.received.items()))
        if unit.processed_position is not None:
            db.execute(_PUT_META, ("processed_position", unit.processed_position))
        if unit.acknowledged:
            db.executemany(_PUT_EXPORTER, [(a.exporter, a.position, a.cursor) for a in unit.acknowledged.values()])

    def delete_before(self, position: int, max_batches: int) -> int:
        db = self._writer
        assert db is not None, "recover comes first"
        try:
            db.execute("BEGIN IMMEDIATE")
            last = db.execute(
                "SELECT first_position + count - 1 FROM batch ORDER BY first_position DESC LIMIT 1"
            ).fetchone()
            if last:
                db.execute(_PUT_META, ("last_position", last[0]))
            deleted = db.execute(
                "DELETE FROM batch WHERE first_position IN (SELECT first_position FROM batch "
                "WHERE first_position + count <= ? ORDER BY first_position LIMIT ?)",
                (position, max_batches),
            ).rowcount
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise StorageError(_reason(error), f"{self._path.name}: {error}") from error
        return deleted

    # -- reading ---

    def read(self, position: int, max_records: int) -> list[EncodedBatch]:
        rows = self._reader().execute(
            "SELECT first_position, count, timestamp_ns, source, checksum, blob, kinds FROM batch "
            "WHERE first_position >= COALESCE("
            "(SELECT max(first_position) FROM batch WHERE first_position <= ?), 0) ORDER BY first_position",
            (position,),
        )
        found: list[EncodedBatch] = []
        covered = 0
        try:
            for row in rows:
                batch = EncodedBatch(*row)
                if batch.last_position >= position:
                    found.append(batch)
                    covered += batch.last_position - max(position, batch.first_position) + 1
                    if covered >= max_records:
                        break
        finally:
            rows.close()
        return found

    def state_get(self, key: str) -> bytes | None:
        row = self._reader().execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def state_scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        # Every key that begins with the prefix lies below the prefix followed by the greatest code point.
        rows = self._reader().execute(
            "SELECT key, value FROM state WHERE key >= ? AND key <= ? ORDER BY key",
            (prefix, prefix + "\U0010ffff" * 4),
        )
        return iter([(k, v) for k, v in rows.fetchall() if k.startswith(prefix)])

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
            with self._readers_lock:
                self._readers.append(connection)
        return connection

    def close(self) -> None:
        with self._readers_lock:
            for reader in self._readers:
                reader.close()
            self._readers.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _put(db: sqlite3.Connection, statements: list[tuple[int, str]], parameters: list[object]) -> None:
    """Puts any number of rows; `parameters` are theirs, one after the other."""
    begin, end = 0, len(parameters)
    for count, statement in statements:
        while end - begin >= count:
            db.execute(statement, parameters[begin : begin + count])
            begin += count


def _reason(error: Exception) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return "disk_full"
    if name.startswith("SQLITE_IOERR"):
        return "io_error"
    return "storage_error"
