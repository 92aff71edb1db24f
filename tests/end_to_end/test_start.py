"""A start is honest: until all partitions are open nothing is promised, and what is promised holds on all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from engine import Engine, EngineOptions, NotReadyError, Pipeline
from engine.core.snapshot import EngineState
from engine.log.memory import MemoryStorage
from engine.log.storage import LogStorage
from exporter.gateway.server import GatewayServer
from exporter.gateway.settings import GatewaySettings
from exporter.management import ManagementServer
from exporter.management.openapi.document import described
from tests.support.flights import ROOT
from tests.support.pipelines import CollectingExporter
from tests.support.prometheus import free_port
from tests.support.waiting import WAIT_SECONDS, wait_until

# How often a pipeline is started, one process and two; `START_ROUNDS=50` for a long run by hand.
ROUNDS = int(os.environ.get("START_ROUNDS", "2"))
LIMIT = {"write": {"enabled": True, "limit": 777}}
# What can be said of an engine that has no partition yet.
KNOWN_EARLY = {
    "/", "/static/{path}", "/openapi.json", "/metrics", "/actuator", "/actuator/prometheus", "/actuator/health",
    "/actuator/health/liveness", "/actuator/info", "/-/healthy", "/api/rights", "/api/history", "/api/events",
    "/api/pipelines", "/overview", "/config", "/jobs", "/jobs/overview", "/jobs/metrics",
}  # fmt: skip
# What Flink's page asks about the process, which is there.
OF_THE_PROCESS = ("/jobmanager", "/taskmanagers", "/datasets", "/jars")
# Nobody shares this pipeline, and nobody ever will.
OF_INSTANCES = "/api/instances"


class SlowStart:
    """Storages of which the second opens when it is let to."""

    def __init__(self) -> None:
        self.is_at_second = threading.Event()
        self.may_open = threading.Event()

    def __call__(self, partition: int) -> LogStorage:
        if partition == 2:
            self.is_at_second.set()
            assert self.may_open.wait(WAIT_SECONDS)
        return MemoryStorage()


@contextmanager
def half_started(folder: Path) -> Iterator[tuple[Engine, SlowStart, str]]:
    """An engine that has opened one partition of two, and its port."""
    storages = SlowStart()
    pipeline = Pipeline("slow", partitions=2).export("all", CollectingExporter().factory)
    engine = Engine(pipeline, folder, options=EngineOptions(run_forever=True), storage=storages)
    starting = threading.Thread(target=engine.start)
    with ManagementServer(engine, port=0) as server:
        starting.start()
        assert storages.is_at_second.wait(WAIT_SECONDS)
        try:
            yield engine, storages, server.url
        finally:
            storages.may_open.set()
            starting.join(WAIT_SECONDS)
            engine.stop(drain=False)


def path_of(template: str, engine: Engine) -> str:
    names = {"jobid": engine.snapshot().job_id, "vertexid": "0" * 32, "subtaskindex": "0", "attempt": "0"}
    names |= {"name": "all", "path": "x"}
    for name, value in names.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def test_before_all_partitions_are_open_whatever_needs_them_answers_503(tmp_path: Path) -> None:
    with half_started(tmp_path) as (engine, _, url):
        for operation in described():
            path = operation.path.removeprefix("/v1")
            if path in KNOWN_EARLY or path.startswith((*OF_THE_PROCESS, OF_INSTANCES)):
                continue
            body = LIMIT if operation.body is not None else None
            answer = httpx.request(operation.method, url + path_of(operation.path, engine), json=body, timeout=20)
            assert answer.status_code == 503, f"{operation.method} {operation.path}: {answer.text}"
            if operation.path not in ("/actuator/health/readiness", "/-/ready"):
                assert answer.headers["retry-after"] == "1", operation.path
            assert "the engine is starting" in answer.text, operation.path


def test_what_was_refused_at_the_start_is_in_force_nowhere_and_what_is_taken_later_everywhere(tmp_path: Path) -> None:
    with half_started(tmp_path) as (engine, storages, url):
        assert httpx.post(f"{url}/actuator/flowControl", json=LIMIT, timeout=20).status_code == 503
        assert httpx.patch(f"{url}/api/flow-control", json=LIMIT, timeout=20).status_code == 503
        storages.may_open.set()
        assert wait_until(lambda: engine.state is EngineState.RUNNING)
        assert engine.flow_overrides() == {1: None, 2: None}
        assert httpx.post(f"{url}/actuator/flowControl", json=LIMIT, timeout=20).status_code == 200
        assert {settings.write.limit for settings in engine.flow_settings().values() if settings.write} == {777}


def test_before_all_partitions_are_open_no_metric_tells_of_some(tmp_path: Path) -> None:
    with half_started(tmp_path) as (_, storages, url):
        early = httpx.get(f"{url}/metrics", timeout=20)
        assert early.status_code == 200
        assert 'penstock_engine_state{pipeline="slow",state="starting"} 1' in early.text
        # But in which state each of them is.
        told = {line for line in early.text.splitlines() if "partition=" in line}
        states = {line for line in told if line.startswith("penstock_partition_state{")}
        assert told == states
        assert {line.split('"')[1] for line in states} == {"1", "2"}, "of all, or they would look like all"
        storages.may_open.set()
        assert wait_until(lambda: 'partition="2"' in httpx.get(f"{url}/metrics", timeout=20).text)


def test_a_gateway_in_front_of_an_engine_that_starts_says_so(tmp_path: Path) -> None:
    with (
        half_started(tmp_path) as (engine, _, _url),
        GatewayServer(engine, GatewaySettings(port=0)) as gateway,
    ):
        answer = httpx.post(f"{gateway.url}/v1/records?partition=1", json={"a": 1}, timeout=20)
        assert answer.status_code == 503
        assert "the engine is starting" in answer.text
        assert int(answer.headers["retry-after"]) > 0


def test_an_engine_that_has_ended_takes_no_changes_and_says_so(tmp_path: Path) -> None:
    pipeline = Pipeline("ended", partitions=2)
    with Engine(pipeline, tmp_path, options=EngineOptions(storage="memory", run_forever=True)) as engine:
        settings = engine.flow_settings()
    with pytest.raises(NotReadyError, match="the engine has finished and takes no changes"):
        engine.apply_flow_control(settings)
    with ManagementServer(engine, port=0) as server:
        answer = httpx.patch(f"{server.url}/api/flow-control", json=LIMIT, timeout=20)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert httpx.get(f"{server.url}/api/flow-control", timeout=20).status_code == 200


YAML = """\
pipeline:
  name: start
  partitions: 4
  sources: {{g: {{generator: {{rate: 100, keys: 10}}}}}}
  key: key
  exporters: {{out: {{jsonl: {{path: out.ndjson}}}}}}
workers: {workers}
management: {{port: {port}}}
flowControl: {{write: {{enabled: true, limit: 4000}}}}
"""


def start_and_post(folder: Path, port: int) -> Counter[int | str]:
    """Starts it, posts from the first moment on until one is taken, and looks at what is in force then."""
    outcomes: Counter[int | str] = Counter()
    command = [sys.executable, "-m", "penstock", "run", str(folder / "start.yaml")]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log.txt").open("wb") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=url, timeout=20) as client:

            def is_taken() -> bool:
                assert process.poll() is None, (folder / "log.txt").read_text()
                try:
                    answer = client.post("/actuator/flowControl", json=LIMIT)
                except httpx.TransportError:
                    outcomes["no port"] += 1
                    return False
                outcomes[answer.status_code] += 1
                assert answer.status_code in (200, 503), answer.text
                if answer.status_code == 503:
                    assert answer.headers["retry-after"] == "1"
                    return False
                shown = client.get("/api/flow-control").json()["partitions"]
                limits = {number: partition["effective"]["writeLimitMax"] for number, partition in shown.items()}
                assert limits == dict.fromkeys("1234", 777), limits
                return True

            assert wait_until(is_taken, 60)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_SECONDS)
    return outcomes


@pytest.mark.timeout(60 + 20 * ROUNDS)
@pytest.mark.parametrize("workers", [1, 2])
def test_each_change_that_is_taken_while_a_pipeline_starts_is_in_force_on_all_partitions(
    workers: int, tmp_path: Path
) -> None:
    port = free_port()
    outcomes: Counter[int | str] = Counter()
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "start.yaml").write_text(YAML.format(workers=workers, port=port))
        outcomes += start_and_post(folder, port)
    print(f"{ROUNDS} starts over {workers}: {dict(outcomes)}")
    assert outcomes[200] == ROUNDS
