"""The gateway before worker processes: what is acknowledged stays, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from engine import FlowControlSettings, WriteLimitSettings, WriteSource
from engine.core.snapshot import Outcome
from tests.end_to_end.test_exporters_gateway import run
from tests.support.gateway import LINES, open_gateway
from tests.support.processes import children, is_running
from tests.support.surfaces import WORKERS, WORKERS_IDS
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.worker_pipelines import engine_of
from tests.support.writers import exported, writing

PARTITIONS = 3
KILLS = (1, 0, 1)


def test_killed_workers_cost_answers_that_say_so_and_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with (
        engine_of("open_door", tmp_path / "data", str(tmp_path), workers=2) as engine,
        open_gateway(engine) as gateway,
    ):
        with writing(gateway.server.url) as writers:
            for worker in KILLS:
                assert writers.have_more_acknowledged(PARTITIONS)
                before = engine.snapshot().workers[worker].process_id
                assert before is not None
                os.kill(before, signal.SIGKILL)

                def is_back(worker: int = worker, before: int = before) -> bool:
                    now = engine.snapshot().workers[worker]
                    return now.is_up and now.process_id != before

                assert wait_until(is_back, 3 * WAIT_SECONDS)
            assert writers.have_more_acknowledged(PARTITIONS)
        assert set(writers.statuses) <= {200, 503}, writers.statuses
        assert writers.wrong == []
        assert [worker.restarts for worker in engine.snapshot().workers] == [1, 2]
    found = exported(tmp_path, PARTITIONS)
    acknowledged = writers.acknowledged
    assert {n: found.get(place) for n, place in acknowledged.items()} == {n: n for n in acknowledged}


@pytest.mark.parametrize("workers", WORKERS, ids=WORKERS_IDS)
def test_a_limit_refuses_whole_requests_and_says_which_and_when_and_lets_through_who_obeys(
    workers: int, tmp_path: Path
) -> None:
    limited = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=1))
    lines = "".join(f'{{"k": "key {n % 13}", "n": {n}}}\n' for n in range(1000))
    with (
        engine_of("open_door", tmp_path / "data", str(tmp_path), workers=workers, flow_control=limited) as engine,
        open_gateway(engine) as gateway,
    ):
        # A grant does not look at the size of its batch: the next ones pay for it, minutes long.
        assert wait_until(lambda: gateway.post(lines, LINES).status_code == 200)
        refused = gateway.post(lines, LINES)
        document = refused.json()
        assert (refused.status_code, document["reason"]) == (429, "write_rate_limit_exhausted")
        assert document["partition"] in range(1, PARTITIONS + 1)
        assert document["limit"] == 1
        assert int(refused.headers["retry-after"]) * 1000 >= document["retryAfterMs"] > 0
        refusals = [
            partition.flow.writes[WriteSource.USER_COMMAND, Outcome.WRITE_RATE_LIMIT_EXHAUSTED]
            for partition in engine.snapshot().partitions
        ]
        assert sum(refusals) > 0
        unlimited = FlowControlSettings()
        engine.apply_flow_control(dict.fromkeys(range(1, PARTITIONS + 1), unlimited))
        last = gateway.post('{"k": "key 0", "n": 1000}\n', LINES)
        assert last.status_code == 200, last.text
    found = exported(tmp_path, PARTITIONS)
    assert sorted(found.values()) == list(range(1001)), "the refused request left nothing"


def test_what_was_acknowledged_is_there_after_the_parent_was_killed(tmp_path: Path) -> None:
    with run(tmp_path, workers=2) as (process, gateway, _):
        with writing(gateway) as writers:
            assert writers.have_more_acknowledged(2)
            assert writers.have_more_acknowledged(2)
            workers = children(process.pid)
            assert len(workers) == 2
            process.kill()
            process.wait(WAIT_SECONDS)
        assert wait_until(lambda: not any(map(is_running, workers))), "workers end with their parent"
        assert set(writers.statuses) <= {200, 503}, writers.statuses
    with run(tmp_path, workers=2) as (process, gateway, _):
        with writing(gateway, clients=1) as later:
            assert later.have_more_acknowledged(2), "the next run takes records again"
        process.send_signal(signal.SIGTERM)
        assert process.wait(3 * WAIT_SECONDS) == 0
    found = exported(tmp_path, 2)
    for acknowledged in (writers.acknowledged, later.acknowledged):
        assert {n: found.get(place) for n, place in acknowledged.items()} == {n: n for n in acknowledged}
