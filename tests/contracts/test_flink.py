"""The bridge over what real Flinks answered: 1.20.1, which measures by timers, and 1.9.3, which samples on a look."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.core.clock import ManualClock
from engine.core.snapshot import EngineSnapshot, EngineState, VertexKind
from exporter.prometheus import Exposer
from penstock.bridges.flink_rest.cluster import FlinkBridge
from tests.support.captured_flink import VERSIONS, CapturedFlink

pytestmark = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture
def flink(version: str) -> CapturedFlink:
    return CapturedFlink(version)


def looked(flink: CapturedFlink) -> FlinkBridge:
    bridge = flink.bridge(ManualClock())
    bridge.look()
    return bridge


def jobs(bridge: FlinkBridge) -> dict[str, EngineSnapshot]:
    return {engine.snapshot().pipeline: engine.snapshot() for engine in bridge.engines()[1:]}


def test_each_job_is_a_pipeline_with_its_graph_in_the_order_in_which_records_flow(flink: CapturedFlink) -> None:
    bridge = looked(flink)
    assert set(jobs(bridge)) == set(flink.jobs())
    told = jobs(bridge)["pushed-back"]
    assert told.job_id == flink.jobs()["pushed-back"]
    assert [v.task for v in told.vertices][:2] == ["Source: flights", "parse"]
    assert [v.kind for v in told.vertices] == [VertexKind.SOURCE, VertexKind.TRANSFORM, VertexKind.EXPORTER]
    assert [v.parallelism for v in told.vertices] == [1, 2, 1]
    assert [edge.ship_strategy for edge in told.edges] == ["REBALANCE", "REBALANCE"]
    assert told.state is EngineState.RUNNING
    assert bridge.snapshot().failure is None


def test_ratios_and_levels_are_those_that_flink_answers(flink: CapturedFlink) -> None:
    for name, told in jobs(looked(flink)).items():
        for vertex in told.vertices:
            body = flink.body(flink.back_pressure(name, vertex.task))
            seen = {task.subtask: task.back_pressure for task in told.tasks if task.vertex_id == vertex.vertex_id}
            assert len(seen) == vertex.parallelism
            for row in body["subtasks"]:
                reading = seen[row["subtask"]]
                assert reading is not None
                assert (reading.ratio, reading.level) == (row["ratio"], row["backpressure-level"])
                for ratio, key in ((reading.busy_ratio, "busyRatio"), (reading.idle_ratio, "idleRatio")):
                    assert ratio == (None if row.get(key) in (None, "NaN") else row[key])


def test_the_task_to_blame_is_the_first_that_is_not_held_back_itself(flink: CapturedFlink) -> None:
    found = {name: told.bottleneck for name, told in jobs(looked(flink)).items()}
    expected = {"pushed-back": "parse", "legacy": "parse", "skewed": "count", "bursty": "parse", "calm": None}
    assert found == {name: expected[name] for name in found}
    held = jobs(looked(flink))["pushed-back"]
    assert held.waits == (("Source: flights", "parse"),)
    assert held.culprit is not None
    assert held.culprit.victims == ("Source: flights/0",)


def test_everything_that_is_exposed_can_be_read_and_nothing_of_it_is_nan(flink: CapturedFlink) -> None:
    body = Exposer(looked(flink)).expose(accept="", accept_encoding="").body.decode()
    series = [sample for family in text_string_to_metric_families(body) for sample in family.samples]
    assert series
    assert all(sample.value == sample.value for sample in series)
    keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in series]
    assert len(set(keys)) == len(keys)


def test_what_flink_does_not_say_has_no_series(flink: CapturedFlink, version: str) -> None:
    body = Exposer(looked(flink)).expose(accept="", accept_encoding="").body.decode()
    names = {
        line.partition("{")[0] for line in body.splitlines() if not line.startswith("#") and 'pipeline="calm"' in line
    }
    assert "penstock_task_back_pressured_seconds_total" in names
    # The classic monitor knows nothing of busy and idle.
    assert ("penstock_task_busy_seconds_total" in names) == (version == "1.20.1")
    assert not names & {
        "penstock_buffers",
        "penstock_rejects",
        "penstock_back_pressure_samples",
        "penstock_writes_total",
    }
