"""Two worker processes against one process. `python -m benchmarks workers`.

The flights job has one source, whose worker reads and parses for both; the generators' job has one for each worker, and
a step that costs as much as the rest. Both with a scraper that asks every half second, and without.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.conditions import Spread, conditions, ratios

ROOT = Path(__file__).parents[1]
MONTH = ROOT / "examples" / "flights" / "flights.ndjson.gz"


def one(job: str, workers: int, source: Path, *, scraped: bool = False) -> tuple[float, float]:
    """Thousand records a second, by the clock, and by the CPU time of the busiest process."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.workers_job"),
                *(job, str(workers), str(source), folder, "scraped" if scraped else "alone"),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    said = json.loads(done.stdout)
    return said["records"] / said["seconds"] / 1000, said["records"] / said["cpu_seconds_max"] / 1000


def main(*, months: int = 8, repetitions: int = 5) -> str:
    """The table as text; `months` times the month of flights that ships with the repository."""
    rows = ["| job | 1 process | 2 workers | ratio |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "flights.ndjson"
        source.write_bytes(gzip.decompress(MONTH.read_bytes()) * months)
        for job in ("flights", "generators"):
            single, double = [], []
            for _ in range(repetitions):
                single.append(one(job, 1, source))
                double.append(one(job, 2, source))
            for what, which in (("by the clock", 0), ("by CPU seconds of the busiest process", 1)):
                one_process, two = [rate[which] for rate in single], [rate[which] for rate in double]
                rows.append(
                    f"| {job}, thousand records/s {what} | {Spread.of(one_process).text('{:.0f}')} | "
                    f"{Spread.of(two).text('{:.0f}')} | {ratios(two, one_process).text()} |"
                )
        alone, scraped = [], []
        for _ in range(repetitions):
            alone.append(one("flights", 2, source)[0])
            scraped.append(one("flights", 2, source, scraped=True)[0])
    rows += [
        "",
        "| flights, 2 workers | alone | scraped every 0.5 s | ratio |",
        "|---|---|---|---|",
        f"| thousand records/s | {Spread.of(alone).text('{:.0f}')} | {Spread.of(scraped).text('{:.0f}')} | "
        f"{ratios(scraped, alone).text()} |",
    ]
    return "\n".join([f"worker processes, n = {repetitions}; {conditions()}", "", *rows])
