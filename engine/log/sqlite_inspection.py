"""Looks at a partition that is one database, and mends what can be mended."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.core.records import Record
from engine.log.codec import EncodedBatch
from engine.log.findings import Damage, Overview, Verdict, fault_of, whole_records
from engine.log.local.read_only import ReadOnlyDatabase, check, size_of
from engine.log.lost import lost_batches
from engine.log.sqlite import FORMAT_VERSION

_BATCHES_AT_ONCE = 200
_COLUMNS = "first_position, count, timestamp_ns, source, checksum, blob, kinds"


class SqliteInspection(ReadOnlyDatabase):
    """Implements `Inspection` over one database file."""

    def __init__(self, partition: int, path: Path) -> None:
        self.partition = partition
        self._path = path
        super().__init__(path, FORMAT_VERSION)

    def overview(self) -> Overview:
        db = self._open
        meta: dict[str, int] = dict(db.execute("SELECT key, value FROM meta"))
        batches, records, first = db.execute(
            "SELECT count(*), coalesce(sum(count), 0), min(first_position) FROM batch"
        ).fetchone()
        last = db.execute(
            "SELECT first_position + count - 1 FROM batch ORDER BY first_position DESC LIMIT 1"
        ).fetchone()
        last_position = max(last[0] if last else 0, meta.get("last_position", 0))
        return Overview(
            partition=self.partition,
            path=self._path,
            size_bytes=size_of(self._path),
            batches=batches,
            records=records,
            oldest_position=first or last_position + 1,
            last_position=last_position,
            oldest_timestamp_ns=self._timestamp("ASC"),
            last_timestamp_ns=self._timestamp("DESC"),
            processed_position=meta.get("processed_position", 0),
            exporters=dict(db.execute("SELECT name, position FROM exporter ORDER BY name")),
            timers=db.execute("SELECT count(*) FROM timer").fetchone()[0],
            outbox=db.execute("SELECT count(*) FROM outbox").fetchone()[0],
        )

    def _timestamp(self, order: str) -> int | None:
        row = self._open.execute(f"SELECT timestamp_ns FROM batch ORDER BY first_position {order} LIMIT 1").fetchone()
        return row[0] if row else None

    def records(self, first: int, last: int | None = None) -> Iterator[Record]:
        return whole_records(self.partition, self._batches(first), first, last)

    def verify(self) -> Verdict:
        db = self._open
        db.execute("BEGIN")
        check(db)
        overview = self.overview()
        verdict = Verdict(overview=overview, damages=tuple(self._damages(overview)))
        db.execute("COMMIT")
        return verdict

    def _damages(self, overview: Overview) -> Iterator[Damage]:
        expected, timestamp_ns = overview.oldest_position, overview.oldest_timestamp_ns or 0
        for batch, following in _with_next(self._batches(0)):
            if batch.first_position > expected:
                yield self._damage(expected, batch.first_position - 1, timestamp_ns, "they are missing")
            expected, timestamp_ns = batch.last_position + 1, batch.timestamp_ns
            why = fault_of(batch)
            if why:
                # What a damaged batch says of its own length need not be true.
                expected = max(batch.first_position + 1, expected if following is None else following.first_position)
                yield self._damage(batch.first_position, expected - 1, timestamp_ns, why)
        if overview.batches and expected <= overview.last_position:
            yield self._damage(expected, overview.last_position, timestamp_ns, "they are missing")

    def _damage(self, first: int, last: int, timestamp_ns: int, why: str) -> Damage:
        return Damage(
            partition=self.partition, first_position=first, last_position=last, timestamp_ns=timestamp_ns, why=why
        )

    def _batches(self, position: int) -> Iterator[EncodedBatch]:
        """From the batch that holds `position` on, a few at a time: nothing is held that a writer could need."""
        found = self._open.execute(
            "SELECT max(first_position) FROM batch WHERE first_position <= ?", (position,)
        ).fetchone()[0]
        at = found or 0
        while True:
            rows = self._open.execute(
                f"SELECT {_COLUMNS} FROM batch WHERE first_position >= ? ORDER BY first_position LIMIT ?",
                (at, _BATCHES_AT_ONCE),
            ).fetchall()
            for row in rows:
                batch = EncodedBatch(*row)
                if batch.last_position >= position:
                    yield batch
            if len(rows) < _BATCHES_AT_ONCE:
                return
            at = rows[-1][0] + 1


def repair_database(path: Path, damages: Sequence[Damage]) -> None:
    """All in one transaction."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        for damage in damages:
            db.execute(
                "DELETE FROM batch WHERE first_position BETWEEN ? AND ?", (damage.first_position, damage.last_position)
            )
            db.executemany(
                f"INSERT INTO batch ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (b.first_position, b.count, b.timestamp_ns, b.source, b.checksum, b.blob, b.kinds)
                    for b in lost_batches(damage)
                ],
            )
        db.execute("COMMIT")
    finally:
        db.close()


def _with_next(batches: Iterator[EncodedBatch]) -> Iterator[tuple[EncodedBatch, EncodedBatch | None]]:
    before: EncodedBatch | None = None
    for batch in batches:
        if before is not None:
            yield before, batch
        before = batch
    if before is not None:
        yield before, None
