"""`penstock.watch`, as a program would use it."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator

import httpx
import pytest

import penstock
from engine.core.clock import NS_PER_MS
from examples import watch_any_program
from exporter.door import EngineDoor
from penstock.watching import Watch
from tests.support.waiting import wait_until

QUICK = penstock.BackPressureSettings(num_samples=20, delay_between_samples_ns=5 * NS_PER_MS)


@pytest.fixture
def blocked() -> Iterator[threading.Thread]:
    full: queue.Queue[int] = queue.Queue(maxsize=1)
    full.put(0)
    thread = threading.Thread(target=full.put, args=(1,), daemon=True)
    thread.start()
    yield thread
    full.get()


def test_one_call_watches_a_thread_and_one_more_serves_its_metrics(blocked: threading.Thread) -> None:
    with penstock.watch(blocked, "writer", program="mine", settings=QUICK) as watching, watching.serve(0) as url:

        def scraped() -> str:
            return httpx.get(f"{url}/metrics").text

        assert wait_until(
            lambda: 'penstock_back_pressure_ratio{pipeline="mine",subtask="0",task="writer"} 1.0\n' in scraped(), 10
        )
        assert 'penstock_back_pressure_level{level="high",pipeline="mine",subtask="0",task="writer"} 1' in scraped()
        (job,) = httpx.get(f"{url}/jobs").json()["jobs"]
        (vertex,) = httpx.get(f"{url}/jobs/{job['id']}").json()["vertices"]
        path = f"{url}/jobs/{job['id']}/vertices/{vertex['id']}/backpressure"
        assert wait_until(lambda: httpx.get(path).json()["status"] == "ok", 10)
        assert httpx.post(f"{url}/api/back-pressure/{vertex['id']}/sample").json() == {"started": False}


def test_an_asyncio_task_is_watched_beside_the_loop_it_runs_in() -> None:
    async def main() -> float:
        full: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        await full.put(0)
        task = asyncio.create_task(full.put(1))
        with penstock.watch(task, "publisher", settings=QUICK) as watching:
            for _ in range(2000):
                await asyncio.sleep(0.005)
                if watching.snapshot().back_pressure[0].is_fresh:
                    break
            reading = watching.snapshot().tasks[0].back_pressure
        await full.get()
        await task
        assert reading is not None
        return reading.ratio

    assert asyncio.run(main()) == 1.0


def test_a_dead_thread_and_an_unknown_marker_are_refused(blocked: threading.Thread) -> None:
    dead = threading.Thread(target=lambda: None, name="short")
    dead.start()
    dead.join()
    with pytest.raises(penstock.ConfigurationError, match="thread 'short' has ended"):
        penstock.watch(dead, "dead")
    with pytest.raises(penstock.ConfigurationError, match="cannot mark a wait"):
        penstock.watch(blocked, "writer", markers=("put",))  # type: ignore[arg-type]


def test_to_the_exporter_it_is_an_engine_without_flow_control() -> None:
    watching = Watch()
    door: EngineDoor = watching
    assert (door.flow_settings(), door.request_limiter_states(), door.flow_overrides()) == ({}, {}, {})
    assert door.throttling_episodes() == ()
    for change in (lambda: door.apply_flow_control({}), door.revert_flow_control):
        with pytest.raises(penstock.ConfigurationError, match="no flow control"):
            change()
    assert watching.snapshot().tasks == ()


def test_the_example_runs_and_tells_who_is_held_back(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(watch_any_program.main(1.0, 0))
    told = capsys.readouterr().out
    held_back = {line.split()[0]: line.split()[-1] for line in told.splitlines()[1:]}
    assert held_back["reader"] == "high"
    assert held_back["writer"] == held_back["taker"] == "ok"
