"""An hour at full rate on two workers, one exporter stalled for a sixth of it: does it stay as it began?

    python -m benchmarks hour [--minutes 60] [--file hour.json]

Two generators that never wait, two partitions, state, two exporters. From a third of the time on, one exporter stands
still for a sixth of the time; the throttle holds the backlog near what is acceptable, and retention the disk. Each
minute gives a line, and goes to the file: throughput, resident memory of every process, disk, backlog. The file holds
the samples of the goals, which `python -m benchmarks` shows from then on. Exit code 1 when one of them is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.conditions import conditions
from benchmarks.goals import GOALS
from benchmarks.hour_job import STALLING
from benchmarks.study import Pace, Report
from engine import EngineOptions, FlowControlSettings, RequestLimitSettings, ThrottlingSettings, WriteLimitSettings
from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import EngineSnapshot, Outcome
from engine.workers.blueprint import Blueprint
from engine.workers.engine import WorkerEngine

FILE = Path("hour.json")
MINUTES = 60.0
WORKERS = 2
STALL_FROM, STALL_UNTIL = 1 / 3, 1 / 2
# What a throttle shall hold the backlog of each partition at, in records.
ACCEPTABLE = 500_000
SETTINGS = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=1_000_000,
        throttling=ThrottlingSettings(
            enabled=True,
            acceptable_backlog=ACCEPTABLE,
            minimum_limit=100,
            resolution_ns=NS_PER_SECOND,
            # So that the rate of before the stall is soon forgotten: by default the memory of it is five minutes long.
            measurement_window_ns=30 * NS_PER_SECOND,
            measurement_resolution_ns=NS_PER_SECOND,
        ),
    ),
    # Holds the generators to what the processors can do.
    request=RequestLimitSettings(enabled=True),
)
_DISK_GROWTH_MAX = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """One line; memory and disk are the highest that was seen in it, in MB."""

    # From the start, at its end.
    minute: float
    # Of both partitions together: commands and their results.
    records_per_second: float
    memory_mb: Mapping[str, float]
    disk_mb: float
    stalled_backlog: int
    stalled: bool

    @property
    def text(self) -> str:
        memory = ", ".join(f"{name} {mb:.0f}" for name, mb in self.memory_mb.items())
        return (
            f"| {self.minute:.1f} | {self.records_per_second / 1000:.0f} | {memory} | {self.disk_mb:.0f} | "
            f"{self.stalled_backlog}{' (stalled)' if self.stalled else ''} |"
        )


HEAD = "| minute | thousand records/s | MB | disk MB | backlog of the stalling exporter |\n|---|---|---|---|---|"


def memory_mb(process: int) -> float:
    """Resident memory; 0 when the process is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)


def disk_mb(folder: Path) -> float:
    sizes = []
    for file in folder.rglob("*"):
        try:
            sizes.append(file.stat().st_size)
        except OSError:
            # Gone since the listing.
            continue
    return sum(sizes) / 1e6


def written(snapshot: EngineSnapshot) -> int:
    return sum(
        count
        for partition in snapshot.partitions
        for (_, outcome), count in partition.flow.writes.items()
        if outcome is Outcome.ACCEPTED
    )


def stalled_backlog(snapshot: EngineSnapshot) -> int:
    exporters = (e for partition in snapshot.partitions for e in partition.exporters)
    return sum(e.backlog_records for e in exporters if e.exporter == STALLING)


def processes(snapshot: EngineSnapshot) -> dict[str, int]:
    workers = {f"worker {w.worker}": w.process_id for w in snapshot.workers if w.process_id is not None}
    return {"parent": os.getpid(), **workers}


def watched(folder: Path, minutes: float, tell: Callable[[Minute], None]) -> list[Minute]:
    """Runs for so long, with a look each second. A line a minute, or each tenth of the time where that is less."""
    stalled = folder / "stalled"
    blueprint = Blueprint("benchmarks.hour_job:pipeline", (str(stalled),))
    seconds, every = minutes * 60, min(60.0, minutes * 6)
    lines: list[Minute] = []
    engine = WorkerEngine(
        blueprint, folder / "data", workers=WORKERS, flow_control=SETTINGS, options=EngineOptions(run_forever=True)
    )
    with engine:
        while written(engine.snapshot()) == 0:
            if engine.wait(0.1):
                raise RuntimeError("the engine ended by itself")
        began = line_began = time.monotonic()
        before = written(engine.snapshot())
        memory: dict[str, float] = {}
        disk = 0.0
        was_stalled = False
        while (now := time.monotonic()) - began < seconds or now - line_began > every / 2:
            standing = STALL_FROM <= (now - began) / seconds < STALL_UNTIL
            if standing:
                stalled.touch()
            else:
                stalled.unlink(missing_ok=True)
            snapshot = engine.snapshot()
            for name, process in processes(snapshot).items():
                memory[name] = max(memory.get(name, 0.0), memory_mb(process))
            disk = max(disk, disk_mb(folder / "data"))
            was_stalled |= standing
            if now - line_began >= every:
                so_far = written(snapshot)
                line = Minute(
                    minute=(now - began) / 60,
                    records_per_second=(so_far - before) / (now - line_began),
                    memory_mb=memory,
                    disk_mb=disk,
                    stalled_backlog=stalled_backlog(snapshot),
                    stalled=was_stalled,
                )
                lines.append(line)
                tell(line)
                line_began, before, memory, disk, was_stalled = now, so_far, {}, 0.0, False
            if engine.wait(1.0):
                raise RuntimeError("the engine ended by itself")
        engine.stop(drain=False)
    return lines


def quarters(lines: Sequence[Minute]) -> tuple[Sequence[Minute], Sequence[Minute]]:
    """The first and the last."""
    quarter = max(1, len(lines) // 4)
    return lines[:quarter], lines[-quarter:]


def findings(lines: Sequence[Minute]) -> dict[str, float]:
    """The figures of the goals, by their names."""
    first, last = quarters(lines)

    def median(part: Sequence[Minute], figure: Callable[[Minute], float]) -> float:
        return statistics.median(figure(line) for line in part)

    def together(line: Minute) -> float:
        return sum(line.memory_mb.values())

    def rate(line: Minute) -> float:
        return line.records_per_second

    return {
        "hour, memory": max(max(line.memory_mb.values()) for line in lines),
        "hour, growth": median(last, together) / median(first, together),
        "hour, rate": median(last, rate) / median(first, rate),
    }


def verdicts(lines: Sequence[Minute]) -> dict[str, bool]:
    found = findings(lines)
    held = {
        f"{goal.what}: {found[goal.name]:.2f} (goal {goal.text})": goal.is_met_by(found[goal.name])
        for goal in GOALS
        if goal.name in found
    }
    # A database keeps the size that the stall gave it, and uses it again: it must not grow beyond.
    _, last = quarters(lines)
    before = max(line.disk_mb for line in (lines[: -len(last)] or last))
    held[
        f"disk, highest before the last quarter: {before:.0f} MB; in it: {max(line.disk_mb for line in last):.0f} MB"
    ] = max(line.disk_mb for line in last) <= before * _DISK_GROWTH_MAX
    return held


def document(lines: Sequence[Minute], minutes: float) -> dict[str, Any]:
    return {
        "conditions": conditions(),
        "minutes": minutes,
        "findings": findings(lines),
        "lines": [asdict(line) for line in lines],
    }


def run(_pace: Pace) -> Report:
    """What the last hour has left in its file: the run itself takes an hour, and is started by itself."""
    names = [goal.name for goal in GOALS if goal.by == "hour"]
    if not FILE.exists():
        missing = f"no {FILE}: run python -m benchmarks hour"
        return Report(f"hour: {missing}", missing=dict.fromkeys(names, missing))
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    head = f"hour, {kept['minutes']:g} minutes, as {FILE} has it; {kept['conditions']}"
    if kept["minutes"] < MINUTES:
        missing = f"{FILE} holds {kept['minutes']:g} minutes"
        return Report(head, missing=dict.fromkeys(names, missing))
    lines = [Minute(**line) for line in kept["lines"]]
    text = "\n".join([head, "", HEAD, *(line.text for line in lines)])
    return Report(text, {name: [figure] for name, figure in findings(lines).items()})


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks hour", description="full rate on two workers")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--file", type=Path, default=FILE, help="where the figures go")
    parser.add_argument("--data", type=Path, help="where the log is kept meanwhile; a temporary folder by default")
    asked = parser.parse_args(given)
    print(f"{conditions()}\n\n{HEAD}", flush=True)
    with tempfile.TemporaryDirectory(dir=asked.data) as folder:
        lines = watched(Path(folder), asked.minutes, lambda line: print(line.text, flush=True))
    held = verdicts(lines)
    print("", *(f"- {'holds' if holds else 'DOES NOT HOLD'}: {what}" for what, holds in held.items()), sep="\n")
    asked.file.write_text(json.dumps(document(lines, asked.minutes), indent=1) + "\n", encoding="utf-8")
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
