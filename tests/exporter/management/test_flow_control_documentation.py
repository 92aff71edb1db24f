"""The table of `docs/flow-control.md` holds, through a real engine of two partitions, in one process and over two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import (
    Engine,
    FlowControlSettings,
    RequestLimitSettings,
    ThrottlingSettings,
    WriteLimitSettings,
    Written,
)
from engine.workers.engine import WorkerEngine
from exporter.management import ManagementServer
from tests.support.pages import page, tables
from tests.support.surfaces import IN_MEMORY, WORKERS, WORKERS_IDS
from tests.support.waiting import wait_until
from tests.support.worker_pipelines import engine_of

PATH = "/actuator/flowControl"
CONFIGURED = FlowControlSettings(
    write=WriteLimitSettings(enabled=True, limit=4000, throttling=ThrottlingSettings(enabled=True)),
    request=RequestLimitSettings(enabled=True),
)
(ROWS,) = tables(page("flow-control.md"), "body")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No command is done before there is this file."""
    return tmp_path_factory.mktemp("done") / "done"


@pytest.fixture(scope="module", params=WORKERS, ids=WORKERS_IDS)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, done: Path
) -> Iterator[Engine | WorkerEngine]:
    folder = tmp_path_factory.mktemp("data")
    done.unlink(missing_ok=True)
    with engine_of(
        "holding", folder, str(done), workers=request.param, flow_control=CONFIGURED, options=IN_MEMORY
    ) as running:
        yield running
        done.touch()
        running.stop(drain=False)


@pytest.fixture(scope="module")
def client(engine: Engine | WorkerEngine) -> Iterator[httpx.Client]:
    with ManagementServer(engine, port=0) as server, httpx.Client(base_url=server.url, timeout=20) as talking:
        yield talking


def test_the_page_has_a_row_for_each_kind_of_answer() -> None:
    assert {status for _, status, _ in ROWS} == {"200", "400", "500"}
    assert len(ROWS) > 60


@pytest.mark.parametrize(("body", "status", "said"), ROWS, ids=[f"{s}-{b[:60]}" for b, s, _ in ROWS])
def test_a_post_is_answered_as_the_page_says(
    engine: Engine | WorkerEngine, client: httpx.Client, body: str, status: str, said: str
) -> None:
    engine.revert_flow_control()
    before = client.get(PATH).json()
    answer = client.post(PATH, content=body.strip("`"), headers={"Content-Type": "application/json"})
    assert answer.status_code == int(status), answer.text
    after = client.get(PATH).json()
    if status != "200":
        assert answer.json()["field"] == (None if said == "–" else said.strip("`"))
        assert after == before
        return
    assert answer.json() == after
    if said == "nothing changes":
        assert after == before
        return
    place, value = said.split(" = ")
    for partition in ("1", "2"):
        assert at(after[partition], place.strip("`")) == json.loads(value.strip("`"))
    # What is not named keeps its value.
    untouched = {"write": "requestLimiter", "request": "writeRateLimit"}
    named = json.loads(body.strip("`"))
    if len(named) == 1:
        assert at(after["1"], untouched[next(iter(named))]) == at(before["1"], untouched[next(iter(named))])


def at(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value[key]
    return value


def test_a_change_reaches_every_partitions_gate_or_none(engine: Engine | WorkerEngine, client: httpx.Client) -> None:
    engine.revert_flow_control()

    def limits() -> list[float | None]:
        return [p.flow.write_limit_per_second for p in engine.snapshot().partitions]

    client.post(PATH, json={"write": {"limit": 999}})
    assert limits() == [999, 999]
    client.patch("/api/flow-control?partition=2", json={"write": {"throttling": {"minimumLimit": 900}}})
    # Partition 1 could, partition 2 could not.
    assert client.post(PATH, json={"write": {"limit": 800}}).status_code == 500
    assert limits() == [999, 999]


def test_commands_in_flight_survive_a_change_by_post(
    engine: Engine | WorkerEngine, client: httpx.Client, done: Path
) -> None:
    engine.revert_flow_control()

    def in_flight() -> list[int | None]:
        return [p.flow.requests_in_flight for p in engine.snapshot().partitions]

    for partition in (1, 2):
        assert isinstance(engine.write([{"n": 1}], partition=partition), Written)
    assert in_flight() == [1, 1]
    assert client.post(PATH, json={"request": {"algorithm": "VEGAS"}}).status_code == 200
    assert in_flight() == [1, 1]
    done.touch()
    assert wait_until(lambda: in_flight() == [0, 0])
