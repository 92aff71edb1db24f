"""What the gateway counts, and that the engine's snapshot and its metrics tell it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine import EngineOptions, ManualClock, Pipeline, Place, Refusal
from engine.core.clock import NS_PER_MS
from engine.core.errors import WriteFailedError
from engine.core.snapshot import Outcome
from exporter.catalogue import GATEWAY_CODES
from exporter.gateway.answers import Answer, failed, problem
from exporter.gateway.server import GatewayServer
from exporter.gateway.settings import GatewaySettings
from exporter.gateway.tally import Tally
from exporter.prometheus.exposition import Exposer
from tests.support.gateway import LINES, PATH, FakeIntake, everything, head, open_gateway
from tests.support.waiting import wait_until

SOURCES = Path(__file__).parents[3] / "exporter/gateway"
REFUSAL = Refusal(
    outcome=Outcome.WRITE_RATE_LIMIT_EXHAUSTED, partition=1, records=1, limit=10.0, retry_after_ns=NS_PER_MS
)
MEMORY = EngineOptions(storage="memory", run_forever=True)


def counted(requests: Mapping[int, int]) -> dict[int, int]:
    return {code: count for code, count in requests.items() if count}


def test_a_fresh_gateway_has_every_code_at_zero_and_no_time() -> None:
    seen = Tally(ManualClock()).snapshot(connections=3)
    assert dict(seen.requests) == dict.fromkeys(GATEWAY_CODES, 0)
    assert (seen.records, seen.received_bytes, seen.connections) == (0, 0, 3)
    assert sum(seen.duration.counts) == 0


def test_answers_records_bytes_and_times_are_counted() -> None:
    clock = ManualClock()
    tally = Tally(clock)
    began_ns = tally.now_ns()
    tally.received(700)
    clock.advance(0.02)
    tally.answered(Answer(200, b"", (), records=7), began_ns)
    tally.answered(problem(503, "too many connections"))
    seen = tally.snapshot(connections=0)
    assert counted(seen.requests) == {200: 1, 503: 1}
    assert (seen.records, seen.received_bytes) == (7, 700)
    assert dict(zip(seen.duration.bounds, seen.duration.counts, strict=False))[0.025] == 1
    assert seen.duration.sum == pytest.approx(0.02)


def test_of_a_request_that_failed_half_way_the_written_records_count() -> None:
    error = WriteFailedError("no room", passing=False, written={1: Place(1, 17), 4: Place(1, 18)})
    assert (failed(error).status, failed(error).records) == (507, 2)


def test_every_status_that_the_gateway_can_answer_has_a_code() -> None:
    written = {
        int(found)
        for name in ("answers", "app", "body", "connection")
        for found in re.findall(r"\(\s*([2-5]\d\d), ", (SOURCES / f"{name}.py").read_text())
    }
    assert {404, 413, 503} < written <= set(GATEWAY_CODES)


def test_what_comes_over_the_wire_is_counted_whatever_becomes_of_it() -> None:
    engine = FakeIntake()
    with open_gateway(engine, body_bytes_max=1000) as gateway:
        assert engine.gateway is not None
        gateway.post(b'{"a": 1}\n{"a": 2}\n', LINES)
        gateway.post(b"{")
        gateway.post(b"x" * 2000)
        gateway.post(b"{}", path="/nowhere")
        engine.answer = lambda _: REFUSAL
        gateway.post(b"{}")
        with gateway.connected() as connection:
            connection.sendall(b"no http at all\r\n\r\n")
            assert everything(connection).startswith(b"HTTP/1.1 400 ")
        seen = engine.gateway()
        assert counted(seen.requests) == {200: 1, 400: 2, 404: 1, 413: 1, 429: 1}
        assert seen.records == 2
        assert seen.received_bytes == len(b'{"a": 1}\n{"a": 2}\n') + len(b"{") + len(b"{}")
        # What never was a whole request has no time.
        assert sum(seen.duration.counts) == 5
        # The client keeps its one; the others are gone as soon as the server has seen it.
        assert wait_until(lambda: engine.gateway is not None and engine.gateway().connections == 1)
    assert engine.gateway().connections == 0
    assert counted(engine.gateway().requests) == counted(seen.requests)


def test_who_is_cut_off_counts_and_has_no_time() -> None:
    engine = FakeIntake()
    with open_gateway(engine, request_timeout_ns=100 * NS_PER_MS) as gateway, gateway.connected() as connection:
        connection.sendall(head(content_length=10))
        assert everything(connection).startswith(b"HTTP/1.1 408 ")
        seen = gateway.server.snapshot()
        assert seen.requests[408] == 1
        assert sum(seen.duration.counts) == 0


def test_a_scrape_tells_of_the_gateway_from_the_moment_it_opens(tmp_path: Path) -> None:
    def told() -> dict[str, float]:
        lines = exposer.expose(accept="text/plain", accept_encoding="").body.decode().splitlines()
        found = [line.rpartition(" ") for line in lines if line.startswith("penstock_gateway_")]
        return {name: float(value) for name, _, value in found}

    with Pipeline("p").run(tmp_path, options=MEMORY) as engine:
        exposer = Exposer(engine)
        assert told() == {}
        with open_gateway(engine) as gateway:
            assert told()['penstock_gateway_requests_total{code="429",pipeline="p"}'] == 0
            assert gateway.client.post(PATH, json=[{"n": 1}, {"n": 2}]).status_code == 200
            seen = told()
            assert seen['penstock_gateway_requests_total{code="200",pipeline="p"}'] == 1
            assert seen['penstock_gateway_records_total{pipeline="p"}'] == 2
            assert seen['penstock_gateway_request_duration_seconds_count{pipeline="p"}'] == 1
            assert seen['penstock_gateway_connections{pipeline="p"}'] == 1
        # What was counted does not vanish with the port.
        assert told()['penstock_gateway_records_total{pipeline="p"}'] == 2
        engine.stop()


def test_a_gateway_that_cannot_open_is_not_told_of() -> None:
    engine, other = FakeIntake(), FakeIntake()
    with open_gateway(engine) as gateway, pytest.raises(Exception, match="in use"):
        GatewayServer(other, GatewaySettings(port=gateway.server.port)).start()
    assert other.gateway is None
