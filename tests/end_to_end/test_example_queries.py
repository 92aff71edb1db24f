"""Every query that `docs/metrics.md` gives as an example is understood by Prometheus and finds something."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.catalogue import metrics
from exporter.catalogue.docs import example_query
from exporter.management import ManagementServer
from tests.support.engines import FakeEngines
from tests.support.prometheus import Prometheus
from tests.support.snapshots import bridge_snapshot, bridged_snapshot, busy_snapshot
from tests.support.waiting import wait_until


@pytest.mark.real
def test_prometheus_answers_every_example_query(tmp_path: Path) -> None:
    engines = FakeEngines(busy_snapshot(), bridged_snapshot(), bridge_snapshot())
    pushes = {"success": 3, "failure": 0, "skipped": 0}
    with (
        ManagementServer(engines, port=0, pushes=lambda: pushes) as server,
        Prometheus(tmp_path, f"127.0.0.1:{server.port}") as prometheus,
    ):
        # A rate takes two scrapes.
        assert wait_until(lambda: prometheus.query("rate(penstock_writes_total[1m])"), 60)
        empty = [query for metric in metrics() if not prometheus.query(query := example_query(metric))]
        assert empty == []
