"""Rows of a PostgreSQL table; the one module that knows its client. `engine.exporting.postgres` is the door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from engine.core.errors import ConfigurationError, TargetError
from engine.core.extras import imported_with
from engine.core.records import Record
from engine.core.secrets import Secrets
from engine.exporting.delivered import Delivered
from engine.exporting.document import UNSAYABLE, encoded_value, why_unsayable
from engine.exporting.halving import DislikedError, Halving
from engine.exporting.protocol import ExporterContext

with imported_with("postgres", "psycopg"):
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from psycopg.abc import RV, PQGen

_COLUMNS = (
    ("partition", "integer"),
    ("position", "bigint"),
    ("written_at", "timestamptz"),
    ("record_type", "text"),
    ("value_type", "text"),
    ("intent", "text"),
    ("key", "text"),
    ("value", "jsonb"),
    ("source_position", "bigint"),
)
_KEY = ("partition", "position")
# Partitions open at the same time, and CREATE TABLE IF NOT EXISTS is no lock. Any fixed number that is ours.
_CREATION_LOCK = 7_365_746_015
# Classes of what a server says of the content it was given: its values, its constraints, its size, what the table's own
# triggers and functions raise.
_RECORDS_FAULTS = frozenset(("09", "21", "22", "23", "27", "2F", "38", "39", "44", "54", "P0"))
_CHECK_VIOLATION = "23514"
# The values of `_COLUMNS`, in their order.
_Row = tuple[object, ...]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_url(url: str) -> None:
    """Raises `ConfigurationError` for what libpq cannot read."""
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        # What is wrong with it is not repeated: it may hold a password.
        raise ConfigurationError(
            "the database's url cannot be read; it is written as postgresql://user@host/database"
        ) from None


class _Connection(psycopg.Connection[tuple[object, ...]]):
    """A connection that does not wait for ever: a server that hangs keeps its side of the line open."""

    answer_seconds_max = 30.0

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        return super().wait(gen, interval, self.answer_seconds_max if timeout is None else timeout)


class Postgres:
    """One row a record, its partition and position the primary key: the same record again does no harm.

    A batch is one statement in one transaction. One that the server refuses for its content is halved until the records
    to blame are alone. Nothing is kept in the session: behind a pooler the next transaction may be on another one.
    """

    takes_again: Final = True

    def __init__(self, url: str, table: Sequence[str], timeout_seconds: float) -> None:
        """`table` is its name, with its schema in front where it has one."""
        self._url = url
        self._secrets = Secrets.together(
            (Secrets.of_address(url), Secrets.of(str(conninfo_to_dict(url).get("password") or "")))
        )
        self._table = sql.Identifier(*table)
        self._timeout_seconds = timeout_seconds
        self._partition = 0
        self._delivered = Delivered()
        self._halving = Halving(self._delivered)
        self._connection: _Connection | None = None
        self._create = _create(self._table)
        self._upsert = _upsert(self._table)

    def open(self, context: ExporterContext) -> None:
        self._partition = context.partition
        self._use(self._make_table)

    def export(self, records: Sequence[Record]) -> None:
        rows = self._sayable(self._delivered.begin(records))
        self._halving.send(rows, self._store, lambda pair: pair[0].position)
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
                self._delivered.unsayable(record.position, why_unsayable(error))
        return rows

    def _store(self, rows: Sequence[tuple[Record, _Row]]) -> None:
        columns = [*map(list, zip(*(row for _, row in rows), strict=True))]
        self._use(lambda connection: self._put(connection, columns))
        self._delivered.took(record for record, _ in rows)

    def _put(self, connection: _Connection, columns: Sequence[object]) -> None:
        with connection.transaction():
            # For this transaction alone: a commit means what it says whatever the server's default is.
            connection.execute("SET LOCAL synchronous_commit = on")
            connection.execute(self._upsert, columns)

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

    # -- the connection ---

    def _use(self, work: Callable[[_Connection], None]) -> None:
        """Does `work` on a connection that stands. Whatever breaks it, the next use makes a new one.

        Raises `DislikedError` where the server is well and it is the records, else `TargetError`.
        """
        try:
            if self._connection is None:
                self._connection = self._connected()
            work(self._connection)
        except psycopg.Error as error:
            if _is_records_fault(error):
                raise DislikedError(_words(error)) from error
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
        # What is prepared is the session's.
        connection.prepare_threshold = None
        return connection

    def _make_table(self, connection: _Connection) -> None:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATION_LOCK,))
            connection.execute(self._create)


def _create(table: sql.Identifier) -> sql.Composed:
    definitions = sql.SQL(", ").join(
        sql.SQL("{} " + kind + ("" if name == "value" else " NOT NULL")).format(sql.Identifier(name))
        for name, kind in _COLUMNS
    )
    return sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY (partition, position))").format(table, definitions)


def _upsert(table: sql.Identifier) -> sql.Composed:
    """Takes a list for each column. Sorted, so that two writers of the same rows cannot wait for each other."""
    others = [name for name, _ in _COLUMNS if name not in _KEY]
    return sql.SQL(
        "INSERT INTO {table} AS kept ({columns}) SELECT {selected} FROM unnest({lists}) AS incoming ({columns}) "
        "ORDER BY partition, position ON CONFLICT (partition, position) DO UPDATE SET ({names}) = ROW ({new}) "
        # Unchanged rows stay as they are.
        "WHERE ({kept}) IS DISTINCT FROM ({new})"
    ).format(
        table=table,
        columns=_names([name for name, _ in _COLUMNS]),
        # JSON is read row by row: as a list it would have to be read in front of all.
        selected=sql.SQL(", ").join(sql.SQL("incoming.{}::" + kind).format(sql.Identifier(n)) for n, kind in _COLUMNS),
        lists=sql.SQL(", ").join(
            sql.SQL("%s::" + ("text" if kind == "jsonb" else kind) + "[]") for _, kind in _COLUMNS
        ),
        names=_names(others),
        new=sql.SQL(", ").join(sql.SQL("excluded.{}").format(sql.Identifier(name)) for name in others),
        kept=sql.SQL(", ").join(sql.SQL("kept.{}").format(sql.Identifier(name)) for name in others),
    )


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _is_records_fault(error: psycopg.Error) -> bool:
    """Whether the server says it of the content, as against its own state, its tables or our rights."""
    state = error.sqlstate
    if state is None:
        # The client's own word on a value, a NUL in a text for instance.
        return isinstance(error, psycopg.DataError)
    if state == _CHECK_VIOLATION and error.diag.constraint_name is None:
        # Said where a partition of the table is missing, too.
        return False
    return state[:2] in _RECORDS_FAULTS


def _words(error: psycopg.Error) -> str:
    """The server's own sentence, or what the client saw."""
    return error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
