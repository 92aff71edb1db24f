"""`POST /v1/records`: what it takes, and every way in which it says no."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import EngineOptions, Pipeline, Place, WriteFailedError, WrongRecordError
from engine.core.clock import NS_PER_MS
from engine.core.snapshot import Outcome
from engine.flow.gate import Refusal
from exporter.web_config import Access, Right, WebConfig
from tests.support import web_config
from tests.support.certificates import authority, signed
from tests.support.gateway import JSON, LINES, FakeIntake, OpenGateway, open_gateway
from tests.support.pipelines import CollectingExporter
from tests.support.waiting import wait_until


@pytest.fixture
def engine() -> FakeIntake:
    return FakeIntake()


@pytest.fixture
def gateway(engine: FakeIntake) -> Iterator[OpenGateway]:
    with open_gateway(engine, body_bytes_max=1000, bodies_bytes_max=4000, records_max=20) as gateway:
        yield gateway


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == answer.status_code
    assert document["title"]
    return document


def test_records_go_through_a_real_engine_and_come_out_of_its_exporter(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = Pipeline("p", partitions=2).key_by("k").export("all", exporter.factory)
    with pipeline.run(tmp_path, options=EngineOptions(run_forever=True)) as engine, open_gateway(engine) as gateway:
        one = gateway.post(b'{"k": "a", "n": 1}')
        many = gateway.post(b'{"k": "a", "n": 2}\n{"k": "b", "n": 3}\n', LINES)
        assert (one.status_code, many.status_code) == (200, 200)
        places = [*one.json()["positions"], *many.json()["positions"]]
        assert wait_until(lambda: len(exporter.values("record")) == 3)
        found = {(number, r.position): r.value["n"] for number, rs in exporter.records.items() for r in rs if r.key}
        assert [found[place["partition"], place["position"]] for place in places] == [1, 2, 3]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'[{"a": 1}, {"a": 2}]', JSON),
        (b' \n [{"a": 1}, {"a": 2}]', {"content-type": "application/json; charset=UTF-8"}),
        (b'{"a": 1}\n{"a": 2}', LINES),
        (b'{"a": 1}\n\n{"a": 2}\n', {"content-type": "application/ndjson"}),
        (b'{"a": 1}\r\n{"a": 2}\r\n', {"content-type": "Application/X-NDJSON;charset=utf-8"}),
    ],
)
def test_each_form_of_body_is_understood(
    engine: FakeIntake, gateway: OpenGateway, body: bytes, headers: dict[str, str]
) -> None:
    answer = gateway.post(body, headers)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.json() == {"positions": [{"partition": 1, "position": 1}, {"partition": 1, "position": 2}]}
    assert engine.values == [{"a": 1}, {"a": 2}]


def test_a_partition_may_be_named(engine: FakeIntake, gateway: OpenGateway) -> None:
    assert gateway.post(b"{}", path="/v1/records?partition=3").json()["positions"][0]["partition"] == 3
    assert engine.partitions == [3]


@pytest.mark.parametrize("query", ["partition=", "partition=x", "partition=-1", "partition=1&partition=2", "part=1"])
def test_a_query_that_makes_no_sense_is_400(engine: FakeIntake, gateway: OpenGateway, query: str) -> None:
    assert problem(gateway.post(b"{}", path=f"/v1/records?{query}"))["status"] == 400
    assert engine.values == []


@pytest.mark.parametrize(
    ("refusal", "seconds", "said"),
    [
        (
            Refusal(
                outcome=Outcome.WRITE_RATE_LIMIT_EXHAUSTED,
                partition=2,
                records=5,
                limit=100.0,
                retry_after_ns=2001 * NS_PER_MS,
            ),
            "3",
            {"reason": "write_rate_limit_exhausted", "partition": 2, "limit": 100.0, "retryAfterMs": 2001},
        ),
        (
            Refusal(
                outcome=Outcome.REQUEST_LIMIT_EXHAUSTED, partition=1, records=1, limit=20, retry_after_ns=NS_PER_MS // 2
            ),
            "1",
            {"reason": "request_limit_exhausted", "partition": 1, "limit": 20, "retryAfterMs": 1},
        ),
    ],
)
def test_a_refusal_says_which_limit_of_which_partition_and_when_to_come_back(
    engine: FakeIntake, gateway: OpenGateway, refusal: Refusal, seconds: str, said: dict[str, Any]
) -> None:
    engine.answer = lambda _: refusal
    answer = gateway.post(b"{}")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, seconds)
    document = problem(answer)
    assert {key: document[key] for key in said} == said
    assert document["detail"] == refusal.text


@pytest.mark.parametrize(("passing", "status"), [(True, 503), (False, 507)])
def test_a_write_that_failed_half_way_lists_what_was_written(
    engine: FakeIntake, gateway: OpenGateway, passing: bool, status: int
) -> None:
    def fail(_: object) -> None:
        raise WriteFailedError("no more", passing=passing, written={2: Place(1, 8), 0: Place(1, 7)})

    engine.answer = fail
    answer = gateway.post(b"[{}, {}, {}]")
    assert answer.status_code == status
    assert int(answer.headers["retry-after"]) > 0
    assert problem(answer)["detail"] == "no more"
    assert answer.json()["written"] == [
        {"record": 1, "partition": 1, "position": 7},
        {"record": 3, "partition": 1, "position": 8},
    ]


def test_what_no_log_takes_at_once_is_too_large_and_not_asked_for_again(
    engine: FakeIntake, gateway: OpenGateway
) -> None:
    def fail(_: object) -> None:
        raise WriteFailedError("a unit is larger than Kafka takes", passing=False, too_large=True)

    engine.answer = fail
    answer = gateway.post(b"[{}]")
    assert answer.status_code == 413
    assert "retry-after" not in answer.headers


def test_a_record_that_cannot_be_one_is_named_by_its_line(engine: FakeIntake, gateway: OpenGateway) -> None:
    def refuse(_: object) -> None:
        raise WrongRecordError(1, "has no key: KeyError: 'k'")

    engine.answer = refuse
    answer = gateway.post(b'{"k": 1}\n\n{"n": 1}\n', LINES)
    assert (answer.status_code, problem(answer)["line"]) == (400, 3)
    assert answer.json()["detail"] == "line 3: record 2 has no key: KeyError: 'k'"


@pytest.mark.parametrize(("body", "headers"), [(b"[]", JSON), (b"", LINES), (b"\n\n", LINES)])
def test_a_body_without_records_is_400(gateway: OpenGateway, body: bytes, headers: dict[str, str]) -> None:
    assert problem(gateway.post(body, headers))["detail"] == "line 1: the body holds no record"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=latin-1"},
        {**JSON, "content-encoding": "gzip"},
    ],
)
def test_other_kinds_of_bodies_are_415(engine: FakeIntake, gateway: OpenGateway, headers: dict[str, str]) -> None:
    assert problem(gateway.post(b"{}", headers))["status"] == 415
    assert engine.values == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"a": "' + b"x" * 1000 + b'"}', JSON),
        (b"{}\n" * 21, LINES),
        (b"[" + b"{}, " * 20 + b"{}]", JSON),
        (b"\n" * 200 + b"{}", LINES),
    ],
)
def test_a_body_that_is_too_large_or_holds_too_many_is_413(
    engine: FakeIntake, gateway: OpenGateway, body: bytes, headers: dict[str, str]
) -> None:
    assert problem(gateway.post(body, headers))["status"] == 413
    assert engine.values == []


def test_other_paths_and_methods_are_404_and_405(gateway: OpenGateway) -> None:
    assert "records go to /v1/records" in problem(gateway.client.get("/"))["detail"]
    answer = gateway.client.get("/v1/records")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_page_may_not_write(engine: FakeIntake, gateway: OpenGateway) -> None:
    assert problem(gateway.post(b"{}", {**JSON, "origin": "http://evil.example"}))["status"] == 403
    assert engine.values == []


def test_a_fault_of_our_own_is_500_without_its_trace(
    engine: FakeIntake, gateway: OpenGateway, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a secret")

    engine.answer = fail
    with caplog.at_level(logging.CRITICAL, "penstock.gateway"):
        answer = gateway.post(b"{}")
    assert problem(answer)["status"] == 500
    assert "secret" not in answer.text
    engine.answer = lambda _: None
    assert gateway.post(b"{}").status_code == 200


def test_the_context_path_is_in_front_of_the_gateways_paths(engine: FakeIntake) -> None:
    with open_gateway(engine, context_path="/in/gate") as gateway:
        assert gateway.post(b"{}").status_code == 200
        assert gateway.server.url.endswith("/in/gate")
        bare = httpx.post(gateway.server.url.removesuffix("/in/gate") + "/v1/records", content=b"{}", headers=JSON)
        assert bare.status_code == 404
        assert "records go to /in/gate/v1/records" in bare.json()["detail"]


def test_users_of_the_web_config_who_may_change_may_write(engine: FakeIntake, tmp_path: Path) -> None:
    access = Access(WebConfig(web_config.with_users(tmp_path, "alice", "bob")), {"alice": Right.CHANGE})
    with open_gateway(engine, access=access) as gateway:
        stranger = gateway.post(b"{}")
        assert (stranger.status_code, problem(stranger)["title"]) == (401, "Unauthorized")
        assert stranger.headers["www-authenticate"].startswith("Basic")
        guess = {**JSON, "authorization": web_config.basic("alice", "wrong")}
        assert gateway.post(b"{}", guess).status_code == 401
        reader = {**JSON, "authorization": web_config.basic("bob", "bob's word")}
        assert problem(gateway.post(b"{}", reader))["detail"] == "bob may read and not write"
        assert engine.values == []
        writer = {**JSON, "authorization": web_config.basic("alice", "alice's word")}
        assert [gateway.post(b"{}", writer).status_code for _ in range(2)] == [200, 200]


@pytest.mark.real
def test_tls_of_the_web_config_holds_here_too(engine: FakeIntake, tmp_path: Path) -> None:
    ours = authority(tmp_path, "ours")
    certificate = signed(tmp_path, "server", ours)
    text = f"tls_server_config: {{cert_file: {certificate.cert}, key_file: {certificate.key}}}\n"
    access = Access(WebConfig(web_config.write(tmp_path / "web.yml", text)))
    with open_gateway(engine, access=access) as gateway:
        assert gateway.server.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=str(ours.cert))
        answer = httpx.post(f"{gateway.server.url}/v1/records", content=b"{}", headers=JSON, verify=trusted)
        assert answer.status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.post(f"http://127.0.0.1:{gateway.server.port}/v1/records", content=b"{}", headers=JSON)
