"""Full rate for minutes: memory flat, disk bounded by retention. `python -m benchmarks.soak [--minutes 10]`.

Two partitions, a generator that never waits, a parallel step, a processor with state, messages between partitions and
timers, one exporter; limits on, so that flow control works too. A row a minute while it runs. Exit code 1 when memory
or disk grew: the second quarter of the run, in which caches are full and retention works, is held against the last, so
that a run of less than four minutes mostly shows how the caches fill.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
from engine.core.snapshot import Outcome
from engine.exporting.protocol import ExporterContext
from engine.runtime.arenas import keep_few_arenas
from engine.sources.generator import generator

SAMPLE_SECONDS = 1.0
# From the second quarter's median to the last's: more than noise is growth.
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


def soak(folder: Path, seconds: float, tell: Callable[[str], None]) -> list[Sample]:
    """Runs for so long; tells a row of the table as each minute ends."""
    pipeline = (
        Pipeline("soak", partitions=2)
        .source("made-up", generator(rate=1e9, keys=1000))
        .map("as_is", lambda value: value, parallelism=2)
        .process(Busy, key="key")
        .export("out", Counting)
    )
    samples: list[Sample] = []
    told = 0
    with pipeline.run(folder, flow_control=LIMITS, options=EngineOptions(run_forever=True)) as engine:
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            samples.append(Sample(elapsed, memory_mb(), disk_mb(folder), written(engine)))
            if elapsed >= (told + 1) * 60:
                told += 1
                tell(row(told, [s for s in samples if (told - 1) * 60 <= s.seconds <= told * 60]))
            if engine.wait(SAMPLE_SECONDS):
                raise RuntimeError("the engine ended by itself")
    rest = [s for s in samples if s.seconds >= told * 60]
    if len(rest) > 1:
        tell(row(told + 1, rest))
    return samples


HEADER = "| minute | memory MB | disk MB | thousand records/s |\n|---|---|---|---|"


def row(minute: int, part: Sequence[Sample]) -> str:
    """One minute: the highest of memory and disk, the mean rate."""
    rate = (part[-1].written - part[0].written) / (part[-1].seconds - part[0].seconds) / 1000
    memory, disk = max(s.memory_mb for s in part), max(s.disk_mb for s in part)
    return f"| {minute} | {memory:.0f} | {disk:.0f} | {rate:.0f} |"


def growth(values: Sequence[float]) -> float:
    quarter = max(1, len(values) // 4)
    return statistics.median(values[-quarter:]) / statistics.median(values[quarter : 2 * quarter])


def verdict(what: str, values: Sequence[float], growth_max: float) -> tuple[bool, str]:
    """Whether it is flat, and the sentence that says so."""
    found = growth(values)
    flat = found <= growth_max
    said = "is flat" if flat else "GREW"
    return flat, f"{what} {said}: last quarter ÷ second quarter {found:.3f}, at most {growth_max:.2f} (medians)"


def main() -> int:
    parser = argparse.ArgumentParser(description="full rate for minutes: memory flat, disk bounded")
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    # As the commands do.
    keep_few_arenas()
    print(f"soak, {minutes:g} minutes; {conditions()}\n\n{HEADER}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        samples = soak(Path(folder), minutes * 60, partial(print, flush=True))
    memory, of_memory = verdict("memory", [s.memory_mb for s in samples], MEMORY_GROWTH_MAX)
    disk, of_disk = verdict("disk", [s.disk_mb for s in samples], DISK_GROWTH_MAX)
    print(f"\n{of_memory}\n{of_disk}")
    return 0 if memory and disk else 1


if __name__ == "__main__":
    sys.exit(main())
