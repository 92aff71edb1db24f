"""Targets that misbehave under load: it is seen in log, API and metrics, and afterwards nothing is missing."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import Engine, EngineOptions, FlowControlSettings, Pipeline, ThrottlingSettings, WriteLimitSettings
from engine.core.clock import NS_PER_MS
from engine.exporting.elasticsearch import elasticsearch
from engine.exporting.http import http
from engine.exporting.postgres import postgres
from engine.exporting.protocol import ExporterFactory
from engine.exporting.retry import RetryPolicy
from exporter.management import ManagementServer
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.targets.http_target import BulkTarget, LineTarget, Posted, Reply, bulk_target, line_target
from tests.support.targets.postgres_server import MISSING, PostgresServer, postgres_server
from tests.support.waiting import WAIT_SECONDS, wait_until

RECORDS = 4000
FAST = RetryPolicy(first_ns=5 * NS_PER_MS, longest_ns=50 * NS_PER_MS)
TIMEOUT_NS = 300 * NS_PER_MS
LIMITED = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=4000))
THROTTLING = ThrottlingSettings(
    enabled=True,
    acceptable_backlog=500,
    minimum_limit=10,
    resolution_ns=20 * NS_PER_MS,
    measurement_window_ns=500 * NS_PER_MS,
    measurement_resolution_ns=50 * NS_PER_MS,
)
with_postgres = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@dataclass
class Running:
    """A pipeline under load with its management port: what an operator sees of one exporter."""

    engine: Engine
    url: str
    other: CollectingExporter
    log: pytest.LogCaptureFixture
    _seen: list[dict[str, Any]] = field(default_factory=list)

    def api(self) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/exporters", timeout=20).json()
        found: dict[str, Any] = next(e for e in answer["exporters"] if e["exporter"] == "outside")
        return found

    def metric(self, name: str, **labels: str) -> float:
        wanted = labels if "task" in labels else {"exporter": "outside", **labels}
        for line in httpx.get(f"{self.url}/metrics", timeout=20).text.splitlines():
            if line.startswith(name + "{") and all(f'{key}="{value}"' in line for key, value in wanted.items()):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"{name} {wanted} is not told")

    def fails_visibly(self, said: str) -> None:
        """Waits until the failure is seen everywhere."""
        assert wait_until(lambda: said in (self.api()["partitions"][0]["lastError"] or ""))
        assert wait_until(lambda: self.metric("penstock_exporter_errors_total") >= 2)
        assert wait_until(lambda: self.api()["state"] == "retrying")
        assert wait_until(lambda: self.metric("penstock_exporter_state", state="retrying") == 1)
        assert wait_until(lambda: self.api()["backlog"] > 0)
        assert wait_until(lambda: self.metric("penstock_exporter_backlog_records") > 0)
        assert any("exporter outside" in line and "fails at position" in line for line in self.lines())

    def recovers(self) -> None:
        """The run goes to its end; both exporters have everything."""
        assert self.engine.wait(WAIT_SECONDS)
        assert self.api()["backlog"] == 0
        assert sorted(value["n"] for value in self.other.values("record")) == list(range(RECORDS))
        failures = sum("fails at position" in line for line in self.lines())
        assert sum("works again" in line for line in self.lines()) == failures

    def lines(self) -> list[str]:
        return [r.getMessage() for r in self.log.records if r.name in ("penstock.exporting", "penstock.rejects")]


@contextmanager
def running(factory: ExporterFactory, folder: Path, log: pytest.LogCaptureFixture, **options: Any) -> Iterator[Running]:
    other = CollectingExporter()
    pipeline = (
        Pipeline("faults")
        .source("numbers", ListSource([{"n": n} for n in range(RECORDS)], batch=100))
        .export("outside", factory, retry=FAST, **options)
        .export("other", other.factory)
    )
    engine = pipeline.run(folder / "data", flow_control=LIMITED, options=EngineOptions(export_batch_records=200))
    with log.at_level(logging.INFO, "penstock"), engine, ManagementServer(engine, port=0) as server:
        yield Running(engine, server.url, other, log)


@pytest.fixture
def lines() -> Iterator[LineTarget]:
    with line_target() as target:
        yield target


@pytest.fixture
def bulk() -> Iterator[BulkTarget]:
    with bulk_target() as target:
        yield target


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@contextmanager
def nobody() -> Iterator[str]:
    """An address at which nobody listens, and that nobody else can have meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def numbers(lines: list[dict[str, Any]]) -> list[int]:
    return [line["value"]["n"] for line in lines if line["valueType"] == "record"]


def in_order_and_whole(target: LineTarget) -> bool:
    """Every record at least once, the first time in order."""
    return list(dict.fromkeys(numbers(target.lines))) == list(range(RECORDS))


FAULTS: dict[str, tuple[Callable[[LineTarget], Callable[[Posted], Reply | None]], str]] = {
    "answering 500": (lambda _: lambda posted: Reply(500, b"broken"), "answers 500: broken"),
    "answering 429": (lambda _: lambda posted: Reply(429, headers={"retry-after": "0"}), "answers 429"),
    "hanging": (lambda target: lambda posted: Reply(200, hold=target.hold), "does not answer in time"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_target_that_misbehaves_for_a_while(
    fault: str, lines: LineTarget, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    behave, said = FAULTS[fault]
    with running(http(lines.url, timeout_ns=TIMEOUT_NS), tmp_path, caplog) as seen:
        assert wait_until(lambda: len(lines.lines) > 300)
        lines.behave = behave(lines)
        seen.fails_visibly(said)
        lines.behave = lambda _: None
        seen.recovers()
    assert in_order_and_whole(lines)


@pytest.mark.parametrize("target", ["lines", "bulk"])
def test_a_target_that_is_down_and_comes_back(
    target: str, request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server: LineTarget | BulkTarget = request.getfixturevalue(target)
    factory = http(server.url) if isinstance(server, LineTarget) else elasticsearch(server.url, "all")
    with running(factory, tmp_path, caplog) as seen:
        assert wait_until(lambda: len(server.posted) > 2)
        server.stop()
        seen.fails_visibly("cannot be reached")
        server.start()
        seen.recovers()
    if isinstance(server, LineTarget):
        assert in_order_and_whole(server)
    else:
        assert sorted(numbers(list(server.documents.values()))) == list(range(RECORDS))


def test_a_target_that_is_only_slow_is_no_failure_and_its_backlog_is_seen(
    lines: LineTarget, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def slow(_: Posted) -> Reply | None:
        lines.hold.wait(0.1)
        return None

    with running(http(lines.url), tmp_path, caplog) as seen:
        lines.behave = slow
        assert wait_until(lambda: seen.api()["backlog"] > 500)
        assert seen.api()["state"] == "exporting"
        assert seen.api()["oldestUnexportedAgeSeconds"] > 0
        assert seen.metric("penstock_exporter_errors_total") == 0
        lines.hold.set()
        seen.recovers()
    assert numbers(lines.lines) == list(range(RECORDS))


def test_half_accepted_bulks_lose_nothing(bulk: BulkTarget, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    turn = iter(range(10**9))
    with running(elasticsearch(bulk.url, "all"), tmp_path, caplog) as seen:
        assert wait_until(lambda: len(bulk.documents) > 300)
        bulk.judge = lambda _: (429, "queue is full") if next(turn) % 2 else None
        seen.fails_visibly("too busy for all documents: 429")
        bulk.judge = lambda _: None
        seen.recovers()
    assert sorted(numbers(list(bulk.documents.values()))) == list(range(RECORDS))


def test_a_poisonous_record_is_kept_aside_and_the_rest_goes_on(
    bulk: BulkTarget, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bulk.judge = lambda document: (400, "n is unlucky") if document["value"] == {"n": 1313} else None
    with running(elasticsearch(bulk.url, "all"), tmp_path, caplog, attempts=2) as seen:
        seen.recovers()
        assert seen.metric("penstock_rejected_records_total", task="outside", reason="error") == 1
    assert sorted(numbers(list(bulk.documents.values()))) == [n for n in range(RECORDS) if n != 1313]
    (kept,) = (tmp_path / "data/rejects/outside.ndjson").read_text().splitlines()
    assert json.loads(kept)["value"] == {"n": 1313}
    assert any("400 stub_exception: n is unlucky" in line for line in seen.lines())


def test_a_wrong_address_from_the_start_throttles_and_does_not_fill_the_disk(
    lines: LineTarget, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines.stop()
    settings = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=5000, throttling=THROTTLING))
    pipeline = Pipeline("wrong").source("n", ListSource(range(10**9), batch=100))
    pipeline.export("outside", http(f"{lines.url}/nowhere"), retry=FAST)
    with pipeline.run(tmp_path / "data", flow_control=settings) as engine, ManagementServer(engine, port=0) as server:
        seen = Running(engine, server.url, CollectingExporter(), caplog)
        assert wait_until(lambda: engine.snapshot().partitions[0].flow.write_limit_per_second == 10)
        assert wait_until(lambda: seen.api()["state"] == "retrying")
        assert seen.api()["partitions"][0]["acknowledgedPosition"] == 0
        assert "cannot be reached" in seen.api()["partitions"][0]["lastError"]
        # A second of burst and a batch beyond what is acceptable, and then the minimum.
        assert seen.api()["backlog"] < 500 + 5000 + 1000
        # The address is put right, in words: the target comes to life there.
        lines.start()
        assert wait_until(lambda: engine.snapshot().partitions[0].flow.write_limit_per_second == 5000)
        engine.stop(drain=False)


@pytest.mark.parametrize("kind", ["http", "elasticsearch"])
def test_after_a_wrong_address_the_right_one_gets_everything(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    target: LineTarget | BulkTarget = request.getfixturevalue("lines" if kind == "http" else "bulk")
    throttled = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=4000, throttling=THROTTLING))

    def pipeline(url: str) -> Pipeline:
        factory = http(url) if kind == "http" else elasticsearch(url, "all")
        source = ListSource([{"n": n} for n in range(RECORDS)], batch=100)
        return Pipeline("wrong").source("numbers", source).export("outside", factory, retry=FAST)

    with nobody() as wrong, pipeline(wrong).run(tmp_path / "data", flow_control=throttled) as engine:
        # Whether or not the source is through by then, the backlog stays above what is acceptable.
        assert wait_until(lambda: engine.snapshot().partitions[0].flow.write_limit_per_second == 10)
        assert engine.snapshot().partitions[0].exporters[0].acknowledged_position == 0
        engine.stop(drain=False)
    assert target.posted == []
    with pipeline(target.url).run(tmp_path / "data") as engine:
        assert engine.wait(WAIT_SECONDS)
        assert engine.snapshot().partitions[0].backlog_records == 0
    if isinstance(target, LineTarget):
        assert numbers(target.lines) == list(range(RECORDS))
    else:
        assert sorted(numbers(list(target.documents.values()))) == list(range(RECORDS))


@pytest.mark.real
@with_postgres
@pytest.mark.parametrize("fault", ["stopped", "hanging"])
def test_postgresql_stops_or_hangs_and_comes_back(
    fault: str, database: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = f"faults_{fault}"
    with running(postgres(database.url, table, timeout_ns=TIMEOUT_NS), tmp_path, caplog) as seen:
        assert wait_until(lambda: seen.api()["partitions"][0]["exportedRecords"] > 300)
        if fault == "stopped":
            database.stop()
        else:
            database.hang()
        seen.fails_visibly("PostgreSQL: ")
        if fault == "stopped":
            database.start()
        else:
            database.go_on()
        seen.recovers()
    rows = database.query(f"SELECT (value->>'n')::int FROM {table} WHERE value_type = 'record' ORDER BY position")
    assert [n for (n,) in rows] == list(range(RECORDS))
