"""From a slow bucket in a real Prometheus to the span of the batch that fell into it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import EngineOptions
from exporter.management import ManagementServer
from tests.support.collector import Collector
from tests.support.prometheus import Prometheus
from tests.support.traced_pipelines import traced
from tests.support.waiting import wait_until

COMMANDS = 300
DURATIONS = "penstock_processing_duration_seconds_bucket"


@pytest.mark.real
def test_prometheus_keeps_exemplars_that_name_spans_of_the_collector(tmp_path: Path) -> None:
    began = time.time()
    with (
        Collector() as collector,
        traced(collector.url, COMMANDS).run(tmp_path / "data", options=EngineOptions(storage="memory")) as engine,
        ManagementServer(engine, port=0) as server,
        Prometheus(tmp_path, f"127.0.0.1:{server.port}", features=("exemplar-storage",)) as prometheus,
    ):
        assert wait_until(lambda: prometheus.exemplars(DURATIONS, began - 60, time.time() + 60), 60)
        assert wait_until(lambda: prometheus.value('sum(penstock_otlp_spans_total{outcome="success"})'), 60)
        found = [
            exemplar
            for series in prometheus.exemplars(DURATIONS, began - 60, time.time() + 60)
            for exemplar in series["exemplars"]
        ]
        linked = {(one["labels"]["trace_id"], one["labels"]["span_id"]) for one in found}

        def arrived() -> set[tuple[str, str]]:
            return {(span.trace_id.hex(), span.span_id.hex()) for span in collector.spans}

        assert linked
        assert wait_until(lambda: linked <= arrived(), 60)


@pytest.mark.parametrize("workers", [1, 2], ids=["one-process", "two-workers"])
def test_a_run_whose_file_asks_for_traces_pushes_them_from_each_of_its_processes(workers: int, tmp_path: Path) -> None:
    with Collector() as collector:
        (tmp_path / "numbers.ndjson").write_text("".join(f'{{"n": {n}}}\n' for n in range(COMMANDS)))
        (tmp_path / "work.py").write_text(
            "import json\n\ndef parse(line):\n    return json.loads(line)\n\n"
            "class Echo:\n    def process(self, record, context):\n        context.emit('echo', record.value)\n"
        )
        (tmp_path / "traced.yaml").write_text(
            f"pipeline:\n  name: traced\n  partitions: 2\n"
            "  sources: {numbers: {lines: {path: numbers.ndjson, follow: true}}}\n"
            "  transforms: [{parse: {map: 'work:parse'}}]\n  key: n\n  processor: 'work:Echo'\n"
            f"workers: {workers}\nmanagement: {{enabled: false}}\n"
            f"otlp: {{traces: {{endpoint: '{collector.url}'}}}}\n"
        )
        command = [sys.executable, "-m", "penstock", "run", str(tmp_path / "traced.yaml")]
        with (tmp_path / "run.log").open("wb") as log:
            run = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            assert wait_until(lambda: commands_in(collector) == COMMANDS, 60), (tmp_path / "run.log").read_text()
        finally:
            run.terminate()
            run.wait(60)
    processes = {
        attribute.value.int_value
        for request in collector.traced
        for of_resource in request.resource_spans
        for attribute in of_resource.resource.attributes
        if attribute.key == "process.pid"
    }
    assert len(processes) == workers
    assert {span.name for span in collector.spans} == {"process traced"}
    # Nothing was said of metrics.
    assert collector.pushed == []


def commands_in(collector: Collector) -> int:
    return sum(
        attribute.value.int_value
        for span in collector.spans
        for attribute in span.attributes
        if attribute.key == "messaging.batch.message_count"
    )
