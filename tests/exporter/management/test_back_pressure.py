"""`/api/back-pressure`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.core.snapshot import (
    BlockReason,
    Culprit,
    SampleBasis,
    SamplerSnapshot,
    SamplingProgress,
)
from tests.support.flink import FLIGHTS, PARSE, job, measured, not_yet
from tests.support.management import OpenPort

PATH = "/api/back-pressure"
CULPRIT = Culprit(
    task="file",
    vertex_id="c" * 32,
    subtask=0,
    reason=BlockReason.WRITE_LIMIT,
    victims=("flights/0", "log-writer/0"),
    text="file is to blame",
)
SAMPLER = SamplerSnapshot(
    mode="continuous",
    num_samples=100,
    delay_between_samples_ns=50_000_000,
    refresh_interval_ns=60_000_000_000,
    ticks=10,
    missed=1,
    lateness_ns=20_000_000,
    lateness_max_ns=5_000_000,
)


def test_it_tells_the_tasks_in_order_with_what_is_known_of_each(port: OpenPort) -> None:
    port.engine.told = job()
    found = port.client.get(PATH).json()
    assert (found["pipeline"], found["state"]) == ("flights", "running")
    assert [task["task"] for task in found["tasks"]] == ["flights", "parse", "file"]
    source, parse, _ = found["tasks"]
    assert (source["level"], source["sampledAt"], source["isFresh"]) == (None, None, False)
    assert (parse["id"], parse["level"], parse["isFresh"], parse["parallelism"]) == (PARSE, "high", True, 4)
    assert parse["subtasks"][0]["state"] == "buffer"
    assert parse["subtasks"][0]["longestBlocked"] == 3
    assert parse["subtasks"][2]["recent"] is None
    shares = parse["subtasks"][1]["recent"]
    assert (shares["seconds"], shares["backPressured"], shares["idle"]) == (2, 0.5, 0.1)
    assert shares["busy"] == pytest.approx(0.4)
    assert (shares["byReason"], shares["byChannel"]) == ({"buffer": 0.5}, [0.5])
    assert found["bottleneck"] is None
    assert found["sampler"] is None


def test_it_names_the_culprit_the_sampler_and_a_measurement_under_way(port: OpenPort) -> None:
    seen = replace(not_yet(), sampling=SamplingProgress(taken=7, of=100), problem="subtask 2 was not running")
    told = job(not_yet(FLIGHTS), seen, culprit=CULPRIT, bottleneck="file", sampler=SAMPLER)
    basis = SampleBasis(by_stack=3, by_transitions=2, discarded=1, disagreements=0)
    first, *others = told.tasks
    sampled = replace(first, sample_basis=basis, back_pressure=measured().subtasks[0])
    port.engine.told = replace(told, tasks=(sampled, *others))
    found = port.client.get(PATH).json()
    assert found["bottleneck"] == {
        "task": "file",
        "id": "c" * 32,
        "subtask": 0,
        "reason": "write_limit",
        "victims": ["flights/0", "log-writer/0"],
        "text": "file is to blame",
    }
    assert found["sampler"]["mode"] == "continuous"
    assert found["sampler"]["meanLateness"] == pytest.approx(0.002)
    assert found["sampler"]["worstLateness"] == pytest.approx(0.005)
    source, parse, _ = found["tasks"]
    assert parse["sampling"] == {"taken": 7, "of": 100}
    assert parse["problem"] == "subtask 2 was not running"
    (subtask,) = source["subtasks"]
    assert subtask["basis"] == {"byStack": 3, "byTransitions": 2, "discarded": 1, "disagreements": 0}
    assert subtask["sampled"]["low"] <= subtask["sampled"]["high"]


def test_reading_it_is_no_look(port: OpenPort) -> None:
    port.engine.told = job()
    port.client.get(PATH)
    assert port.engine.looked_at == port.engine.sampled == []


def test_a_post_takes_a_fresh_sample_and_says_whether_one_began(port: OpenPort) -> None:
    port.engine.told = job()
    first = port.client.post(f"{PATH}/{PARSE}/sample")
    assert (first.status_code, first.json()) == (202, {"started": True})
    assert port.client.post(f"{PATH}/{PARSE}/sample").json() == {"started": False}
    assert port.engine.sampled == [PARSE, PARSE]


def test_an_unknown_task_cannot_be_sampled(port: OpenPort) -> None:
    port.engine.told = job()
    answer = port.client.post(f"{PATH}/nope/sample")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "there is no task with the id 'nope'"
    assert port.engine.sampled == []
