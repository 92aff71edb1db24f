"""Records as rows of a PostgreSQL table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import ConfigurationError, TargetError
from engine.core.records import Record
from engine.core.secrets import Secrets
from engine.exporting.delivered import Delivered
from engine.exporting.document import UNSAYABLE, encoded_value, why_unsayable
from engine.exporting.protocol import ExporterContext

if TYPE_CHECKING:
    from psycopg.abc import RV, PQGen

_TABLE = re.compile(r"(?:([a-z_][a-z0-9_]{0,62})\.)?([a-z_][a-z0-9_]{0,62})")
_COLUMNS = (
    ("partition", "integer NOT NULL"),
    ("position", "bigint NOT NULL"),
    ("written_at", "timestamptz NOT NULL"),
    ("record_type", "text NOT NULL"),
    ("value_type", "text NOT NULL"),
    ("intent", "text NOT NULL"),
    ("key", "text NOT NULL"),
    ("value", "jsonb"),
    ("source_position", "bigint NOT NULL"),
)
_KEY = ("partition", "position")
_INCOMING = sql.Identifier("penstock_incoming")
# Partitions open at the same time, and CREATE TABLE IF NOT EXISTS is no lock. Any fixed number that is ours.
_CREATION_LOCK = 7_365_746_015
# What a server says of the content it was given.
_NOT_LIKED = (psycopg.DataError, psycopg.IntegrityError)
# The values of `_COLUMNS`, in their order.
_Row = tuple[object, ...]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def postgres(
    url: str, table: str = "penstock_records", *, timeout_ns: int = 30 * NS_PER_SECOND
) -> Callable[[], Postgres]:
    """The exporter for `Pipeline.export`.

    `url` is a connection URI or string of libpq; what it leaves out comes from libpq's environment (`PGPASSWORD` …).
    The table is made if it is not there.
    """
    match = _TABLE.fullmatch(table)
    if match is None:
        raise ConfigurationError(f"a table is named in lower case, with or without a schema, not {table}")
    if timeout_ns <= 0:
        raise ConfigurationError(f"the time an answer may take must be longer than 0, not {timeout_ns} ns")
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        # What is wrong with it is not repeated: it may hold a password.
        raise ConfigurationError(
            "the database's url cannot be read; it is written as postgresql://user@host/database"
        ) from None
    name = sql.Identifier(*(part for part in match.groups() if part is not None))
    return lambda: Postgres(url, name, timeout_ns / NS_PER_SECOND)


class _Connection(psycopg.Connection[tuple[object, ...]]):
    """A connection that does not wait for ever: a server that hangs keeps its side of the line open."""

    answer_seconds_max = 30.0

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        return super().wait(gen, interval, self.answer_seconds_max if timeout is None else timeout)


class Postgres:
    """One row a record, its partition and position the primary key: the same record again does no harm.

    A batch is copied into a temporary table and from there put into the real one, in one transaction. One that the
    server refuses for its content is halved until the records to blame are alone.
    """

    def __init__(self, url: str, table: sql.Identifier, timeout_seconds: float) -> None:
        self._url = url
        self._secrets = Secrets.together(
            (Secrets.of_address(url), Secrets.of(str(conninfo_to_dict(url).get("password") or "")))
        )
        self._table = table
        self._timeout_seconds = timeout_seconds
        self._partition = 0
        self._delivered = Delivered()
        self._connection: _Connection | None = None

    def open(self, context: ExporterContext) -> None:
        self._partition = context.partition
        self._use(lambda _: None)

    def export(self, records: Sequence[Record]) -> None:
        self._store(self._sayable(self._delivered.begin(records)))
        self._delivered.end()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # -- storing ---

    def _sayable(self, records: Sequence[Record]) -> list[tuple[Record, _Row]]:
        """The records with their rows, without those whose value cannot be said in JSON: they are refused."""
        rows = []
        for record in records:
            try:
                rows.append((record, self._row(record)))
            except UNSAYABLE as error:
                self._delivered.refused(record.position, why_unsayable(error))
        return rows

    def _store(self, rows: Sequence[tuple[Record, _Row]]) -> None:
        if not rows:
            return
        try:
            self._use(lambda connection: self._put(connection, [row for _, row in rows]))
        except _NOT_LIKED as error:
            if len(rows) == 1:
                self._delivered.refused(rows[0][0].position, _words(error))
            else:
                half = len(rows) // 2
                self._store(rows[:half])
                self._store(rows[half:])
        else:
            self._delivered.took(record for record, _ in rows)

    def _put(self, connection: _Connection, rows: Sequence[_Row]) -> None:
        columns = sql.SQL(", ").join(sql.Identifier(name) for name, _ in _COLUMNS)
        copy_in = sql.SQL("COPY {} ({}) FROM STDIN").format(_INCOMING, columns)
        with connection.transaction(), connection.cursor() as cursor:
            with cursor.copy(copy_in) as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(self._upsert(columns))

    def _row(self, record: Record) -> _Row:
        return (
            self._partition,
            record.position,
            _EPOCH + timedelta(microseconds=record.timestamp_ns // 1000),
            record.record_type,
            record.value_type,
            record.intent,
            record.key,
            encoded_value(record).decode(),
            record.source_position,
        )

    def _upsert(self, columns: sql.Composed) -> sql.Composed:
        others = [name for name, _ in _COLUMNS if name not in _KEY]
        kept = sql.SQL(", ").join(sql.SQL("kept.{}").format(sql.Identifier(name)) for name in others)
        new = sql.SQL(", ").join(sql.SQL("excluded.{}").format(sql.Identifier(name)) for name in others)
        return sql.SQL(
            # Sorted, so that two writers of the same rows cannot wait for each other; unchanged rows stay as they are.
            "INSERT INTO {table} AS kept ({columns}) SELECT {columns} FROM {incoming} ORDER BY partition, position "
            "ON CONFLICT (partition, position) DO UPDATE SET ({names}) = ROW ({new}) "
            "WHERE ({kept}) IS DISTINCT FROM ({new})"
        ).format(
            table=self._table,
            columns=columns,
            incoming=_INCOMING,
            names=sql.SQL(", ").join(sql.Identifier(name) for name in others),
            new=new,
            kept=kept,
        )

    # -- the connection ---

    def _use(self, work: Callable[[_Connection], None]) -> None:
        """Does `work` on a connection that stands. Whatever breaks it, the next use makes a new one."""
        try:
            if self._connection is None:
                self._connection = self._connected()
            work(self._connection)
        except _NOT_LIKED:
            # The server is well; it is the records.
            raise
        except psycopg.Error as error:
            self._drop()
            raise TargetError(f"PostgreSQL: {self._secrets.hide(_words(error))}") from error
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> _Connection:
        # Whole seconds, and libpq takes 1 for 2.
        connect_seconds = max(2, round(self._timeout_seconds))
        address = make_conninfo(self._url, connect_timeout=connect_seconds, application_name="penstock")
        connection = _Connection.connect(address, autocommit=True)
        connection.answer_seconds_max = self._timeout_seconds
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: _Connection) -> None:
        """Makes the tables, and a commit mean what it says whatever the server's default is."""
        connection.execute("SET synchronous_commit = on")
        definitions = sql.SQL(", ").join(sql.SQL("{} " + kind).format(sql.Identifier(name)) for name, kind in _COLUMNS)
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATION_LOCK,))
            connection.execute(
                sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY (partition, position))").format(
                    self._table, definitions
                )
            )
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} WITH NO DATA").format(
                _INCOMING, sql.SQL(", ").join(sql.Identifier(name) for name, _ in _COLUMNS), self._table
            )
        )


def _words(error: psycopg.Error) -> str:
    """The server's own sentence, or what the client saw."""
    return error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
