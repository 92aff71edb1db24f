"""The embedded durable log: one SQLite database a partition, in WAL mode, record batches as blobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from msgspec.structs import astuple

from engine.core.errors import DataFolderError
from engine.core.unit import Recovered, Unit
from engine.log.codec import EncodedBatch
from engine.log.local import tables
from engine.log.local.connections import Connections
from engine.log.storage import Entry

# 2: a batch is columns; before, it was one record after the other.
FORMAT_VERSION = 2

_BATCHES = """
CREATE TABLE batch (
    first_position INTEGER PRIMARY KEY, count INTEGER NOT NULL, timestamp_ns INTEGER NOT NULL,
    source TEXT NOT NULL, checksum INTEGER NOT NULL, blob BLOB NOT NULL, kinds TEXT NOT NULL);
"""
_INSERT_BATCH = tables.statements("INSERT INTO batch", 7, 64)


def format_error(path: Path, version: int | None) -> DataFolderError:
    return tables.wrong_format(path, version, FORMAT_VERSION)


class SqliteStorage:
    """Implements `LogStorage` over one database file.

    `synchronous` FULL syncs each commit (survives a crash of the machine), NORMAL survives a crash of the process
    only. One connection writes, under the caller's promise of one commit at a time; each reading thread has one of
    its own, which WAL keeps from waiting for the writer.
    """

    def __init__(self, path: Path, *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> None:
        self._path = path
        self._synchronous = synchronous
        self._connections = Connections(path)

    # -- opening ---

    def recover(self) -> Recovered:
        try:
            writer = self._connections.writer
            writer.execute(f"PRAGMA synchronous = {self._synchronous}")
            version = tables.format_of(writer)
            if version is None:
                writer.executescript(
                    f"BEGIN;{tables.SCHEMA}{_BATCHES}INSERT INTO meta VALUES ('format', {FORMAT_VERSION});COMMIT;"
                )
            elif version != FORMAT_VERSION:
                raise format_error(self._path, version)
            return self._read_all(writer)
        except sqlite3.DatabaseError as error:
            raise DataFolderError(f"{self._path} cannot be opened as a log: {error}") from error

    @staticmethod
    def _read_all(db: sqlite3.Connection) -> Recovered:
        last = db.execute(
            "SELECT first_position + count - 1 FROM batch ORDER BY first_position DESC LIMIT 1"
        ).fetchone()
        first = db.execute("SELECT first_position FROM batch ORDER BY 1 LIMIT 1").fetchone()
        # Retention may have deleted every batch; the last position lives on in meta.
        last_position = max(last[0] if last else 0, tables.meta_of(db).get("last_position", 0))
        return tables.read_recovered(
            db, last_position=last_position, oldest_position=first[0] if first else last_position + 1
        )

    # -- writing ---

    def commit(self, entries: Sequence[Entry]) -> None:
        db = self._connections.writer
        try:
            # The fields of a batch stand in the order of the table's columns.
            batches = [column for entry in entries if entry.batch is not None for column in astuple(entry.batch)]
            db.execute("BEGIN IMMEDIATE")
            tables.put(db, _INSERT_BATCH, batches)
            for entry in entries:
                self._write(db, entry.unit)
            db.execute("COMMIT")
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error | OverflowError):
                raise tables.storage_error(self._path.name, error) from error
            raise

    @staticmethod
    def _write(db: sqlite3.Connection, unit: Unit) -> None:
        tables.write_unit(db, unit)

    def delete_before(self, position: int, max_batches: int) -> int:
        db = self._connections.writer
        try:
            db.execute("BEGIN IMMEDIATE")
            last = db.execute(
                "SELECT first_position + count - 1 FROM batch ORDER BY first_position DESC LIMIT 1"
            ).fetchone()
            if last:
                tables.put_meta(db, "last_position", last[0])
            deleted = db.execute(
                "DELETE FROM batch WHERE first_position IN (SELECT first_position FROM batch "
                "WHERE first_position + count <= ? ORDER BY first_position LIMIT ?)",
                (position, max_batches),
            ).rowcount
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise tables.storage_error(self._path.name, error) from error
        return deleted

    # -- reading ---

    def read(self, position: int, max_records: int) -> list[EncodedBatch]:
        with self._connections.reader as db:
            return _batches(db, position, max_records)

    def state_get(self, key: str) -> bytes | None:
        with self._connections.reader as db:
            return tables.state_of(db, key)

    def state_scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        with self._connections.reader as db:
            return tables.states_of(db, prefix)

    def close(self) -> None:
        self._connections.close()


def _batches(db: sqlite3.Connection, position: int, max_records: int) -> list[EncodedBatch]:
    rows = db.execute(
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
