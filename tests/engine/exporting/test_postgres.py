"""Rows of a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import ConfigurationError, RefusedRecordsError, TargetError
from engine.exporting.postgres import postgres
from engine.exporting.postgres_rows import Postgres
from tests.support.records import context, record, records
from tests.support.targets.postgres_server import MISSING, PostgresServer, postgres_server
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def table(server: PostgresServer) -> Iterator[str]:
    yield "penstock_records"
    server.execute("DROP TABLE IF EXISTS penstock_records")


def opened(server: PostgresServer, partition: int = 1, *, timeout_ns: int = 5 * NS_PER_SECOND) -> Postgres:
    exporter = postgres(server.url, timeout_ns=timeout_ns)()
    exporter.open(context(partition))
    return exporter


def positions(server: PostgresServer, partition: int = 1) -> list[int]:
    found = server.query(f"SELECT position FROM penstock_records WHERE partition = {partition} ORDER BY position")
    return [position for (position,) in found]


def test_a_row_holds_the_whole_record(server: PostgresServer, table: str) -> None:
    exporter = opened(server, 2)
    exporter.export([record(7, {"delay": 3, "of": "Zürich\t\\n"}), record(8, b"\xff")])
    exporter.close()
    rows = server.query("SELECT * FROM penstock_records ORDER BY position")
    written = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert rows == [
        (2, 7, written, "event", "departure", "departed", "JFK", {"delay": 3, "of": "Zürich\t\\n"}, 6),
        (2, 8, written, "event", "departure", "departed", "JFK", {"base64": "/w=="}, 7),
    ]


def test_the_same_records_again_do_no_harm(server: PostgresServer, table: str) -> None:
    exporter = opened(server)
    exporter.export(records(1, 5))
    before = server.query("SELECT xmin::text FROM penstock_records ORDER BY position")
    exporter.export(records(3, 8))
    exporter.close()
    assert positions(server) == list(range(1, 9))
    # Rows that say the same are not even written again.
    assert server.query("SELECT xmin::text FROM penstock_records WHERE position <= 5 ORDER BY position") == before


def test_a_row_of_an_earlier_life_is_replaced(server: PostgresServer, table: str) -> None:
    exporter = opened(server)
    exporter.export([record(1, {"old": True})])
    exporter.export([record(1, {"old": False})])
    exporter.close()
    assert server.query("SELECT value FROM penstock_records") == [({"old": False},)]


def test_partitions_open_together_and_write_side_by_side(server: PostgresServer, table: str) -> None:
    exporters = [opened(server, partition) for partition in (1, 2, 3)]
    for partition, exporter in enumerate(exporters, 1):
        exporter.export(records(1, partition))
        exporter.close()
    assert [positions(server, partition) for partition in (1, 2, 3)] == [[1], [1, 2], [1, 2, 3]]


def test_records_whose_content_is_refused_are_found_and_the_others_stored(server: PostgresServer, table: str) -> None:
    exporter = opened(server)
    batch = records(1, 50)
    batch[12] = record(13, {"text": "a\0b"})
    batch[40] = record(41, key="nul\0")
    with pytest.raises(RefusedRecordsError) as raised:
        exporter.export(batch)
    assert list(raised.value.reasons) == [13, 41]
    assert "Unicode" in raised.value.reasons[13]
    assert "NUL" in raised.value.reasons[41]
    assert positions(server) == [p for p in range(1, 51) if p not in (13, 41)]
    exporter.export(records(51, 52))
    exporter.close()


def test_a_rule_of_the_users_own_table_refuses_records_too(server: PostgresServer, table: str) -> None:
    opened(server).close()
    server.execute("ALTER TABLE penstock_records ADD CHECK (position <> 3)")
    exporter = opened(server)
    with pytest.raises(RefusedRecordsError, match=r"position 3 is refused: .*violates check constraint"):
        exporter.export(records(1, 5))
    exporter.close()
    assert positions(server) == [1, 2, 4, 5]


def test_a_table_in_a_schema_is_found(server: PostgresServer) -> None:
    server.execute("CREATE SCHEMA other")
    exporter = postgres(server.url, "other.delays")()
    exporter.open(context())
    exporter.export(records(1, 2))
    exporter.close()
    assert server.query("SELECT count(*) FROM other.delays") == [(2,)]


def test_a_server_that_went_down_is_found_again(server: PostgresServer, table: str) -> None:
    exporter = opened(server)
    exporter.export(records(1, 3))
    server.stop()
    with pytest.raises(TargetError, match="PostgreSQL: "):
        exporter.export(records(4, 6))
    with pytest.raises(TargetError, match=r"PostgreSQL: connection .*failed"):
        exporter.export(records(4, 6))
    server.start()
    exporter.export(records(4, 6))
    exporter.close()
    assert positions(server) == [1, 2, 3, 4, 5, 6]


def test_a_server_that_hangs_is_given_up_in_time(server: PostgresServer, table: str) -> None:
    def exported(position: int) -> bool:
        try:
            exporter.export(records(position, position))
        except TargetError:
            # So little time may be too little for a server that is only busy.
            return False
        return True

    exporter = opened(server, timeout_ns=2 * NS_PER_SECOND)
    assert wait_until(lambda: exported(1))
    server.hang()
    try:
        with pytest.raises(TargetError, match="PostgreSQL: "):
            exporter.export(records(2, 2))
    finally:
        server.go_on()
    assert wait_until(lambda: exported(2))
    exporter.close()
    assert positions(server) == [1, 2]


def test_a_database_that_is_not_there_is_one_sentence_without_the_password() -> None:
    exporter = postgres("postgresql://me:secret@127.0.0.1:1/there")()
    with pytest.raises(TargetError) as raised:
        exporter.open(context())
    exporter.close()
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("table", ["", "Delays", "a.b.c", 'x"; DROP TABLE y', "a b"])
def test_a_name_that_is_none_is_said_before_anything_runs(table: str) -> None:
    with pytest.raises(ConfigurationError, match="a table is named"):
        postgres("postgresql://localhost", table)


def test_a_url_that_is_none_is_said_before_anything_runs() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read") as raised:
        postgres("postgresql://me:se:cret@[there")
    assert "se:cret" not in str(raised.value)
