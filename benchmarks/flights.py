"""The flights job, durable and not, against the plain orjson loop and bytewax. `python -m benchmarks flights`."""

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
from benchmarks.flights_job import PEER, VARIANTS
from benchmarks.study import Pace, Report

ROOT = Path(__file__).parents[1]
# Which goal is about which variant; each against the plain loop, and against the peer.
GOALS = {"flights, memory": "memory", "flights, durable": "full"}


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
    variants = [variant for variant in VARIANTS if variant != PEER or find_spec(PEER) is not None]
    rates: dict[str, list[float]] = {variant: [] for variant in variants}
    peaks: dict[str, list[float]] = {variant: [] for variant in variants}
    with tempfile.TemporaryDirectory() as folder:
        source = flights(Path(folder), pace.of(300_000, 100_000))
        for _ in pace.repetitions(5, 2):
            for variant in variants:
                result = one(variant, source.path)
                assert result["records"] == source.records, f"{variant} has read {result['records']} records"
                rates[variant].append(source.records / result["seconds"] / 1000)
                peaks[variant].append(result["peak_mb"])
    rows = [
        "| variant | thousand records/s | ÷ plain loop | ÷ bytewax | peak MB |",
        "|---|---|---|---|---|",
    ]
    for variant in variants:
        against_peer = ratios(rates[variant], rates[PEER]).text() if PEER in rates else "–"
        rows.append(
            f"| {variant} | {Spread.of(rates[variant]).text('{:.0f}')} | "
            f"{ratios(rates[variant], rates['plain']).text()} | {against_peer} | "
            f"{Spread.of(peaks[variant]).median:.0f} |"
        )
    samples, missing = {}, {}
    for goal, variant in GOALS.items():
        samples[goal] = ratios(rates[variant], rates["plain"]).values
        if PEER in rates:
            samples[f"{goal}, {PEER}"] = ratios(rates[variant], rates[PEER]).values
        else:
            missing[f"{goal}, {PEER}"] = f"{PEER} is not installed"
    head = (
        f"flights job, {source.records} records of {source.bytes_per_row:.0f} bytes ({source.origin}), "
        f"n = {len(rates['plain'])}; {conditions()}"
    )
    return Report("\n".join([head, "", *rows]), samples, missing)
