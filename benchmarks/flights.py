"""The flights job, durable and not, against plain loops, bytewax and streamz. `python -m benchmarks flights`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.conditions import Spread, conditions, ratios
from benchmarks.dataset import flights
from benchmarks.flights_job import LIBRARIES, PEER, RECOVERING_PEER, VARIANTS
from benchmarks.study import Pace, Report

ROOT = Path(__file__).parents[1]
# Which goal is about which variant, and against which other one.
GOALS = {
    "flights, memory": ("memory", "plain"),
    "flights, memory, bytewax": ("memory", PEER),
    "flights, batch": ("memory, typed batch", "plain"),
    "flights, batch, bytewax": ("memory, typed batch", PEER),
    "flights, durable, by hand": ("full", "by hand, durable"),
    "flights, durable, bytewax": ("full", RECOVERING_PEER),
    "flights, durable batch, by hand": ("full, typed batch", "by hand, durable"),
    "flights, durable batch, bytewax": ("full, typed batch", RECOVERING_PEER),
}


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


def run(pace: Pace) -> Report:
    absent = {variant for variant, library in LIBRARIES.items() if find_spec(library) is None}
    variants = [variant for variant in VARIANTS if variant not in absent]
    rates: dict[str, list[float]] = {variant: [] for variant in variants}
    costs: dict[str, list[float]] = {variant: [] for variant in variants}
    peaks: dict[str, list[float]] = {variant: [] for variant in variants}
    with tempfile.TemporaryDirectory() as folder:
        source = flights(Path(folder), pace.of(300_000, 100_000))
        for _ in pace.repetitions(5, 2):
            for variant in variants:
                result = one(variant, source.path)
                assert result["records"] == source.records, f"{variant} has read {result['records']} records"
                rates[variant].append(source.records / result["seconds"] / 1000)
                costs[variant].append(result["cpu_seconds"] / source.records * 1e6)
                peaks[variant].append(result["peak_mb"])
    rows = [
        "| variant | thousand records/s | ÷ plain loop | µs of CPU a record | plain loop's CPU ÷ it | peak MB |",
        "|---|---|---|---|---|---|",
    ]
    for variant in variants:
        rows.append(
            f"| {variant} | {Spread.of(rates[variant]).text('{:.0f}')} | "
            f"{ratios(rates[variant], rates['plain']).text()} | {Spread.of(costs[variant]).text()} | "
            f"{ratios(costs['plain'], costs[variant]).text()} | {Spread.of(peaks[variant]).median:.0f} |"
        )
    samples, missing = {}, {}
    for goal, (variant, other) in GOALS.items():
        if other in absent:
            missing[goal] = f"{LIBRARIES[other]} is not installed"
        else:
            samples[goal] = ratios(rates[variant], rates[other]).values
    head = (
        f"flights job, {source.records} records of {source.bytes_per_row:.0f} bytes ({source.origin}), "
        f"n = {len(rates['plain'])}; {conditions()}"
    )
    return Report("\n".join([head, "", *rows]), samples, missing)
