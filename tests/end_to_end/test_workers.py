"""Pipelines over worker processes: what dies, what is seen from outside, and that nobody is left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine import (
    ConfigurationError,
    DataFolderError,
    Engine,
    EngineOptions,
    FlowControlSettings,
    TaskFailedError,
    ThrottlingSettings,
    WriteFailedError,
    WriteLimitSettings,
    WrongRecordError,
)
from engine.core.clock import NS_PER_MS
from engine.core.identity import stable_id
from engine.core.snapshot import EngineState
from engine.flow.gate import Refusal
from engine.runtime.intake import Written
from engine.workers.blueprint import Blueprint
from engine.workers.engine import WorkerEngine
from exporter.management import ManagementServer
from tests.support.commands import penstock
from tests.support.crowd import CrowdRun
from tests.support.flights import ROOT, FlightsRun, Result
from tests.support.processes import children, is_running, leavable
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.worker_pipelines import engine_of

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "2"))
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(10**6)))
LIMIT = 4000
SETTINGS = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=LIMIT,
        throttling=ThrottlingSettings(
            enabled=True,
            acceptable_backlog=400,
            minimum_limit=50,
            resolution_ns=50 * NS_PER_MS,
            measurement_window_ns=1000 * NS_PER_MS,
            measurement_resolution_ns=50 * NS_PER_MS,
        ),
    )
)


# -- deaths ---


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Result:
    run = FlightsRun(tmp_path_factory.mktemp("flights"))
    ended = run.run()
    assert ended.returncode == 0, ended.stderr
    return run.result()


def disturbed(process: subprocess.Popen[str], chance: random.Random) -> str:
    """Kills workers, and perhaps the parent, at random moments; what was done, in words."""
    done = []
    for _ in range(chance.randint(1, 4)):
        moment = chance.uniform(0.1, 1.5)
        if chance.random() < 0.4:
            # In the middle of their opening, where the order of things between them counts.
            wait_until(lambda: process.poll() is not None or len(children(process.pid)) == 2)
            moment = chance.uniform(0, 0.6)
        try:
            process.wait(moment)
            return " ".join([*done, "end"])
        except subprocess.TimeoutExpired:
            pass
        workers = children(process.pid)
        if chance.random() < 0.3 or not workers:
            process.kill()
            process.communicate()
            assert all_gone(workers), "workers end with their parent"
            return " ".join([*done, "parent"])
        os.kill(chance.choice(workers), signal.SIGKILL)
        done.append("worker")
    return " ".join(done)


def all_gone(processes: list[int]) -> bool:
    return wait_until(lambda: not any(map(is_running, processes)))


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.timeout(300)
def test_kill_9_of_workers_and_of_the_parent_changes_nothing_in_the_end(
    round_: int, expected: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`CRASH_ROUNDS=50 TEST_SEED=…` runs more of them, or the same ones again."""
    monkeypatch.setenv("PENSTOCK_WORKERS", "2")
    run = FlightsRun(tmp_path)
    disturb(run, round_)
    result = run.result()
    assert result.digest == expected.digest
    assert result.state == expected.state


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.timeout(300)
def test_nor_with_two_sources_parallel_steps_messages_and_timers(
    round_: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_WORKERS", "2")
    run = CrowdRun(tmp_path)
    disturb(run, round_)
    result, expected = run.result(), run.expected()
    assert result.events == expected.events
    assert result.state == expected.state


def disturb(run: FlightsRun | CrowdRun, round_: int) -> None:
    """A few disturbed runs over the same folder, and at last one that is left alone."""
    print(f"TEST_SEED={SEED}, round {round_}")
    chance = random.Random(SEED * 1000 + round_)
    for _ in range(chance.randint(1, 2)):
        process = run.start()
        print(disturbed(process, chance))
        output, _ = process.communicate(timeout=100)
        assert process.returncode in (0, -signal.SIGKILL), output
    ended = run.run()
    assert ended.returncode == 0, ended.stderr


def test_a_run_over_workers_leaves_what_one_process_leaves(tmp_path: Path) -> None:
    left: dict[int, Counter[str]] = {}
    for workers in (1, 2, 3):
        folder = tmp_path / str(workers)
        with engine_of("counting", folder / "data", str(folder), workers=workers) as engine:
            assert engine.wait(WAIT_SECONDS)
        assert engine.state is EngineState.FINISHED
        snapshot = engine.snapshot()
        assert [partition.partition for partition in snapshot.partitions] == [1, 2, 3]
        assert sum(task.records_in for task in snapshot.tasks if task.task in "ab") == 3000
        left[workers] = Counter()
        for number in (1, 2, 3):
            lines = (folder / f"out-{number}.ndjson").read_text().splitlines()
            said = [json.loads(line) for line in lines]
            # The first is the engine's own, which stays inside.
            assert [line["position"] for line in said] == list(range(2, len(said) + 2))
            kinds = [(line["partition"], line["valueType"], line["key"]) for line in said]
            left[workers] += Counter(map(str, (kind for kind in kinds if kind[1] != "penstock")))
    assert left[1] == left[2] == left[3]
    assert sum(left[1].values()) == 3000 * 4, "command, count, message, told"


def test_ctrl_c_drains_and_the_next_run_goes_on(
    expected: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_WORKERS", "2")
    run = FlightsRun(tmp_path)
    process = run.start()
    assert wait_until((tmp_path / "out" / "delays-1.ndjson").exists)
    workers = children(process.pid)
    # As a terminal does: to everybody.
    for each in (process.pid, *workers):
        os.kill(each, signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert not any(map(is_running, workers))
    assert run.run().returncode == 0
    assert run.result() == expected


def test_user_code_is_imported_in_the_workers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_WORKERS", "2")
    run = FlightsRun(tmp_path)
    code = tmp_path / "flights.py"
    code.write_text(code.read_text() + f"\nimport os\nwith open({str(tmp_path / 'imports')!r}, 'a') as file:\n")
    code.write_text(code.read_text() + "    file.write(f'{os.getpid()}\\n')\n")
    process = run.start()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    importers = {int(line) for line in (tmp_path / "imports").read_text().split()}
    assert len(importers) == 2
    assert process.pid not in importers


def test_code_that_cannot_be_imported_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_WORKERS", "2")
    run = FlightsRun(tmp_path)
    (tmp_path / "flights.py").unlink()
    ended = run.run()
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "names a module 'flights' that is neither in" in ended.stderr


def test_more_workers_than_partitions_are_refused_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_WORKERS", "3")
    ended = FlightsRun(tmp_path).run()
    assert (ended.returncode, ended.stderr) == (
        2,
        "penstock: PENSTOCK_WORKERS must not exceed the number of partitions (2), not 3\n",
    )


# -- the life of workers, from inside ---


def worker_ids(engine: Engine | WorkerEngine) -> list[int]:
    return [worker.process_id for worker in engine.snapshot().workers if worker.process_id is not None]


def test_a_worker_that_dies_comes_back_with_its_limits_and_its_counters(tmp_path: Path) -> None:
    with (
        engine_of("flowing", tmp_path, workers=2, flow_control=SETTINGS) as engine,
        ManagementServer(engine, port=0) as server,
    ):
        by_hand = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=700))
        engine.apply_flow_control({2: by_hand}, by="the test")
        engine.pause_exporter("slow", paused=True)
        counted = counters(server.url)
        for _ in range(2):
            before = engine.snapshot().workers[1]
            assert before.process_id is not None
            os.kill(before.process_id, signal.SIGKILL)

            def is_back(before: int = before.process_id) -> bool:
                nonlocal counted
                counted = went_on(counted, counters(server.url))
                now = engine.snapshot().workers[1]
                return now.is_up and now.process_id != before

            assert wait_until(is_back)
        written = [partition.last_written_position for partition in engine.snapshot().partitions]
        assert wait_until(
            lambda: all(p.last_written_position > w for p, w in zip(engine.snapshot().partitions, written, strict=True))
        ), "both partitions go on"
        counted = went_on(counted, counters(server.url))
        snapshot = engine.snapshot()
        assert snapshot.partitions[1].flow.write_limit_max_per_second == 700
        assert snapshot.partitions[1].flow.overridden
        assert not snapshot.partitions[0].flow.overridden
        assert {exporter.state for p in snapshot.partitions for exporter in p.exporters} == {"paused"}
        assert [worker.restarts for worker in snapshot.workers] == [0, 2]
        override = engine.flow_overrides()[2]
        assert override is not None
        assert override.by == "the test"
        workers = worker_ids(engine)
        engine.stop(drain=False)
    assert not any(map(is_running, workers))


def counters(url: str) -> dict[tuple[str, str], float]:
    """Every series of a counter or histogram, but of those that the exporter counts of itself."""
    found = {}
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text):
        if family.type in ("counter", "histogram") and "scrape" not in family.name:
            for sample in family.samples:
                found[sample.name, json.dumps(sample.labels, sort_keys=True)] = sample.value
    return found


def went_on(before: dict[tuple[str, str], float], now: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """`now`, of which must hold that no counter went back and none is gone."""
    assert set(before) <= set(now)
    assert [name for name in before if now[name] < before[name]] == []
    return now


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["open", "connect", "prepare", "flow"])
def test_a_worker_may_die_at_any_step_in_which_they_are_brought_together(step: str, when: str, tmp_path: Path) -> None:
    """None of the others may take a step twice: two engines of one process would write over each other's records."""
    data = tmp_path / "data"
    with engine_of("counted_later", data, workers=1) as engine:
        assert engine.wait(WAIT_SECONDS)
    # There is much to do for who has opened his partitions, while others have not.
    with engine_of("dying_at", data, str(tmp_path), step, when, workers=3) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert engine.state is EngineState.FINISHED
    assert sorted(worker.restarts for worker in engine.snapshot().workers) == [0, 0, 1]
    kinds: Counter[str] = Counter()
    for number in (1, 2, 3):
        said = [json.loads(line) for line in (tmp_path / f"out-{number}.ndjson").read_text().splitlines()]
        positions = [line["position"] for line in said]
        assert positions == sorted(set(positions)), "each once"
        kinds.update(line["intent"] for line in said if line["valueType"] != "penstock")
    assert kinds == {"create": 3000, "receive": 3000, "emitted": 6000}


def test_a_worker_that_keeps_dying_stops_the_run_with_the_reason(tmp_path: Path) -> None:
    engine = engine_of("deadly", tmp_path / "data", str(tmp_path), workers=2).start()
    with pytest.raises(TaskFailedError, match=r"worker \d .* ended with exit code 77; it died 5 times in a row"):
        engine.wait(60)
    assert engine.state is EngineState.FAILED
    assert worker_ids(engine) == []
    # The first life began with nothing to do and got a few records done.
    assert len((tmp_path / "deaths").read_text()) in (5, 6)


def test_a_task_that_gives_up_stops_the_run_as_in_one_process(tmp_path: Path) -> None:
    said = []
    for workers in (1, 2):
        engine = engine_of("failing", tmp_path / str(workers), workers=workers).start()
        with pytest.raises(TaskFailedError) as failure:
            engine.wait(WAIT_SECONDS)
        said.append(str(failure.value))
        assert engine.snapshot().failure == said[-1]
    assert (
        said[0]
        == said[1]
        == ("task picky/0 stopped the run: picky failed at numbers:14 with ValueError: 13 is not to my liking")
    )


def test_partitions_in_memory_die_with_their_worker_and_so_does_the_run(tmp_path: Path) -> None:
    engine = engine_of("flowing", tmp_path, workers=2, options=EngineOptions(storage="memory")).start()
    os.kill(worker_ids(engine)[0], signal.SIGKILL)
    with pytest.raises(TaskFailedError, match=r"worker 1 .* was ended by SIGKILL, and with it the partitions"):
        engine.wait(WAIT_SECONDS)


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("tests.support.no_such_module:make", "cannot import"),
        ("tests.support.worker_pipelines:nothing", "cannot import"),
        ("tests.support.worker_pipelines:counting", "gives no pipeline: TypeError"),
        ("tests.support.worker_pipelines:Numbers", "gives no pipeline: TypeError"),
    ],
)
def test_a_blueprint_that_gives_no_pipeline_is_refused(reference: str, why: str, tmp_path: Path) -> None:
    before = set(children(os.getpid()))
    engine = WorkerEngine(Blueprint(reference), tmp_path, workers=2)
    with pytest.raises(ConfigurationError, match=why):
        engine.start()
    assert wait_until(lambda: set(children(os.getpid())) <= before)


def test_a_folder_in_use_is_refused_and_no_process_is_left(tmp_path: Path) -> None:
    with engine_of("flowing", tmp_path, workers=2) as engine:
        before = set(children(os.getpid()))
        with pytest.raises(DataFolderError, match="is in use"):
            engine_of("flowing", tmp_path, workers=2).start()
        assert wait_until(lambda: set(children(os.getpid())) <= before)
        engine.stop(drain=False)


def test_workers_end_with_their_parent_and_leave_nothing_lying_about(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    workers = [int(word) for word in process.stdout.readline().split()]
    assert len(workers) == 2
    assert all(map(is_running, workers))
    assert [leavable(each) for each in (process.pid, *workers)] == [[], [], []]
    process.kill()
    process.communicate()
    assert wait_until(lambda: not any(map(is_running, workers)))
    assert [path for path in tmp_path.rglob("*") if path.is_socket()] == []
    # And the folder can be had at once.
    with engine_of("flowing", tmp_path, workers=2) as engine:
        engine.stop(drain=False)


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
from tests.support.worker_pipelines import engine_of
engine = engine_of("flowing", Path(sys.argv[1]), workers=2).start()
print(*[worker.process_id for worker in engine.snapshot().workers], flush=True)
engine.wait()
"""


# -- what is seen from outside, with one process and with two ---


@pytest.fixture(params=[1, 2], ids=["one-process", "two-workers"])
def workers(request: pytest.FixtureRequest) -> Iterator[int]:
    before = set(children(os.getpid()))
    yield request.param
    assert wait_until(lambda: set(children(os.getpid())) <= before), "no process is left"


def value(url: str, name: str, **labels: str) -> list[float]:
    """The values of a metric on the wire, of all series with these labels."""
    return [
        sample.value
        for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def test_a_throttle_shows_on_the_surfaces_and_obeys_them(workers: int, tmp_path: Path) -> None:
    with (
        engine_of("flowing", tmp_path, workers=workers, flow_control=SETTINGS) as engine,
        ManagementServer(engine, port=0) as server,
    ):
        url = server.url
        assert wait_until(lambda: value(url, "penstock_throttled") == [0, 0])
        engine.pace_exporter("slow", 100)
        assert wait_until(lambda: value(url, "penstock_throttled") == [1, 1])
        assert max(value(url, "penstock_write_rate_limit_records_per_second")) < LIMIT
        assert value(url, "penstock_write_rate_limit_max_records_per_second") == [LIMIT, LIMIT]
        episodes = engine.throttling_episodes()
        assert {episode.partition for episode in episodes} == {1, 2}

        posted = httpx.post(
            f"{url}/actuator/flowControl",
            json={"write": {"enabled": True, "limit": 300, "throttling": {"enabled": False}}},
        )
        assert posted.status_code == 200, posted.text
        assert wait_until(lambda: value(url, "penstock_throttled") == [0, 0])
        assert value(url, "penstock_write_rate_limit_max_records_per_second") == [300, 300]
        assert value(url, "penstock_config_overridden") == [1, 1]
        shown = httpx.get(f"{url}/actuator/flowControl").json()
        assert set(shown) == {"1", "2"}
        engine.revert_flow_control([2])
        assert value(url, "penstock_config_overridden") == [1, 0]
        assert len(value(url, "penstock_writes_total", outcome="accepted")) == 2 * 5
        engine.stop(drain=False)


def test_limits_and_exporters_are_changed_over_http_for_all_partitions(workers: int, tmp_path: Path) -> None:
    with (
        engine_of("flowing", tmp_path, workers=workers, flow_control=SETTINGS) as engine,
        ManagementServer(engine, port=0) as server,
        httpx.Client(base_url=server.url) as client,
    ):

        def overridden() -> list[bool]:
            state = client.get("/api/flow-control").json()["partitions"]
            assert list(state) == ["1", "2"]
            return [partition["override"] is not None for partition in state.values()]

        answer = client.patch("/api/flow-control?ttl=1s", json={"write": {"limit": 500}})
        assert answer.status_code == 200, answer.text
        assert overridden() == [True, True]
        assert {p.flow.write_limit_max_per_second for p in engine.snapshot().partitions} == {500}
        assert wait_until(lambda: overridden() == [False, False]), "the time is over by itself"
        assert {p.flow.write_limit_max_per_second for p in engine.snapshot().partitions} == {LIMIT}

        wrong = client.patch("/api/flow-control", json={"write": {"limit": -1}})
        assert wrong.status_code == 422
        assert overridden() == [False, False]
        assert client.patch("/api/flow-control", json={"write": {"limit": 600}}).status_code == 200
        assert client.delete("/api/flow-control").status_code == 200
        assert overridden() == [False, False]

        assert client.post("/api/exporters/slow/pause").status_code == 202
        assert wait_until(
            lambda: (
                {p["state"] for p in client.get("/api/exporters").json()["exporters"][0]["partitions"]} == {"paused"}
            )
        )
        assert wait_until(lambda: len(client.get("/api/throttling/episodes").json()["episodes"]) >= 2)
        _, listed, _ = penstock("exporters", "ls", "--url", server.url)
        assert [line.split()[:3] for line in listed.splitlines()[1:3]] == [["slow", n, "paused"] for n in "12"]
        assert penstock("exporters", "resume", "slow", "--url", server.url) == (0, "slow goes on\n", "")
        assert wait_until(lambda: "paused" not in client.get("/api/exporters").text)
        code, limits, _ = penstock("flow-control", "get", "--url", server.url)
        assert (code, [line.split()[0] for line in limits.splitlines()[1:3]]) == (0, ["1", "2"])
        engine.stop(drain=False)


def test_back_pressure_shows_on_the_surfaces_and_names_who_is_to_blame(workers: int, tmp_path: Path) -> None:
    with (
        engine_of("held_back", tmp_path, workers=workers) as engine,
        ManagementServer(engine, port=0) as server,
    ):
        job, source = stable_id("held back"), stable_id("held back", "numbers")
        url = f"{server.url}/jobs/{job}/vertices/{source}/backpressure"

        def held_back() -> bool:
            seen = httpx.get(url).json()
            return bool(seen.get("subtasks")) and seen["subtasks"][0]["ratio"] > 0.5

        assert wait_until(held_back)
        assert wait_until(lambda: engine.snapshot().bottleneck == "slow")
        assert value(server.url, "penstock_bottleneck", task="slow") == [1]
        tasks = [(task.task, task.subtask) for task in engine.snapshot().tasks]
        assert len(tasks) == len(set(tasks)), "every subtask once"
        (blocked,) = value(server.url, "penstock_task_back_pressured_seconds_total", task="numbers", reason="buffer")
        assert blocked > 0

        def said() -> str:
            code, out, err = penstock("back-pressure", "--url", server.url)
            assert (code, err) == (0, "")
            assert {"numbers", "slow", "processor", "out"} <= {
                line.split("/")[0].split(" ")[0] for line in out.split("\n")
            }
            return out

        assert wait_until(lambda: "to blame: slow" in said())
        own = f"{server.url}/api/back-pressure"
        listed = [task["task"] for task in httpx.get(own).json()["tasks"]]
        assert len(listed) == len(set(listed)), "every task once"
        assert httpx.post(f"{own}/{source}/sample").status_code == 202
        assert httpx.post(f"{own}/{stable_id('nobody')}/sample").status_code == 404
        engine.stop(drain=False)


# -- writes from outside ---


def test_what_is_written_from_outside_is_in_the_log_at_the_places_that_were_said(workers: int, tmp_path: Path) -> None:
    with engine_of("open_door", tmp_path / "data", str(tmp_path), workers=workers) as engine:
        spread = engine.write([{"n": n, "k": f"key {n % 13}"} for n in range(100)])
        assert isinstance(spread, Written)
        named = engine.write([{"n": 100, "k": "key 0"}], partition=3)
        assert isinstance(named, Written)
        assert named.places[0].partition == 3
        places = [*spread.places, *named.places]
        assert {place.partition for place in places} == {1, 2, 3}

        def is_exported() -> bool:
            return all(p.backlog_records == 0 for p in engine.snapshot().partitions)

        assert wait_until(is_exported)
    found = {}
    for number in (1, 2, 3):
        for line in (tmp_path / f"out-{number}.ndjson").read_text().splitlines():
            said = json.loads(line)
            found[number, said["position"]] = said["value"]
    assert [found[place.partition, place.position]["n"] for place in places] == list(range(101))


def test_a_record_that_is_wrong_or_refused_leaves_nothing_of_its_request(workers: int, tmp_path: Path) -> None:
    settings = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=1))
    with engine_of("open_door", tmp_path / "data", str(tmp_path), workers=workers) as engine:
        values = [{"n": n, "k": f"key {n}"} for n in range(20)]
        with pytest.raises(WrongRecordError, match="record 21 has no key") as error:
            engine.write([*values, {"n": 20}])
        assert error.value.index == 20
        with pytest.raises(WrongRecordError, match="there is no partition 4; there are 1 to 3"):
            engine.write(values, partition=4)
        engine.apply_flow_control({3: settings})
        # What says that the limit was set has used it up for the next second.
        refused = engine.write(values)
        assert isinstance(refused, Refusal)
        assert refused.partition == 3
    for number in (1, 2, 3):
        assert (tmp_path / f"out-{number}.ndjson").read_text() == ""


def test_after_the_end_nothing_can_be_written(workers: int, tmp_path: Path) -> None:
    engine = engine_of("open_door", tmp_path / "data", str(tmp_path), workers=workers).start()
    engine.stop()
    with pytest.raises(WriteFailedError) as error:
        engine.write([{"n": 1, "k": "a"}])
    assert error.value.passing
