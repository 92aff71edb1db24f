"""Looks at a partition's database from outside: what is in it, whether it is whole, and how to go on when it is not.

Reading goes on beside a running engine and changes nothing. Repair is for who holds the data folder.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from engine.errors import DataFolderError
from engine.log.codec import EncodedBatch, checksum_of, decode_batch, encode_batch
from engine.log.sqlite import FORMAT_VERSION, format_error, format_of
from engine.records import Record, RecordType, WriteSource

# Value type and intent of the records that stand where others were lost.
LOST_VALUE_TYPE = "penstock"
LOST_INTENT = "lost"
_BATCHES_AT_ONCE = 200
_LOST_RECORDS_PER_BATCH = 1000
_COLUMNS = "first_position, count, timestamp_ns, source, checksum, blob, kinds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What one partition holds. Timestamps are wall-clock nanoseconds, None without a record."""

    partition: int
    path: Path
    # The database and what is written ahead of it.
    size_bytes: int
    batches: int
    records: int
    oldest_position: int
    last_position: int
    oldest_timestamp_ns: int | None
    last_timestamp_ns: int | None
    processed_position: int
    # Acknowledged position by exporter, those of earlier configurations included.
    exporters: dict[str, int]
    timers: int
    # Messages that other partitions have not stored yet.
    outbox: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Records that can no longer be read: positions `first_position` to `last_position`, and why."""

    partition: int
    first_position: int
    last_position: int
    # When they were written, as far as is known.
    timestamp_ns: int
    why: str

    @property
    def records(self) -> int:
        return self.last_position - self.first_position + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verification found: how much is whole, and what is not."""

    overview: Overview
    damages: tuple[Damage, ...]


class PartitionInspection:
    """A read-only view of one partition; a context manager. One thread, beside whatever an engine writes.

    Leaving it raises `DataFolderError` when the database itself turned out to be damaged: nothing we could mend.
    """

    def __init__(self, partition: int, path: Path) -> None:
        self.partition = partition
        self._path = path
        self._db: sqlite3.Connection | None = None

    def __enter__(self) -> PartitionInspection:
        """Raises `DataFolderError` when it cannot be opened, or is of another format."""
        if not self._path.exists():
            raise DataFolderError(f"{self._path}: no such file")
        try:
            self._db = _opened_to_read(self._path)
            version = format_of(self._db)
        except sqlite3.Error as error:
            self.close()
            raise DataFolderError(f"{self._path} cannot be opened as a log: {error}") from error
        if version != FORMAT_VERSION:
            self.close()
            raise format_error(self._path, version)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, sqlite3.DatabaseError):
            said = " ".join(str(error).split())
            raise DataFolderError(
                f"{self._path}: the database itself is damaged ({said}); bring it back from a copy"
            ) from error

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._db is not None, "entered first"
        return self._db

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
            size_bytes=sum(_size(self._path.with_name(self._path.name + end)) for end in ("", "-wal")),
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
        """The records from position `first` to `last`, or to the end.

        Raises `DataFolderError` at a batch that is damaged.
        """
        for batch in self._batches(first):
            if last is not None and batch.first_position > last:
                return
            why = _fault_of(batch)
            if why:
                raise DataFolderError(
                    f"partition {self.partition}: batch at position {batch.first_position} is damaged: {why}"
                )
            for record in decode_batch(batch).records_from(first):
                if last is not None and record.position > last:
                    return
                yield record

    def verify(self) -> Verdict:
        """Holds every batch against its checksum, and every position against the one before, as of one moment."""
        db = self._open
        db.execute("BEGIN")
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
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
            why = _fault_of(batch)
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


def repair(path: Path, damages: tuple[Damage, ...]) -> None:
    """Puts records that say `lost` in the place of those that can no longer be read, all in one transaction.

    Everything behind them stays, and so do all positions: those of processor and exporters hold, and no position is
    ever given twice. For who holds the data folder.
    """
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
                    for b in _lost(damage)
                ],
            )
        db.execute("COMMIT")
    finally:
        db.close()


def _lost(damage: Damage) -> Iterator[EncodedBatch]:
    """Batches over exactly the positions of the damage; the first record says what happened."""
    value = {"firstPosition": damage.first_position, "lastPosition": damage.last_position, "why": damage.why}
    for first in range(damage.first_position, damage.last_position + 1, _LOST_RECORDS_PER_BATCH):
        count = min(_LOST_RECORDS_PER_BATCH, damage.last_position - first + 1)
        records = [
            Record(
                RecordType.EVENT,
                LOST_VALUE_TYPE,
                LOST_INTENT,
                "",
                value if first + i == damage.first_position else None,
            )
            for i in range(count)
        ]
        blob, kinds = encode_batch(records)
        yield EncodedBatch(
            first,
            count,
            damage.timestamp_ns,
            WriteSource.INTERNAL,
            checksum_of(blob, first, count, kinds),
            blob,
            kinds,
        )


def _fault_of(batch: EncodedBatch) -> str | None:
    """Why the batch cannot be read; None when it is whole."""
    try:
        if len(decode_batch(batch).records) != batch.count:
            return f"it does not hold {batch.count} records"
    # Whatever damaged bytes make a decoder say, they are damaged.
    except Exception as error:
        return str(error)
    return None


def _with_next(batches: Iterator[EncodedBatch]) -> Iterator[tuple[EncodedBatch, EncodedBatch | None]]:
    before: EncodedBatch | None = None
    for batch in batches:
        if before is not None:
            yield before, batch
        before = batch
    if before is not None:
        yield before, None


def _opened_to_read(path: Path) -> sqlite3.Connection:
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
        else:
            return db
    raise AssertionError("one of the modes returns or raises")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
