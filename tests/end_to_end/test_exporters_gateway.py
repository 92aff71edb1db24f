"""`penstock run` with a gateway and no sources: records in over HTTP, out to files, until the run is told to end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.gateway import JSON, LINES
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
SETTINGS = """\
pipeline:
  name: from-outside
  partitions: {partitions}
  key: k
  exporters: {{file: {{jsonl: {{path: "out-{{partition}}.ndjson"}}}}}}
gateway: {{port: 0, contextPath: /ingest}}
management: {{port: 0}}
workers: {workers}
"""


@contextmanager
def run(folder: Path, *, workers: int) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The process, and where its gateway and its management port are."""
    (folder / "run.yaml").write_text(SETTINGS.format(partitions=2, workers=workers))
    log = folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "run", str(folder / "run.yaml")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def found(pattern: str) -> str:
        match = re.search(pattern, log.read_text())
        return match[1] if match else ""

    try:
        assert wait_until(lambda: found(r"(http\S+)/v1/records takes records")), log.read_text()
        yield process, found(r"(http\S+)/v1/records takes"), found(r"(http\S+) shows what happens")
    finally:
        process.kill()
        process.wait(20)


@pytest.mark.parametrize("workers", [1, 2])
def test_records_go_in_by_http_and_out_to_files_until_the_run_is_told_to_end(workers: int, tmp_path: Path) -> None:
    with run(tmp_path, workers=workers) as (process, gateway, management):
        assert gateway.endswith("/ingest")

        def answered() -> httpx.Response:
            return httpx.post(f"{gateway}/v1/records", content=b'{"k": "first", "n": 0}', headers=JSON, timeout=20)

        # The port is open before the engine runs, and says so.
        assert wait_until(lambda: answered().status_code == 200)
        lines = b"".join(b'{"k": "key %d", "n": %d}\n' % (n % 7, n) for n in range(1, 200))
        answer = httpx.post(f"{gateway}/v1/records", content=lines, headers=LINES, timeout=20)
        assert answer.status_code == 200, answer.text
        assert {place["partition"] for place in answer.json()["positions"]} == {1, 2}
        # The management port knows nothing of the gateway's prefix.
        metrics = httpx.get(f"{management}/metrics", timeout=20)
        assert metrics.status_code == 200
        # One port for all workers, and told of once.
        assert 'penstock_gateway_records_total{pipeline="from-outside"} 200' in metrics.text
        assert httpx.get(f"{management}/ingest/metrics", timeout=20).status_code == 404
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    written = [
        json.loads(line)
        for partition in (1, 2)
        for line in (tmp_path / f"out-{partition}.ndjson").read_text().splitlines()
    ]
    found = {(line["partition"], line["position"]): line["value"]["n"] for line in written if line["key"]}
    places = [(place["partition"], place["position"]) for place in answer.json()["positions"]]
    assert [found[place] for place in places] == list(range(1, 200))
