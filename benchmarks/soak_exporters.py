"""One of two exporters stalls for a while: `python -m benchmarks.soak_exporters [--minutes 10]`.

Records come in through the gateway's door as fast as the limits let them; the stall is a fifth of the time, from three
tenths on. Held to: memory flat, the backlog near the acceptable one while the exporter stalls, the other exporter
undisturbed, everything exported at the end. Exit code 1 when something of it does not hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.conditions import conditions
from benchmarks.limits import adaptive
from benchmarks.soak import memory_mb
from engine import (
    Engine,
    EngineOptions,
    Pipeline,
    Record,
    Refusal,
)
from engine.core.snapshot import ExporterSnapshot
from engine.exporting.jsonl import jsonl
from engine.exporting.protocol import ExporterContext
from engine.exporting.rotation import Rotation

ACCEPTABLE, LIMIT, MINIMUM = 20_000, 2000, 20
SETTINGS = adaptive(limit=LIMIT, minimum=MINIMUM, acceptable_backlog=ACCEPTABLE)
MEMORY_GROWTH_MAX = 1.10
# What the minimum writes while the exporter stands still is beyond any throttle.
OVERSHOOT_MAX = 0.10
OTHERS_AGE_SECONDS_MAX = 2.0


@dataclass(frozen=True)
class Sample:
    """One look: what the exporters have open, in records and seconds."""

    seconds: float
    memory_mb: float
    stalled_backlog: int
    other_backlog: int
    other_age_seconds: float
    limit: float


class Stalling:
    """An outside that stands still while it is told to."""

    def __init__(self, may_go_on: threading.Event) -> None:
        self._may_go_on = may_go_on

    def open(self, context: ExporterContext) -> None:
        return

    def export(self, records: Sequence[Record]) -> None:
        self._may_go_on.wait()

    def close(self) -> None:
        return


def feed(engine: Engine, over: threading.Event) -> None:
    """A client that obeys: it comes back when it was told."""
    n = 0
    while not over.is_set():
        answer = engine.write([{"n": n + i, "filling": "x" * 200} for i in range(50)])
        if isinstance(answer, Refusal):
            over.wait(answer.retry_after_ns / 1e9)
        else:
            n += 50


def exporter(engine: Engine, name: str) -> ExporterSnapshot:
    return next(e for e in engine.snapshot().partitions[0].exporters if e.exporter == name)


def sample(engine: Engine, seconds: float) -> Sample:
    snapshot = engine.snapshot()
    partition = snapshot.partitions[0]
    stalled, other = partition.exporters
    return Sample(
        seconds,
        memory_mb(),
        stalled.backlog_records,
        other.backlog_records,
        max(0, snapshot.taken_wall_ns - (other.oldest_unexported_wall_ns or 0)) / 1e9,
        partition.flow.write_limit_per_second or 0.0,
    )


def soak(folder: Path, seconds: float) -> tuple[list[Sample], bool]:
    """What was seen each second, and whether everything was exported in the end."""
    may_go_on, over = threading.Event(), threading.Event()
    may_go_on.set()
    rotation = Rotation(size_bytes=16 * 1024 * 1024, gzip=True, keep=3)
    pipeline = (
        Pipeline("soak")
        .export("stalling", lambda: Stalling(may_go_on))
        .export("file", jsonl(folder / "out.ndjson", rotation=rotation))
    )
    samples: list[Sample] = []
    options = EngineOptions(run_forever=True, retained_records=10_000)
    with pipeline.run(folder / "data", flow_control=SETTINGS, options=options) as engine:
        client = threading.Thread(target=feed, args=(engine, over), daemon=True)
        client.start()
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            if 0.3 * seconds <= elapsed < 0.5 * seconds:
                may_go_on.clear()
            else:
                may_go_on.set()
            samples.append(sample(engine, elapsed))
            if engine.wait(1.0):
                raise RuntimeError("the engine ended by itself")
        over.set()
        client.join()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and any(exporter(engine, n).backlog_records for n in ("stalling", "file")):
            engine.wait(0.1)
        whole = all(exporter(engine, n).backlog_records == 0 for n in ("stalling", "file"))
    return samples, whole


def report(samples: Sequence[Sample], seconds: float, whole: bool) -> tuple[str, bool]:
    stall = [s for s in samples if 0.3 * seconds < s.seconds < 0.5 * seconds]
    settled = stall[len(stall) // 2 :]
    backlog = statistics.median(s.stalled_backlog for s in settled)
    allowed = ACCEPTABLE * (1 + OVERSHOOT_MAX) + MINIMUM * 0.2 * seconds
    peak = max(s.stalled_backlog for s in samples)
    other_age = max(s.other_age_seconds for s in samples)
    quarter = len(samples) // 4
    growth = statistics.median(s.memory_mb for s in samples[-quarter:]) / statistics.median(
        s.memory_mb for s in samples[quarter : 2 * quarter]
    )
    rows = [
        "| minute | memory MB | limit/s | stalling: backlog | file: backlog | file: oldest s |",
        "|---|---|---|---|---|---|",
    ]
    for first in range(0, len(samples), 60):
        part = samples[first : first + 60]
        rows.append(
            f"| {first // 60 + 1} | {max(s.memory_mb for s in part):.0f} | {min(s.limit for s in part):.0f} | "
            f"{max(s.stalled_backlog for s in part)} | {max(s.other_backlog for s in part)} | "
            f"{max(s.other_age_seconds for s in part):.2f} |"
        )
    held = {
        f"memory, last quarter ÷ second: {growth:.3f}, at most {MEMORY_GROWTH_MAX}": growth <= MEMORY_GROWTH_MAX,
        f"backlog while stalled: {backlog:.0f}, peak {peak}, acceptable {ACCEPTABLE}": (
            backlog >= 0.8 * ACCEPTABLE and peak <= allowed
        ),
        f"the other exporter: oldest record {other_age:.2f} s, at most {OTHERS_AGE_SECONDS_MAX}": (
            other_age <= OTHERS_AGE_SECONDS_MAX
        ),
        "everything was exported in the end": whole,
    }
    lines = [f"- {'holds' if holds else 'DOES NOT HOLD'}: {what}" for what, holds in held.items()]
    return "\n".join([*rows, "", *lines]), all(held.values())


def main() -> int:
    parser = argparse.ArgumentParser(description="one of two exporters stalls for a fifth of the time")
    parser.add_argument("--minutes", type=float, default=10.0)
    seconds = parser.parse_args().minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        samples, whole = soak(Path(folder), seconds)
    text, good = report(samples, seconds, whole)
    print(f"soak of exporters, {seconds / 60:g} minutes; {conditions()}\n\n{text}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
