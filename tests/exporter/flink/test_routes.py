"""Shapes, errors and both prefixes of Flink's routes, over a real port and a hand-made job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.core.snapshot import EngineState
from tests.support.flink import FILE, FLIGHTS, PARSE, SAMPLED_WALL_NS, job, measured, not_yet
from tests.support.management import OpenPort
from tests.support.snapshots import STARTED_WALL_NS, TAKEN_WALL_NS

JOB = job().job_id
VERTEX = f"/jobs/{JOB}/vertices/{PARSE}"
BACK_PRESSURE = f"{VERTEX}/backpressure"
PATHS = [
    "/overview",
    "/config",
    "/jobs",
    "/jobs/overview",
    f"/jobs/{JOB}",
    f"/jobs/{JOB}/plan",
    VERTEX,
    BACK_PRESSURE,
    f"{VERTEX}/metrics",
    f"{VERTEX}/subtasks/metrics",
    f"{VERTEX}/subtasks/accumulators",
    f"{VERTEX}/subtasks/0",
]
MS = 1_000_000


@pytest.mark.parametrize("path", PATHS)
def test_every_route_answers_the_same_under_v1_and_without(port: OpenPort, path: str) -> None:
    plain, versioned = port.client.get(path), port.client.get(f"/v1{path}")
    assert plain.status_code == versioned.status_code == 200
    assert plain.headers["content-type"] == "application/json"
    assert plain.json() == versioned.json()


# -- back pressure ---


def test_a_fresh_measurement_is_ok_with_levels_in_both_spellings(port: OpenPort) -> None:
    answer = port.client.get(BACK_PRESSURE).json()
    assert set(answer) == {"status", "backpressure-level", "backpressureLevel", "end-timestamp", "subtasks"}
    assert answer["status"] == "ok"
    assert answer["backpressure-level"] == answer["backpressureLevel"] == "high"
    assert answer["end-timestamp"] == SAMPLED_WALL_NS // MS
    assert [subtask["subtask"] for subtask in answer["subtasks"]] == [0, 1, 2, 3]
    assert [subtask["ratio"] for subtask in answer["subtasks"]] == [0.31, 0.48, 1.0, 0.0]
    assert [subtask["backpressure-level"] for subtask in answer["subtasks"]] == ["low", "low", "high", "ok"]
    for subtask in answer["subtasks"]:
        assert set(subtask) == {
            "subtask",
            "backpressure-level",
            "backpressureLevel",
            "ratio",
            "idleRatio",
            "busyRatio",
        }
        assert subtask["backpressure-level"] == subtask["backpressureLevel"]


def test_an_old_measurement_is_deprecated_with_the_same_body(port: OpenPort) -> None:
    fresh = port.client.get(BACK_PRESSURE).json()
    port.engine.told = job(measured(is_fresh=False))
    assert port.client.get(BACK_PRESSURE).json() == {**fresh, "status": "deprecated"}


def test_before_the_first_measurement_there_is_the_status_alone(port: OpenPort) -> None:
    port.engine.told = job(not_yet())
    assert port.client.get(BACK_PRESSURE).json() == {"status": "deprecated"}


def test_only_the_back_pressure_route_counts_as_a_look(port: OpenPort) -> None:
    for path in PATHS:
        if path != BACK_PRESSURE:
            port.client.get(path)
    assert port.engine.looked_at == []
    port.client.get(BACK_PRESSURE)
    assert port.engine.looked_at == [PARSE]


# -- the job ---


def test_the_job_is_listed_with_its_state(port: OpenPort) -> None:
    assert port.client.get("/jobs").json() == {"jobs": [{"id": JOB, "status": "RUNNING"}]}


def test_the_overview_of_jobs_counts_subtasks_by_state_in_lower_case(port: OpenPort) -> None:
    (only,) = port.client.get("/jobs/overview").json()["jobs"]
    assert (only["jid"], only["name"], only["state"]) == (JOB, "flights", "RUNNING")
    assert only["start-time"] == STARTED_WALL_NS // MS
    assert only["end-time"] == -1
    assert only["duration"] == (TAKEN_WALL_NS - STARTED_WALL_NS) // MS
    tasks = only["tasks"]
    assert (tasks["total"], tasks["running"], tasks["finished"]) == (6, 5, 1)
    assert set(tasks) == {
        "total", "created", "scheduled", "deploying", "running", "finished", "canceling", "canceled", "failed",
        "reconciling", "initializing",
    }  # fmt: skip


def test_the_job_has_its_vertices_with_times_counts_and_metrics(port: OpenPort) -> None:
    found = port.client.get(f"/jobs/{JOB}").json()
    assert set(found) == {
        "jid", "name", "isStoppable", "job-type", "state", "start-time", "end-time", "duration", "maxParallelism",
        "now", "timestamps", "vertices", "status-counts", "plan",
    }  # fmt: skip
    assert [vertex["id"] for vertex in found["vertices"]] == [FLIGHTS, PARSE, FILE]
    parse = found["vertices"][1]
    assert (parse["name"], parse["parallelism"], parse["status"]) == ("parse", 4, "RUNNING")
    assert (parse["tasks"]["RUNNING"], parse["tasks"]["FINISHED"]) == (3, 1)
    metrics = parse["metrics"]
    assert (metrics["read-records"], metrics["write-records"]) == (400, 360)
    assert metrics["accumulated-backpressured-time"] == 240_000
    assert metrics["accumulated-idle-time"] == 80_000
    assert metrics["accumulated-busy-time"] == 40_000
    assert found["status-counts"]["RUNNING"] == 3
    assert found["timestamps"]["RUNNING"] > 0
    assert found["timestamps"]["FINISHED"] == 0


def test_the_plan_names_the_inputs_of_all_but_sources(port: OpenPort) -> None:
    plan = port.client.get(f"/jobs/{JOB}/plan").json()["plan"]
    assert plan == port.client.get(f"/jobs/{JOB}").json()["plan"]
    assert (plan["jid"], plan["type"]) == (JOB, "STREAMING")
    source, parse, file = plan["nodes"]
    assert "inputs" not in source
    assert parse["inputs"] == [{"num": 0, "id": FLIGHTS, "ship_strategy": "REBALANCE", "exchange": "pipelined_bounded"}]
    assert file["inputs"][0]["ship_strategy"] == "LOG"


def test_a_job_that_ended_says_when(port: OpenPort) -> None:
    port.engine.told = replace(job(), state=EngineState.FINISHED)
    found = port.client.get(f"/jobs/{JOB}").json()
    assert found["state"] == "FINISHED"
    assert found["end-time"] == (TAKEN_WALL_NS - 10**9) // MS
    assert found["duration"] == found["end-time"] - found["start-time"]
    assert found["timestamps"]["FINISHED"] == found["end-time"]
    assert port.client.get("/overview").json()["jobs-finished"] == 1


def test_the_overview_counts_jobs_and_slots(port: OpenPort) -> None:
    found = port.client.get("/overview").json()
    assert (found["taskmanagers"], found["slots-total"], found["slots-available"]) == (1, 6, 0)
    assert (found["jobs-running"], found["jobs-finished"], found["jobs-failed"]) == (1, 0, 0)


def test_the_configuration_tells_a_page_how_often_to_ask(port: OpenPort) -> None:
    found = port.client.get("/config").json()
    assert found["refresh-interval"] == 3000
    assert found["features"]["web-submit"] is False
    assert {"timezone-name", "timezone-offset", "flink-version", "flink-revision"} <= set(found)


# -- a vertex ---


def test_a_vertex_lists_its_subtasks(port: OpenPort) -> None:
    found = port.client.get(VERTEX).json()
    assert (found["id"], found["name"], found["parallelism"]) == (PARSE, "parse", 4)
    assert [subtask["subtask"] for subtask in found["subtasks"]] == [0, 1, 2, 3]
    running, ended = found["subtasks"][0], found["subtasks"][2]
    assert (running["status"], running["end-time"]) == ("RUNNING", -1)
    assert (ended["status"], ended["end-time"]) == ("FINISHED", (TAKEN_WALL_NS - 10**9) // MS)
    assert running["start_time"] == running["start-time"]
    assert port.client.get(f"{VERTEX}/subtasks/2").json() == ended


def test_metrics_are_named_by_subtask_and_their_values_are_text(port: OpenPort) -> None:
    names = [entry["id"] for entry in port.client.get(f"{VERTEX}/metrics").json()]
    assert "0.backPressuredTimeMsPerSecond" in names
    assert len(names) == len(set(names))
    asked = "0.backPressuredTimeMsPerSecond,1.busyTimeMsPerSecond,0.isBackPressured,2.idleTimeMsPerSecond,no.such"
    values = port.client.get(f"{VERTEX}/metrics", params={"get": asked}).json()
    assert {entry["id"]: entry["value"] for entry in values} == {
        "0.backPressuredTimeMsPerSecond": "1000",
        "0.isBackPressured": "true",
        "1.busyTimeMsPerSecond": "400.0",
        "2.idleTimeMsPerSecond": "0",
    }


def test_times_per_second_sum_to_a_second_for_every_subtask_that_runs(port: OpenPort) -> None:
    wanted = ["backPressuredTimeMsPerSecond", "idleTimeMsPerSecond", "busyTimeMsPerSecond"]
    values = port.client.get(f"{VERTEX}/metrics", params={"get": ",".join(wanted)}).json()
    for number in (0, 1, 3):
        of_subtask = [float(entry["value"]) for entry in values if entry["id"].startswith(f"{number}.")]
        assert sum(of_subtask) == pytest.approx(1000)


def test_aggregated_metrics_are_over_the_subtasks_and_by_the_functions_asked_for(port: OpenPort) -> None:
    path = f"{VERTEX}/subtasks/metrics"
    (found,) = port.client.get(path, params={"get": "backPressuredTimeMsPerSecond"}).json()
    assert found["id"] == "backPressuredTimeMsPerSecond"
    assert (found["min"], found["max"], found["sum"], found["avg"]) == (0, 1000, 1600, 400)
    assert found["skew"] == pytest.approx(87.5)
    asked = {"get": "backPressuredTimeMsPerSecond", "agg": "max,min", "subtasks": "1,3"}
    assert port.client.get(path, params=asked).json() == [
        {"id": "backPressuredTimeMsPerSecond", "max": 500, "min": 100}
    ]
    ranged = {"get": "numRecordsIn", "agg": "sum", "subtasks": "0-1,3"}
    assert port.client.get(path, params=ranged).json() == [{"id": "numRecordsIn", "sum": 300}]
    assert {"id": "numRecordsIn"} in port.client.get(path).json()
    assert port.client.get(path, params={"get": "numRecordsIn", "subtasks": "9"}).json() == []


# -- what is wrong ---

UNKNOWN = "f" * 32


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        (f"/jobs/{UNKNOWN}", 404, f"Job {UNKNOWN} not found"),
        (f"/jobs/{UNKNOWN}/vertices/{PARSE}/backpressure", 404, f"Job {UNKNOWN} not found"),
        (f"/jobs/{JOB}/vertices/{UNKNOWN}", 404, f"No vertex with ID '{UNKNOWN}' exists."),
        (f"/jobs/{JOB}/vertices/{UNKNOWN}/backpressure", 404, f"No vertex with ID '{UNKNOWN}' exists."),
        (f"/jobs/{JOB}/vertices/{UNKNOWN}/metrics", 404, f"No vertex with ID '{UNKNOWN}' exists."),
        (
            "/jobs/xyz",
            400,
            'Bad request, could not parse parameters: Cannot resolve path parameter (jobid) from value "xyz".',
        ),
        (
            f"/jobs/{UNKNOWN}/vertices/12/backpressure",
            400,
            'Bad request, could not parse parameters: Cannot resolve path parameter (vertexid) from value "12".',
        ),
        (
            f"{VERTEX}/subtasks/metrics?get=numRecordsIn&agg=median",
            400,
            'Bad request, could not parse parameters: Cannot resolve query parameter (agg) from value "median".',
        ),
        (
            f"{VERTEX}/subtasks/metrics?get=numRecordsIn&subtasks=a-b",
            400,
            'Bad request, could not parse parameters: Cannot resolve query parameter (subtasks) from value "a-b".',
        ),
        (
            f"{VERTEX}/subtasks/x",
            400,
            'Bad request, could not parse parameters: Cannot resolve path parameter (subtaskindex) from value "x".',
        ),
        (f"{VERTEX}/subtasks/4", 404, f"Invalid subtask index for vertex {PARSE}."),
        (f"/jobs/{JOB}/savepoints", 404, f"Not found: /jobs/{JOB}/savepoints"),
    ],
)
def test_what_cannot_be_answered_says_why_in_flinks_shape(port: OpenPort, path: str, status: int, text: str) -> None:
    for prefix in ("", "/v1"):
        answer = port.client.get(prefix + path)
        assert answer.status_code == status
        assert answer.json() == {"errors": [text.replace("Not found: ", f"Not found: {prefix}")]}


def test_an_unknown_route_below_v1_is_told_in_flinks_shape(port: OpenPort) -> None:
    answer = port.client.get("/v1/savepoints")
    assert (answer.status_code, answer.json()) == (404, {"errors": ["Not found: /v1/savepoints"]})


def test_ids_are_understood_in_capitals_too(port: OpenPort) -> None:
    assert port.client.get(f"/jobs/{JOB.upper()}/vertices/{PARSE.upper()}").json()["id"] == PARSE


def test_an_engine_that_fails_to_answer_is_an_error_without_its_inner_life(port: OpenPort) -> None:
    port.engine.snapshot_error = RuntimeError("a secret of the engine")
    answer = port.client.get("/jobs")
    assert answer.status_code == 500
    assert "secret" not in answer.text
