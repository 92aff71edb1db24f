"""Full rate for minutes: memory flat, disk bounded by retention. `python -m benchmarks.soak [--minutes 10]`.

Two partitions, a generator that never waits, a parallel step, a processor with state, messages between partitions and
timers, one exporter; limits on, so that flow control works too. Exit code 1 when memory or disk grew.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.conditions import conditions
from engine import (
    Engine,
    EngineOptions,
    FlowControlSettings,
    Pipeline,
    ProcessingContext,
    Record,
    RequestLimitSettings,
    ThrottlingSettings,
    WriteLimitSettings,
)
from engine.exporting.protocol import ExporterContext
from engine.snapshot import Outcome
from engine.sources.generator import generator

SAMPLE_SECONDS = 1.0
# From the first quarter's median to the last's: more than noise is growth.
MEMORY_GROWTH_MAX = 1.10
DISK_GROWTH_MAX = 1.25
LIMITS = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=1_000_000,
        throttling=ThrottlingSettings(enabled=True, acceptable_backlog=500_000, minimum_limit=1000),
    ),
    # Holds the generator to what the processors can do; without it the log would grow as they fall behind.
    request=RequestLimitSettings(enabled=True),
)


@dataclass(frozen=True)
class Sample:
    """One look at the process and its folder."""

    seconds: float
    memory_mb: float
    disk_mb: float
    written: int


class Busy:
    """Counts per key, tells a neighbour now and then, sets a timer now and then."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        context.state.put(record.key, context.state.get(record.key, 0) + 1)
        if record.value_type != "record":
            return
        n = record.value["n"]
        context.emit("counted", {"n": n, "filling": "x" * 80})
        if n % 10 == 0:
            context.send(f"key-{n % 97}", "neighbour", {"n": n})
        if n % 100 == 0:
            context.schedule(1.0, "later", {"n": n})


class Counting:
    """An outside that takes everything."""

    def open(self, context: ExporterContext) -> None:
        self.exported = 0

    def export(self, records: Sequence[Record]) -> None:
        self.exported += len(records)

    def close(self) -> None:
        return


def memory_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def disk_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def written(engine: Engine) -> int:
    return sum(
        count
        for partition in engine.snapshot().partitions
        for (_, outcome), count in partition.flow.writes.items()
        if outcome is Outcome.ACCEPTED
    )


def soak(folder: Path, seconds: float) -> list[Sample]:
    pipeline = (
        Pipeline("soak", partitions=2)
        .source("made-up", generator(rate=1e9, keys=1000))
        .map("as_is", lambda value: value, parallelism=2)
        .process(Busy, key="key")
        .export("out", Counting)
    )
    samples: list[Sample] = []
    with pipeline.run(folder, flow_control=LIMITS, options=EngineOptions(run_forever=True)) as engine:
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            samples.append(Sample(elapsed, memory_mb(), disk_mb(folder), written(engine)))
            if engine.wait(SAMPLE_SECONDS):
                raise RuntimeError("the engine ended by itself")
    return samples


def growth(values: Sequence[float]) -> float:
    quarter = max(1, len(values) // 4)
    # The second quarter is the first in which caches are full and retention works.
    return statistics.median(values[-quarter:]) / statistics.median(values[quarter : 2 * quarter])


def report(samples: Sequence[Sample]) -> str:
    rows = ["| minute | memory MB | disk MB | thousand records/s |", "|---|---|---|---|"]
    per_minute = round(60 / SAMPLE_SECONDS)
    for first in range(0, len(samples), per_minute):
        part = samples[first : first + per_minute]
        if len(part) > 1:
            rate = (part[-1].written - part[0].written) / (part[-1].seconds - part[0].seconds) / 1000
            memory, disk = max(s.memory_mb for s in part), max(s.disk_mb for s in part)
            rows.append(f"| {first // per_minute + 1} | {memory:.0f} | {disk:.0f} | {rate:.0f} |")
    memory, disk = growth([s.memory_mb for s in samples]), growth([s.disk_mb for s in samples])
    return "\n".join(
        [
            *rows,
            "",
            f"last quarter ÷ second quarter, medians: memory {memory:.3f}, disk {disk:.3f} (highest of a minute above)",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="full rate for minutes: memory flat, disk bounded")
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        samples = soak(Path(folder), minutes * 60)
    print(f"soak, {minutes:g} minutes; {conditions()}\n\n{report(samples)}")
    flat = growth([s.memory_mb for s in samples]) <= MEMORY_GROWTH_MAX
    bounded = growth([s.disk_mb for s in samples]) <= DISK_GROWTH_MAX
    return 0 if flat and bounded else 1


if __name__ == "__main__":
    sys.exit(main())
