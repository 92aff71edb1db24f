"""Connections that are closed beside their readers: what SQLite itself would take as an attack on its memory."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from engine.log.rows.connections import Connections
from engine.log.storage import StorageError
from tests.support.waiting import WAIT_SECONDS


@pytest.fixture
def connections(tmp_path: Path) -> Connections:
    made = Connections(tmp_path / "1.db")
    made.writer.execute("CREATE TABLE t (n INTEGER)")
    return made


def test_a_reader_reads_and_does_not_write(connections: Connections) -> None:
    with connections.reader as db:
        assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("INSERT INTO t VALUES (1)")
    connections.close()


def test_each_thread_has_a_reader_of_its_own(connections: Connections) -> None:
    others = []
    thread = threading.Thread(target=lambda: others.append(connections.reader))
    thread.start()
    thread.join(WAIT_SECONDS)
    assert others[0] is not connections.reader
    connections.close()


def test_closing_waits_for_who_reads(connections: Connections) -> None:
    closing = threading.Thread(target=connections.close)
    with connections.reader as db:
        rows = db.execute("SELECT 1 UNION SELECT 2")
        closing.start()
        # It may or may not have come to this reader yet; the rows are there in either case.
        assert rows.fetchall() == [(1,), (2,)]
        assert closing.is_alive()
    closing.join(WAIT_SECONDS)
    assert not closing.is_alive()


def test_who_comes_after_the_end_is_refused(connections: Connections) -> None:
    reader = connections.reader
    connections.close()
    with pytest.raises(StorageError, match="closed"):
        connections.writer  # noqa: B018
    with pytest.raises(StorageError, match="closed"), reader:
        pytest.fail("it was let in")
    # So is a thread that never read before.
    refused = []

    def read() -> None:
        try:
            connections.reader  # noqa: B018
        except StorageError as error:
            refused.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join(WAIT_SECONDS)
    assert refused == ["the log is closed"]
