"""A client that others wrote for Flink, against the management port of an engine in one process and over two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flink_rest_client import FlinkRestClient
from flink_rest_client.common import RestException

from engine.backpressure.settings import BackPressureMode, BackPressureSettings
from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.options import EngineOptions
from exporter.management import ManagementServer
from tests.support.surfaces import WORKERS, WORKERS_IDS
from tests.support.waiting import wait_until
from tests.support.worker_pipelines import engine_of

UNKNOWN = "0" * 32


@pytest.fixture(params=WORKERS, ids=WORKERS_IDS)
def workers(request: pytest.FixtureRequest) -> Any:
    return request.param


@contextmanager
def held_back(folder: Path, settings: BackPressureSettings, workers: int) -> Iterator[Any]:
    """A client of an engine whose sink lets nothing through."""
    opened = folder / "opened"
    options = EngineOptions(storage="memory", run_forever=True, back_pressure=settings)
    engine = engine_of("blocked", folder / "data", str(opened), workers=workers, options=options)
    engine.start()
    try:
        assert wait_until(lambda: engine.snapshot().tasks[0].state == "buffer")
        with ManagementServer(engine, port=0) as server:
            yield FlinkRestClient.get("127.0.0.1", server.port)
    finally:
        opened.touch()
        engine.stop(drain=False)


def on_demand(*, refresh_ns: int = 60 * NS_PER_SECOND) -> BackPressureSettings:
    return BackPressureSettings(
        mode=BackPressureMode.ON_DEMAND,
        num_samples=10,
        delay_between_samples_ns=20 * NS_PER_MS,
        refresh_interval_ns=refresh_ns,
    )


def the_job(client: Any) -> tuple[str, list[str]]:
    (job_id,) = client.jobs.job_ids()
    return job_id, client.jobs.get_vertex_ids(job_id)


def test_it_finds_the_job_its_vertices_and_their_metrics(tmp_path: Path, workers: int) -> None:
    with held_back(tmp_path, BackPressureSettings(), workers) as client:
        assert client.overview()["jobs-running"] == 1
        assert client.config()["refresh-interval"] == 3000
        job_id, vertices = the_job(client)
        assert client.jobs.all() == [{"id": job_id, "status": "RUNNING"}]
        (only,) = client.jobs.overview()
        assert (only["name"], only["tasks"]["running"]) == ("blocked", 6)
        assert len(client.jobs.get_plan(job_id)["nodes"]) == len(vertices) == 4
        vertex = client.jobs.get_vertex(job_id, vertices[2])
        assert vertex.details()["name"] == "sink"
        assert vertex.subtasks.subtask_ids() == [0, 1]
        assert vertex.subtasks.get(1)["status"] == "RUNNING"
        assert "0.busyTimeMsPerSecond" in vertex.metric_names()
        assert int(vertex.metrics(["0.numRecordsIn"])["0.numRecordsIn"]) > 0
        names = vertex.subtasks.metric_names()
        found = vertex.subtasks.metrics(metric_names=[names[0]], agg_modes=["max"], subtask_ids=[0, 1])
        assert list(found[names[0]]) == ["max"]


def test_while_sampling_it_is_deprecated_and_afterwards_there_is_data(tmp_path: Path, workers: int) -> None:
    with held_back(tmp_path, on_demand(), workers) as client:
        job_id, vertices = the_job(client)
        source, sink = client.jobs.get_vertex(job_id, vertices[0]), client.jobs.get_vertex(job_id, vertices[2])
        assert source.backpressure() == {"status": "deprecated"}
        assert wait_until(lambda: source.backpressure()["status"] == "ok")
        found = source.backpressure()
        assert (found["backpressure-level"], found["subtasks"][0]["ratio"]) == ("high", 1.0)
        assert sink.backpressure() == {"status": "deprecated"}, "each vertex is measured when it is looked at"
        assert wait_until(lambda: sink.backpressure()["status"] == "ok")
        assert [subtask["ratio"] for subtask in sink.backpressure()["subtasks"]] == [0.0, 0.0]


def test_with_a_refresh_interval_of_0_data_comes_as_deprecated(tmp_path: Path, workers: int) -> None:
    with held_back(tmp_path, on_demand(refresh_ns=0), workers) as client:
        job_id, vertices = the_job(client)
        source = client.jobs.get_vertex(job_id, vertices[0])
        assert wait_until(lambda: "subtasks" in source.backpressure())
        assert source.backpressure()["status"] == "deprecated"


def test_continuously_sampled_it_needs_no_first_look(tmp_path: Path, workers: int) -> None:
    settings = BackPressureSettings(num_samples=10, delay_between_samples_ns=10 * NS_PER_MS)
    with held_back(tmp_path, settings, workers) as client:
        job_id, vertices = the_job(client)
        source = client.jobs.get_vertex(job_id, vertices[0])
        assert wait_until(lambda: source.backpressure()["status"] == "ok")
        assert source.backpressure()["backpressureLevel"] == "high"


def test_unknown_and_malformed_ids_are_errors_it_can_read(tmp_path: Path, workers: int) -> None:
    with held_back(tmp_path, BackPressureSettings(), workers) as client:
        job_id, vertices = the_job(client)
        with pytest.raises(RestException, match=r"\(404\): Job 0+ not found"):
            client.jobs.get(UNKNOWN)
        with pytest.raises(RestException, match=r"\(404\): No vertex with ID '0+' exists\."):
            client.jobs.get_vertex(job_id, UNKNOWN).backpressure()
        with pytest.raises(RestException, match=r"\(400\): Bad request"):
            client.jobs.get_vertex("nope", vertices[0]).backpressure()
        with pytest.raises(RestException, match=r"\(404\): No TaskExecutor registered under 0+"):
            client.taskmanagers.get(UNKNOWN)


def test_every_call_that_only_reads_is_answered(tmp_path: Path) -> None:
    with held_back(tmp_path, BackPressureSettings(), 1) as client:
        job_id, vertices = the_job(client)
        vertex = client.jobs.get_vertex(job_id, vertices[0])
        subtasks, (machine,) = vertex.subtasks, client.taskmanagers.taskmanager_ids()
        calls = [
            client.config, client.overview, client.datasets,
            client.jobs.all, client.jobs.job_ids, client.jobs.overview, client.jobs.metric_names, client.jobs.metrics,
            *(partial(call, job_id) for call in (
                client.jobs.get, client.jobs.get_accumulators, client.jobs.get_checkpoint_ids,
                client.jobs.get_checkpointing_configuration, client.jobs.get_checkpoints, client.jobs.get_config,
                client.jobs.get_exceptions, client.jobs.get_execution_result, client.jobs.get_metrics,
                client.jobs.get_plan, client.jobs.get_vertex_ids,
            )),
            vertex.backpressure, vertex.details, vertex.metric_names, vertex.metrics, vertex.subtasktimes,
            vertex.taskmanagers, vertex.watermarks,
            subtasks.accumulators, subtasks.metric_names, subtasks.metrics, subtasks.subtask_ids,
            partial(subtasks.get, 0), partial(subtasks.get_attempt, 0), partial(subtasks.get_attempt_accumulators, 0),
            client.taskmanagers.all, client.taskmanagers.metric_names, client.taskmanagers.metrics,
            *(partial(call, machine) for call in (
                client.taskmanagers.get, client.taskmanagers.get_logs, client.taskmanagers.get_metrics,
                client.taskmanagers.get_thread_dump,
            )),
            client.jobmanager.config, client.jobmanager.logs, client.jobmanager.metric_names, client.jobmanager.metrics,
            client.jars.all,
        ]  # fmt: skip
        failed = []
        for call in calls:
            try:
                call()
            except Exception as error:
                failed.append((call, error))
        assert failed == []
        assert len(calls) == 45
