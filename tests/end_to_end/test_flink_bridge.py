"""The bridge beside a real Flink: what it shows is what Flink itself answers, and who is to blame."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import httpx
import pytest

import penstock
from engine.core.snapshot import EngineSnapshot
from penstock.bridges import flink
from penstock.bridges.flink_rest.cluster import FlinkBridge
from tests.support.flink_cluster import CLASSIC, JOBS, MODERN, FlinkCluster, flink_cluster, why_not
from tests.support.waiting import wait_until

# FLINK_SECONDS=300 for the long run by hand, over all jobs (`make flink`).
SECONDS = int(os.environ.get("FLINK_SECONDS", "0"))
WHY_NOT = why_not()
pytestmark = [
    pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or ""),
    pytest.mark.timeout(900),
]
# Of Flink's, a second apart: as many as one look may lie behind.
ANSWERS = 8
BLAMED = {"pushed-back": "parse", "legacy": "parse", "skewed": "count", "calm": None}


@pytest.fixture(scope="module", params=[MODERN, CLASSIC])
def cluster(request: pytest.FixtureRequest) -> Iterator[FlinkCluster]:
    version: str = request.param
    jobs = JOBS[version] if SECONDS else ("pushed-back", "calm")
    settings = {} if version == MODERN else {"web_backpressure_refresh-interval": 10_000}
    with flink_cluster(version, jobs, **settings) as cluster:
        yield cluster


def bridge_to(cluster: FlinkCluster) -> FlinkBridge:
    return flink(cluster.url, interval_seconds=2, refresh_interval_seconds=10)


def jobs(bridge: FlinkBridge) -> dict[str, EngineSnapshot]:
    return {engine.snapshot().pipeline: engine.snapshot() for engine in bridge.engines()[1:]}


def ratios(told: EngineSnapshot) -> dict[tuple[str, int], float]:
    return {
        (task.vertex_id, task.subtask): task.back_pressure.ratio
        for task in told.tasks
        if task.back_pressure is not None
    }


def answered(cluster: FlinkCluster, told: EngineSnapshot) -> dict[tuple[str, int], float]:
    """Flink's own answers at this moment."""
    found = {}
    for vertex in told.vertices:
        body = cluster.get(f"/jobs/{told.job_id}/vertices/{vertex.vertex_id}/backpressure")
        found |= {(vertex.vertex_id, row["subtask"]): row["ratio"] for row in body.get("subtasks", ())}
    return found


def test_the_task_that_holds_a_job_back_is_named_and_a_calm_job_has_none(cluster: FlinkCluster) -> None:
    with bridge_to(cluster) as bridge, penstock.serve(bridge, port=0) as url:
        assert wait_until(lambda: jobs(bridge)["pushed-back"].bottleneck == "parse" if jobs(bridge) else False, 120)
        told = jobs(bridge)["pushed-back"]
        # An average of a minute in 1.20, and the first of them.
        assert max(ratios(told).values()) > 0.1
        assert wait_until(lambda: jobs(bridge)["calm"].bottleneck is None, 60)
        body = httpx.get(f"{url}/metrics").text
        assert 'penstock_bottleneck{pipeline="pushed-back",task="parse"} 1.0\n' in body
        assert f'id="{told.job_id}",pipeline="pushed-back"' in body
        assert httpx.get(f"{url}/api/back-pressure?pipeline=pushed-back").json()["bottleneck"]["task"] == "parse"


def test_a_flink_that_is_killed_is_not_shown_and_shown_again_once_it_is_back(cluster: FlinkCluster) -> None:
    with bridge_to(cluster) as bridge:
        assert wait_until(lambda: jobs(bridge), 60)
        cluster.kill()
        assert wait_until(lambda: not jobs(bridge), 10), "one look later nothing is left"
        assert bridge.snapshot().failure is not None
        cluster.start()
        # While it starts it may answer one question and not yet the next.
        assert wait_until(lambda: "pushed-back" in jobs(bridge) and bridge.snapshot().failure is None, 30)


@pytest.mark.skipif(not SECONDS, reason="FLINK_SECONDS is not set: five minutes over all jobs (make flink)")
def test_over_minutes_ratios_are_flinks_own_within_one_look_and_blame_stands(cluster: FlinkCluster) -> None:
    with bridge_to(cluster) as bridge:
        assert wait_until(lambda: jobs(bridge), 60)
        end = time.monotonic() + SECONDS
        compared = 0
        recent: dict[str, list[dict[tuple[str, int], float]]] = {}
        off: dict[str, list[float]] = {name: [] for name in jobs(bridge)}
        blamed: dict[str, dict[str | None, int]] = {name: {} for name in jobs(bridge)}
        while time.monotonic() < end:
            assert wait_until(lambda: False, 1.0) is False
            for name, told in jobs(bridge).items():
                kept = recent.setdefault(name, [])
                kept.append(answered(cluster, told))
                del kept[:-ANSWERS]
                if len(kept) < ANSWERS:
                    # What the bridge shows may be older than the first of them.
                    continue
                for place, ratio in ratios(told).items():
                    known = [one[place] for one in kept if place in one]
                    if known:
                        # Between the least and the most that Flink said meanwhile.
                        off[name].append(max(0.0, min(known) - ratio, ratio - max(known)))
                        compared += 1
                found = told.bottleneck
                blamed[name][found] = blamed[name].get(found, 0) + 1
        assert compared
        for name, errors in off.items():
            shares = {task: round(count / sum(blamed[name].values()), 2) for task, count in blamed[name].items()}
            print(f"{name}: compared {len(errors)}, worst off {max(errors, default=0):.3f}, blamed {shares}")
        for name, expected in BLAMED.items():
            if name in blamed:
                assert blamed[name].get(expected, 0) / sum(blamed[name].values()) > 0.8, (name, blamed[name])
                assert max(off[name]) <= 0.1, name
