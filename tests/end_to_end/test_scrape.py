"""A real Prometheus scrapes a running, throttled pipeline."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest

from engine import FlowControlSettings, ThrottlingSettings, WriteLimitSettings
from engine.core.clock import NS_PER_MS
from exporter.management import ManagementServer
from tests.support.programs import program
from tests.support.prometheus import Prometheus
from tests.support.surfaces import WORKERS, WORKERS_IDS
from tests.support.waiting import wait_until
from tests.support.worker_pipelines import engine_of

SETTINGS = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=2000,
        throttling=ThrottlingSettings(
            enabled=True,
            acceptable_backlog=1000,
            resolution_ns=200 * NS_PER_MS,
            measurement_window_ns=3000 * NS_PER_MS,
            measurement_resolution_ns=100 * NS_PER_MS,
        ),
    )
)


@pytest.mark.parametrize("workers", WORKERS, ids=WORKERS_IDS)
def test_prometheus_scrapes_sane_values_of_the_designed_metrics(workers: int, tmp_path: Path) -> None:
    with (
        engine_of("echoing", tmp_path / "data", 200_000, 50, workers=workers, flow_control=SETTINGS) as engine,
        ManagementServer(engine, port=0) as server,
        Prometheus(tmp_path, f"127.0.0.1:{server.port}") as prometheus,
    ):
        engine.pace_exporter("slow", 300)
        ask = prometheus.value
        assert wait_until(lambda: ask("min(penstock_throttled)") == 1, 60)
        assert ask("up") == 1
        assert wait_until(lambda: (ask("sum(rate(penstock_writes_total[5s]))") or 0) > 100, 60)

        # Of one scrape, so related numbers fit.
        assert ask("min(penstock_exporting_backlog_records)") is not None
        unprocessed = ask("min(penstock_last_written_position - penstock_last_processed_position)")
        assert unprocessed is not None
        assert unprocessed >= 0
        assert (
            ask(
                "max(abs(penstock_last_written_position - on(partition) "
                'penstock_exporter_last_acknowledged_position{exporter="slow"} - on(partition) '
                "penstock_exporting_backlog_records))"
            )
            == 0
        )
        limited = "penstock_write_rate_limit_records_per_second < penstock_write_rate_limit_max_records_per_second"
        assert ask(f"count({limited})") == ask("sum(penstock_throttled)")
        assert 100 < (ask("avg(penstock_exporting_rate_records_per_second)") or 0) < 600
        # Once the window is full of scrapes.
        spent = (
            'rate(penstock_task_busy_seconds_total{task="numbers"}[5s])'
            ' + on(task) rate(penstock_task_idle_seconds_total{task="numbers"}[5s])'
            ' + on(task) sum by (task) (rate(penstock_task_back_pressured_seconds_total{task="numbers"}[5s]))'
        )
        assert wait_until(lambda: 0.95 < (ask(spent) or 0) < 1.05, 60), ask(spent)
        assert (ask("time() - min(penstock_oldest_unexported_record_timestamp_seconds)") or 0) > 0.2
        assert (ask("histogram_quantile(0.99, sum by (le) (penstock_append_duration_seconds_bucket))") or 0) > 0
        outcomes = prometheus.query('penstock_writes_total{outcome="accepted"}')
        assert len(outcomes) == 2 * 5, "each partition and write source, from the start"

        exposition = urllib.request.urlopen(f"{server.url}/metrics").read()
        checked = subprocess.run(
            [program("promtool"), "check", "metrics"], input=exposition, capture_output=True, check=False
        )
        assert (checked.returncode, checked.stderr, checked.stdout) == (0, b"", b"")
        engine.stop(drain=False)
