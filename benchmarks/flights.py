"""The flights job, durable and not, against the plain orjson loop. `python -m benchmarks flights`."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.conditions import Spread, conditions, ratios
from benchmarks.flights_job import VARIANTS

ROOT = Path(__file__).parents[1]
MONTH = ROOT / "examples" / "flights" / "flights.ndjson.gz"


def one(variant: str, source: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.flights_job", variant, str(source), folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main(*, months: int = 11, repetitions: int = 5) -> str:
    """The table as text; `months` times the month of flights that ships with the repository."""
    rates: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    peaks: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "flights.ndjson"
        source.write_bytes(gzip.decompress(MONTH.read_bytes()) * months)
        records = 0
        for _ in range(repetitions):
            for variant in VARIANTS:
                result = one(variant, source)
                records = result["records"]
                rates[variant].append(records / result["seconds"] / 1000)
                peaks[variant].append(result["peak_mb"])
    rows = [
        "| variant | thousand records/s | ÷ plain loop | peak MB |",
        "|---|---|---|---|",
    ]
    for variant in VARIANTS:
        ratio = ratios(rates[variant], rates["plain"])
        rows.append(
            f"| {variant} | {Spread.of(rates[variant]).text('{:.0f}')} | {ratio.text()} | "
            f"{Spread.of(peaks[variant]).median:.0f} |"
        )
    return "\n".join([f"flights job, {records} records, n = {repetitions}; {conditions()}", "", *rows])
