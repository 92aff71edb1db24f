"""A primary dies and its standby is promoted, with and without a pooler in front: each record is there, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import EngineOptions, Pipeline
from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.exporting.postgres import postgres
from engine.exporting.retry import RetryPolicy
from tests.support.pipelines import ListSource
from tests.support.targets.pooler import MISSING as NO_POOLER
from tests.support.targets.pooler import pooler
from tests.support.targets.postgres_server import MISSING, PostgresServer, postgres_server
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(120),
]
RECORDS = 3000
FOREVER = EngineOptions(run_forever=True, export_batch_records=20)
RETRY = RetryPolicy(first_ns=20 * NS_PER_MS, longest_ns=200 * NS_PER_MS)


class Pair:
    """A primary and a standby that streams from it and is waited for by each commit."""

    def __init__(self, primary: PostgresServer, standby: PostgresServer) -> None:
        self.primary = primary
        self.standby = standby
        # What the primary has acknowledged, the standby has: as an operator sets it who wants to lose nothing.
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("SELECT pg_reload_conf()")
        assert wait_until(
            lambda: primary.query("SELECT sync_state FROM pg_stat_replication") in ([("sync",)], [("quorum",)]), 20
        )

    def fail_over(self) -> None:
        self.primary.stop()
        self.standby.promote()


@pytest.fixture
def pair() -> Iterator[Pair]:
    with postgres_server() as primary, postgres_server(standby_of=primary) as standby:
        yield Pair(primary, standby)


def exported(server: PostgresServer, table: str) -> list[int]:
    return [row[0] for row in server.query(f"SELECT (value->>'n')::int FROM {table} ORDER BY 1")]


def run_through(pair: Pair, urls: dict[str, str], folder: Path, failed_over: Callable[[], None]) -> None:
    """Exports to a table by the name of each url, and lets the primary die in the middle of it."""
    pipeline = Pipeline("p").source("n", ListSource([{"n": n} for n in range(RECORDS)]))
    for table, url in urls.items():
        pipeline.export(
            table,
            postgres(url, table, timeout_ns=5 * NS_PER_SECOND),
            retry=RETRY,
            max_records_per_second=1500,
        )
    with pipeline.run(folder, options=FOREVER) as engine:
        exporters = engine.snapshot().partitions[0].exporters
        assert {exporter.exporter for exporter in exporters} == set(urls)
        assert wait_until(lambda: all(e.exported_records > 200 for e in engine.snapshot().partitions[0].exporters), 30)
        pair.fail_over()
        failed_over()
        assert wait_until(lambda: all(len(exported(pair.standby, table)) == RECORDS for table in urls), 60), [
            exporter.last_error for exporter in engine.snapshot().partitions[0].exporters
        ]
        assert engine.snapshot().rejects == ()
        # One that was between two batches may find its pooler turned already.
        assert any(exporter.errors > 0 for exporter in engine.snapshot().partitions[0].exporters)
    for table in urls:
        assert exported(pair.standby, table) == [*range(RECORDS)]


def test_the_new_primary_is_found_among_two_hosts(pair: Pair, tmp_path: Path) -> None:
    hosts = f"{pair.primary.folder},{pair.standby.folder}"
    url = f"postgresql:///postgres?host={hosts}&user=penstock&target_session_attrs=read-write"
    run_through(pair, {"direct": url}, tmp_path, lambda: None)


@pytest.mark.skipif(NO_POOLER is not None, reason=str(NO_POOLER))
def test_a_pooler_that_is_turned_to_the_new_primary_brings_two_exporters_there(pair: Pair, tmp_path: Path) -> None:
    with pooler(pair.primary) as pgbouncer:
        urls = {"one": pgbouncer.url, "two": pgbouncer.url}
        run_through(pair, urls, tmp_path, lambda: pgbouncer.turn_to(pair.standby))
