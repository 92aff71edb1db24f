"""A running pipeline at full speed, and many who look at it at once."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from exporter.management import ManagementServer
from tests.support.surfaces import WORKERS, WORKERS_IDS
from tests.support.waiting import wait_until
from tests.support.worker_pipelines import engine_of


def numbers(text: str) -> dict[str, float]:
    samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in samples}


def total(found: dict[str, float], name: str, **labels: str) -> float:
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(v for series, v in found.items() if re.match(rf"{name}\{{", series) and all(w in series for w in wanted))


@pytest.mark.parametrize("workers", WORKERS, ids=WORKERS_IDS)
def test_twenty_scrapes_at_once_during_full_load_tell_the_same_families_and_numbers_that_fit(
    workers: int, tmp_path: Path
) -> None:
    with (
        engine_of("echoing", tmp_path / "data", workers=workers) as engine,
        ManagementServer(engine, port=0) as server,
    ):
        assert wait_until(lambda: min(p.last_written_position for p in engine.snapshot().partitions) > 1000)
        # A rate is absent until it is known, which it is once the exporters have been looked at for a while.
        assert wait_until(lambda: "\npenstock_exporting_rate" in httpx.get(f"{server.url}/metrics", timeout=60).text)
        with ThreadPoolExecutor(20) as pool:
            scrapes = [pool.submit(httpx.get, f"{server.url}/metrics", timeout=60) for _ in range(20)]
            answers = [scrape.result(timeout=60) for scrape in scrapes]
        assert {answer.status_code for answer in answers} == {200}
        families = {tuple(re.findall(r"^# TYPE (\S+)", answer.text, re.M)) for answer in answers}
        assert len(families) == 1
        for answer in answers:
            found = numbers(answer.text)
            for partition in "12":
                written = total(found, "penstock_last_written_position", partition=partition)
                assert written >= total(found, "penstock_last_processed_position", partition=partition)
                backlog = total(found, "penstock_exporting_backlog_records", partition=partition)
                acknowledged = total(found, "penstock_exporter_last_acknowledged_position", partition=partition)
                assert backlog == written - acknowledged >= 0
        # What counts never goes back, from the first answer to one more.
        later = numbers(httpx.get(f"{server.url}/metrics", timeout=60).text)
        for answer in answers:
            counters = {s: v for s, v in numbers(answer.text).items() if re.match(r"\w+_(total|count|bucket)\{", s)}
            assert not {s: (v, later[s]) for s, v in counters.items() if later[s] < v}
        engine.stop(drain=False)
