"""The small state of a partition in SQLite: keyed state, timers, messages, and how far everybody has come."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from engine.core.errors import DataFolderError
from engine.core.unit import Acknowledgement, Message, Recovered, SourceProgress, Timer, Unit
from engine.log.storage import StorageError

STATE_NAME = "state.db"
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE timer (timer_id INTEGER PRIMARY KEY, due_wall_ns INTEGER NOT NULL, command BLOB NOT NULL);
CREATE TABLE outbox (sequence INTEGER PRIMARY KEY, receiver INTEGER NOT NULL, command BLOB NOT NULL);
CREATE TABLE received (sender INTEGER PRIMARY KEY, sequence INTEGER NOT NULL);
CREATE TABLE progress (
    source TEXT PRIMARY KEY, offset_ INTEGER NOT NULL, extra INTEGER NOT NULL, cursor BLOB) WITHOUT ROWID;
CREATE TABLE exporter (name TEXT PRIMARY KEY, position INTEGER NOT NULL, cursor BLOB) WITHOUT ROWID;
"""


def statements(begin: str, columns: int, rows_max: int) -> list[tuple[int, str]]:
    """`begin` for `rows_max` rows, half as many … and one: so many parameters, the statement.

    Many rows a statement: SQLite works on all of them without the interpreter lock, which `executemany` takes back
    after each row. In powers of two, so that few statements are enough for any number of rows.
    """
    row = f"({','.join('?' * columns)})"
    sizes = [1 << power for power in reversed(range(rows_max.bit_length()))]
    return [(rows * columns, f"{begin} VALUES {','.join([row] * rows)}") for rows in sizes]


_PUT_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_RAISE_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)"
_PUT_STATE = statements("INSERT OR REPLACE INTO state", 2, 256)
_PUT_PROGRESS = "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?)"
_PUT_EXPORTER = "INSERT OR REPLACE INTO exporter VALUES (?, ?, ?)"
_PUT_RECEIVED = "INSERT OR REPLACE INTO received VALUES (?, ?)"


def put(db: sqlite3.Connection, of_sizes: list[tuple[int, str]], parameters: list[object]) -> None:
    """Puts any number of rows; `parameters` are theirs, one after the other."""
    begin, end = 0, len(parameters)
    for count, statement in of_sizes:
        while end - begin >= count:
            db.execute(statement, parameters[begin : begin + count])
            begin += count


def put_meta(db: sqlite3.Connection, key: str, value: int) -> None:
    db.execute(_PUT_META, (key, value))


def raise_meta(db: sqlite3.Connection, key: str, value: int) -> None:
    """For numbers that only rise."""
    db.execute(_RAISE_META, (key, value))


def meta_of(db: sqlite3.Connection) -> dict[str, int]:
    return dict(db.execute("SELECT key, value FROM meta"))


def format_of(db: sqlite3.Connection) -> int | None:
    """The format of a partition's database; None for one with nothing in it, -1 for one that says nothing."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return None
    row = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    return int(row[0]) if row else -1


def wrong_format(path: Path, version: int, wanted: int) -> DataFolderError:
    return DataFolderError(
        f"{path} has format {version}, this version reads format {wanted}; "
        "use the version that wrote it, or another data folder"
    )


def write_unit(db: sqlite3.Connection, unit: Unit) -> None:
    """All of a unit but its records, inside of the caller's transaction."""
    if unit.state:
        put(db, _PUT_STATE, [part for pair in unit.state.items() if pair[1] is not None for part in pair])
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
        raise_meta(db, "next_timer_id", max(t.timer_id for t in unit.timers_added) + 1)
    if unit.timers_fired:
        db.executemany("DELETE FROM timer WHERE timer_id = ?", [(i,) for i in unit.timers_fired])
    if unit.outbox:
        db.executemany(
            "INSERT INTO outbox VALUES (?, ?, ?)",
            [(m.sequence, m.receiver, m.command) for m in unit.outbox],
        )
        raise_meta(db, "next_sequence", unit.outbox[-1].sequence + 1)
    if unit.delivered:
        db.executemany("DELETE FROM outbox WHERE receiver = ? AND sequence <= ?", list(unit.delivered.items()))
    if unit.received:
        db.executemany(_PUT_RECEIVED, list(unit.received.items()))
    if unit.processed_position is not None:
        put_meta(db, "processed_position", unit.processed_position)
    if unit.acknowledged:
        db.executemany(_PUT_EXPORTER, [(a.exporter, a.position, a.cursor) for a in unit.acknowledged.values()])


def read_recovered(db: sqlite3.Connection, *, last_position: int, oldest_position: int) -> Recovered:
    """What the tables hold; the positions of the log itself are the caller's word."""
    meta = meta_of(db)
    return Recovered(
        last_position=last_position,
        oldest_position=oldest_position,
        processed_position=meta.get("processed_position", 0),
        progress={row[0]: SourceProgress(*row) for row in db.execute("SELECT * FROM progress")},
        acknowledged={row[0]: Acknowledgement(*row) for row in db.execute("SELECT * FROM exporter")},
        timers=[Timer(*row) for row in db.execute("SELECT timer_id, due_wall_ns, command FROM timer ORDER BY 1")],
        next_timer_id=meta.get("next_timer_id", 1),
        outbox=[Message(*row) for row in db.execute("SELECT sequence, receiver, command FROM outbox ORDER BY 1")],
        next_sequence=meta.get("next_sequence", 1),
        received=dict(db.execute("SELECT sender, sequence FROM received")),
    )


def state_of(db: sqlite3.Connection, key: str) -> bytes | None:
    row = db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def states_of(db: sqlite3.Connection, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Pairs whose key begins with `prefix`, as of one moment, keys ascending by code point."""
    # Every key that begins with the prefix lies below the prefix followed by the greatest code point.
    rows = db.execute(
        "SELECT key, value FROM state WHERE key >= ? AND key <= ? ORDER BY key",
        (prefix, prefix + "\U0010ffff" * 4),
    )
    return iter([(k, v) for k, v in rows.fetchall() if k.startswith(prefix)])


def storage_error(name: str, error: Exception) -> StorageError:
    """What the storage says of an error of its database."""
    code = getattr(error, "sqlite_errorname", "")
    if code.startswith("SQLITE_FULL"):
        reason = "disk_full"
    elif code.startswith("SQLITE_IOERR"):
        reason = "io_error"
    else:
        reason = "storage_error"
    return StorageError(reason, f"{name}: {error}")
