"""The small state as rows of a compacted topic: a message a row, the first byte of its key says of which kind.

`s` keyed state, `t` timer, `r` received, `p` progress of a source, `e` exporter, `i` who has the partition, `m` the
head: which commit was last, and what only rises. A commit's head comes last, so that whoever has read it has all of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from engine.core.unit import Unit
from engine.log.rows import tables
from engine.log.storage import Entry

# 1: as above.
FORMAT = 1
HEAD_KEY = b"m"
OWNER_KEY = b"i"
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.decode
# Table, column of its key, columns; by the kind of the row.
_TABLES = {
    b"t": ("timer", "timer_id", 3),
    b"r": ("received", "sender", 2),
    b"p": ("progress", "source", 4),
    b"e": ("exporter", "name", 3),
}
_PUT_STATE = tables.statements("INSERT OR REPLACE INTO state", 2, 256)


class Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The row that makes a commit whole."""

    format: int = FORMAT
    # Who wrote it, so that a number that two have given is told apart.
    owner: str = ""
    commit: int = 0
    last_position: int = 0
    processed_position: int = 0
    next_timer_id: int = 1
    next_sequence: int = 1
    # Where what was written before this commit lies in the log topic, or its last part; 0 for none.
    log_offset: int = 0

    def packed(self) -> bytes:
        return _pack(self)


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who has the partition, as its first commit says it."""

    owner: str
    instance: str
    since_wall_ns: int

    def packed(self) -> bytes:
        return _pack(self)


_decode_head = msgspec.msgpack.Decoder(Head).decode
_decode_owner = msgspec.msgpack.Decoder(Owner).decode


def head_of(value: bytes) -> Head:
    """Raises `ValueError` for bytes that are none."""
    return _decode_head(value)


def owner_of(value: bytes) -> Owner:
    return _decode_owner(value)


def rows_of(entries: Sequence[Entry]) -> dict[bytes, bytes | None]:
    """What a commit changes, each row once: the last word counts. None deletes.

    Raises `UnicodeEncodeError` for a key that has no bytes.
    """
    rows: dict[bytes, bytes | None] = {}
    for entry in entries:
        unit = entry.unit
        for key, value in unit.state.items():
            rows[b"s" + key.encode()] = value
        for p in unit.progress:
            rows[b"p" + p.source.encode()] = _pack((p.source, p.offset, p.extra, p.cursor))
        for timer in unit.timers_added:
            rows[b"t%d" % timer.timer_id] = _pack((timer.timer_id, timer.due_wall_ns, timer.command))
        for timer_id in unit.timers_fired:
            rows[b"t%d" % timer_id] = None
        for sender, sequence in unit.received.items():
            rows[b"r%d" % sender] = _pack((sender, sequence))
        for a in unit.acknowledged.values():
            rows[b"e" + a.exporter.encode()] = _pack((a.exporter, a.position, a.cursor))
    return rows


def head_after(before: Head, units: Iterable[Unit], *, last_position: int, owner: str) -> Head:
    """The head of the commit behind `before`."""
    processed, timer_id, sequence = before.processed_position, before.next_timer_id, before.next_sequence
    for unit in units:
        if unit.processed_position is not None:
            processed = unit.processed_position
        for timer in unit.timers_added:
            timer_id = max(timer_id, timer.timer_id + 1)
        for message in unit.outbox:
            sequence = max(sequence, message.sequence + 1)
    return msgspec.structs.replace(
        before,
        owner=owner,
        commit=before.commit + 1,
        last_position=last_position,
        processed_position=processed,
        next_timer_id=timer_id,
        next_sequence=sequence,
    )


def put(db: sqlite3.Connection, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Rows as they were read into the tables, inside of the caller's transaction; each key once."""
    states: list[object] = []
    for key, value in rows:
        kind = key[:1]
        if kind == b"s":
            if value is None:
                db.execute("DELETE FROM state WHERE key = ?", (key[1:].decode(),))
            else:
                states += (key[1:].decode(), value)
        elif (table := _TABLES.get(kind)) is not None:
            name, column, columns = table
            if value is None:
                db.execute(f"DELETE FROM {name} WHERE {column} = ?", (key[1:].decode(),))
            else:
                row: Sequence[Any] = _unpack(value)
                db.execute(f"INSERT OR REPLACE INTO {name} VALUES ({','.join('?' * columns)})", row)
    tables.put(db, _PUT_STATE, states)


_NUMBERS = ("last_position", "processed_position", "next_timer_id", "next_sequence", "log_offset")


def put_head(db: sqlite3.Connection, head: Head) -> None:
    for key in _NUMBERS:
        tables.put_meta(db, key, getattr(head, key))
    tables.put_meta(db, "applied_commit", head.commit)


def head_in(db: sqlite3.Connection) -> Head:
    """As `put_head` has put it."""
    meta = tables.meta_of(db)
    known = {key: meta[key] for key in _NUMBERS if key in meta}
    return msgspec.convert({"commit": meta.get("applied_commit", 0), **known}, Head)
