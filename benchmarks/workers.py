"""Two worker processes against one process. `python -m benchmarks workers`.

The flights job has one source, whose worker reads and parses for both, and two partitions, or three, of which the other
worker then has two; the generators' job has a source for each worker, and a step that costs as much as the rest. The
flights also with a scraper that asks every half second, and without; and what a scrape costs in CPU time, one in five
seconds, beside two workers at full speed (`benchmarks.workers_scrape`).
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.conditions import Spread, conditions, ratios
from benchmarks.study import Pace, Report

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


def scrape_shares(pairs: int) -> tuple[list[float], list[float], int]:
    """CPU time of looks ÷ wall time, in percent, without scrapes and with one in 5 s; and how many series it has."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.workers_scrape", str(pairs)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout)
    return said["without"], said["scraped"], said["series"]


def run(pace: Pace) -> Report:
    """With so many times the month of flights that ships with the repository."""
    months = pace.of(12, 4)
    samples: dict[str, tuple[float, ...]] = {}
    rows = ["| job | 1 process | 2 workers | ratio |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "flights.ndjson"
        source.write_bytes(gzip.decompress(MONTH.read_bytes()) * months)
        for job in ("flights", "flights of three", "generators"):
            single, double = [], []
            for _ in pace.repetitions(5, 2, job):
                single.append(one(job, 1, source))
                double.append(one(job, 2, source))
            for what, which in (("by the clock", 0), ("by CPU seconds of the busiest process", 1)):
                one_process, two = [rate[which] for rate in single], [rate[which] for rate in double]
                if which == 0:
                    samples[f"workers, {job}"] = ratios(two, one_process).values
                rows.append(
                    f"| {job}, thousand records/s {what} | {Spread.of(one_process).text('{:.0f}')} | "
                    f"{Spread.of(two).text('{:.0f}')} | {ratios(two, one_process).text()} |"
                )
        alone, scraped = [], []
        for _ in pace.repetitions(5, 2, "scraped"):
            alone.append(one("flights", 2, source)[0])
            scraped.append(one("flights", 2, source, scraped=True)[0])
    rows += [
        "",
        "| flights, 2 workers | alone | scraped every 0.5 s | ratio |",
        "|---|---|---|---|",
        f"| thousand records/s | {Spread.of(alone).text('{:.0f}')} | {Spread.of(scraped).text('{:.0f}')} | "
        f"{ratios(scraped, alone).text()} |",
    ]
    (unseen, seen, series) = scrape_shares(pace.of(5, 1))
    costs = tuple(with_one - without for with_one, without in zip(seen, unseen, strict=True))
    samples["workers, scrape"] = costs
    rows += [
        "",
        f"| a scrape of {series} series every 5 s, 2 workers at full speed | CPU ÷ wall time, % |",
        "|---|---|",
        f"| the parent's own looks alone | {Spread.of(unseen).text('{:.2f}')} |",
        f"| with the scrape | {Spread.of(seen).text('{:.2f}')} |",
        f"| the scrape | {Spread.of(costs).text('{:.2f}')} |",
    ]
    return Report("\n".join([f"worker processes, n = {len(alone)}; {conditions()}", "", *rows]), samples)
