"""The partition's small state on this machine: never ahead of the log, and thrown away whenever it is in doubt."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from confluent_kafka import Message

from engine.log.kafka import rows
from engine.log.rows import tables
from engine.log.rows.applier import Applier
from engine.log.rows.connections import Connections

log = logging.getLogger("penstock.log")

_FORMAT = 1
# A key that was deleted longer ago than the topic keeps deletions is not told any more: an hour less than a day.
STALE_SECONDS = 23 * 3600
_ORIGIN = "CREATE TABLE origin (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


class _NoSums:
    """Nobody sums the pages of what may be thrown away."""

    def follow(self) -> None:
        return


class Cache:
    """A database that follows the state topic; `origin` says which topics, by their ids."""

    def __init__(
        self,
        path: Path,
        partition: int,
        origin: Mapping[str, str],
        head: Callable[[], rows.Head],
        *,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        self._path = path
        self._partition = partition
        self._origin = {"format": str(_FORMAT), **origin}
        # The last commit's; it may be later than what is carried, never earlier.
        self._head = head
        self._stale_seconds = stale_seconds
        self.connections = Connections(path)
        self.applier = self._made_applier()

    def _made_applier(self) -> Applier:
        return Applier(
            f"partition {self._partition}",
            self.connections,
            _NoSums(),
            secure_log=lambda: None,
            put_more=self._put_more,
        )

    def _put_more(self, db: sqlite3.Connection) -> None:
        tables.put_meta(db, "wall_s", int(time.time()))
        tables.put_meta(db, "log_offset", self._head().log_offset)

    def open(self, low: int, high: int) -> int:
        """The offset from which the state topic, whose bounds are given, is to be read."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        why: str | None = None
        try:
            meta = self._known()
            if meta is None:
                why = "" if not self._path.exists() or not self._has_tables() else "is from another topic"
            elif time.time() - meta.get("wall_s", 0) > self._stale_seconds:
                why = "is older than what Kafka remembers of deletions"
            elif not low <= meta.get("applied_offset", 0) <= high:
                why = "does not fit the topic"
            else:
                return meta.get("applied_offset", 0)
        except sqlite3.DatabaseError as error:
            why = f"is damaged ({error})"
        if why:
            log.info("partition %d: the local state %s; it is read anew", self._partition, why)
        self._begin_anew()
        return low

    def _has_tables(self) -> bool:
        return tables.format_of(self.connections.writer) is not None

    def _known(self) -> dict[str, int] | None:
        """None for a database that is empty, or of other topics."""
        db = self.connections.writer
        db.execute("PRAGMA synchronous = NORMAL")
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'origin'").fetchone() is None:
            return None
        if dict(db.execute("SELECT name, value FROM origin")) != self._origin:
            return None
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        return tables.meta_of(db)

    def _begin_anew(self) -> None:
        with suppress(sqlite3.Error):
            self.connections.close(checkpoints=False)
        for name in (self._path.name, f"{self._path.name}-wal", f"{self._path.name}-shm"):
            self._path.with_name(name).unlink(missing_ok=True)
        self.connections = Connections(self._path)
        self.applier = self._made_applier()
        db = self.connections.writer
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN")
        for statement in (*tables.SCHEMA.split(";"), _ORIGIN):
            db.execute(statement)
        tables.put_meta(db, "format", _FORMAT)
        tables.put_meta(db, "wall_s", int(time.time()))
        db.executemany("INSERT INTO origin VALUES (?, ?)", list(self._origin.items()))
        db.execute("COMMIT")

    def take_in(self, messages: list[Message]) -> tuple[rows.Head | None, rows.Owner | None]:
        """Rows as they were read; the last head and owner among them."""
        last: dict[bytes, bytes | None] = {}
        for m in messages:
            last[m.key() or b""] = m.value()
        head_bytes, owner_bytes = last.pop(rows.HEAD_KEY, None), last.pop(rows.OWNER_KEY, None)
        head = None if head_bytes is None else rows.head_of(head_bytes)
        db = self.connections.writer
        db.execute("BEGIN")
        try:
            rows.put(db, last.items())
            if head is not None:
                rows.put_head(db, head)
            tables.put_meta(db, "applied_offset", int(messages[-1].offset() or 0) + 1)
            tables.put_meta(db, "wall_s", int(time.time()))
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        return head, None if owner_bytes is None else rows.owner_of(owner_bytes)

    def close(self) -> None:
        self.applier.close()
        self.connections.close()
