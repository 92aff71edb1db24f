"""Several engines of one program stand behind one port, each by its pipeline's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from engine.instances.engine import InstanceEngine
from penstock import ConfigurationError, Engine, EngineOptions, Pipeline, serve, together
from penstock.metrics import PenstockCollector
from tests.support.instances import World
from tests.support.pipelines import ListSource
from tests.support.waiting import wait_until


def running(name: str, folder: Path, count: int) -> Engine:
    made = Pipeline(name, partitions=1).source("numbers", ListSource([*range(count)]))
    return made.run(data=folder / name, options=EngineOptions(run_forever=True)).start()


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    made = (running("flights", tmp_path, 30), running("orders", tmp_path, 70))
    yield made
    for engine in made:
        engine.stop()


def test_one_port_serves_both_each_by_its_name(engines: tuple[Engine, Engine]) -> None:
    with serve(together(*engines), port=0) as url, httpx.Client(base_url=url, timeout=20) as client:
        # The first record is the engine's own.
        for name, count in (("flights", 31), ("orders", 71)):
            line = f'penstock_last_written_position{{partition="1",pipeline="{name}"}} {count}.0'
            assert wait_until(lambda line=line: line in client.get("/metrics").text), line  # type: ignore[misc]
        assert [one["pipeline"] for one in client.get("/api/pipelines").json()["pipelines"]] == ["flights", "orders"]
        assert wait_until(lambda: client.get("/api/history?pipeline=orders").status_code == 200)
        # What is changed is changed on the one that is named, and nowhere else.
        change = client.patch(
            "/api/flow-control?pipeline=orders",
            json={"write": {"enabled": True, "limit": 7}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert change.status_code == 200, change.text
        limits = [engine.flow_settings()[1].write for engine in engines]
        assert [None if write is None or not write.enabled else write.limit for write in limits] == [None, 7]


def test_a_registry_takes_both(engines: tuple[Engine, Engine]) -> None:
    registry = CollectorRegistry()
    registry.register(PenstockCollector(together(*engines)))
    text = generate_latest(registry).decode()
    assert all(f'penstock_engine_state{{pipeline="{name}"' in text for name in ("flights", "orders"))


def test_two_of_one_name_are_refused_with_the_name(engines: tuple[Engine, Engine]) -> None:
    with pytest.raises(ConfigurationError, match="two engines run a pipeline called 'flights'"):
        together(engines[0], engines[0])


def test_an_instance_behind_the_first_hears_too_where_it_is_reached(
    engines: tuple[Engine, Engine], tmp_path: Path
) -> None:
    world = World(tmp_path / "world", lambda: Pipeline("shared", partitions=1))
    shared: InstanceEngine = world.instance("a")
    try:
        with serve(together(engines[0], shared), port=0) as url:

            def told() -> list[str]:
                seen = shared.snapshot().instances
                return [] if seen is None else [one.management for one in seen.instances]

            assert wait_until(lambda: told() == [url]), told()
    finally:
        world.close()
