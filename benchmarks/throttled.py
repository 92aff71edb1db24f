"""What a throttle does to those who write: the same commands before, while and after it holds the limit down.

`python -m benchmarks throttled`. The figures are those that an operator sees, read from the exposition itself.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.conditions import conditions
from benchmarks.parts import Echo, Nowhere
from benchmarks.study import Pace, Report
from engine import (
    AimdSettings,
    Engine,
    EngineOptions,
    FlowControlSettings,
    Pipeline,
    RequestLimitSettings,
    SystemClock,
    ThrottlingSettings,
    WriteLimitSettings,
)
from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.workers.blueprint import Blueprint
from engine.workers.engine import WorkerEngine
from exporter.prometheus import Exposer

OFFERED_PER_SECOND, CLIENTS = 600, 6
SLOW_PER_SECOND = 200
SETTINGS = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=4000,
        throttling=ThrottlingSettings(
            enabled=True,
            acceptable_backlog=1000,
            minimum_limit=50,
            resolution_ns=100 * NS_PER_MS,
            measurement_window_ns=2 * NS_PER_SECOND,
            measurement_resolution_ns=100 * NS_PER_MS,
        ),
    ),
    request=RequestLimitSettings(enabled=True, use_windowed=False, aimd=AimdSettings(initial_limit=50)),
)
_PAUSE = threading.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What was seen within one stretch of time."""

    name: str
    refused_share: float
    # The bound of the bucket in which the 99th of 100 commands lies; None without commands.
    p99_seconds: float | None
    # Share of the time in which the processor was held back by the write limit.
    processor_blocked_share: float
    processed_per_second: float
    throttled_share: float


class Figures:
    """The samples of one scrape, by name and labels."""

    def __init__(self, exposer: Exposer) -> None:
        text = exposer.expose(accept="text/plain", accept_encoding="").body.decode()
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        self.at_ns = SystemClock().monotonic_ns()

    def sum(self, name: str, **labels: str) -> float:
        return sum(s.value for s in self._samples if s.name == name and labels.items() <= s.labels.items())

    def buckets(self) -> dict[float, float]:
        found: dict[float, float] = {}
        for sample in self._samples:
            if sample.name == "penstock_command_duration_seconds_bucket":
                bound = float(sample.labels["le"])
                found[bound] = found.get(bound, 0) + sample.value
        return found


def between(name: str, before: Figures, after: Figures, *, partitions: int) -> Phase:
    seconds = (after.at_ns - before.at_ns) / NS_PER_SECOND

    def rose(metric: str, **labels: str) -> float:
        return after.sum(metric, **labels) - before.sum(metric, **labels)

    asked = rose("penstock_writes_total", source="user_command")
    accepted = rose("penstock_writes_total", source="user_command", outcome="accepted")
    earlier = before.buckets()
    counts = {bound: count - earlier[bound] for bound, count in sorted(after.buckets().items())}
    commands = counts[float("inf")]
    return Phase(
        name=name,
        refused_share=1 - accepted / asked if asked else 0.0,
        p99_seconds=next((bound for bound, count in counts.items() if count >= 0.99 * commands), None)
        if commands
        else None,
        processor_blocked_share=rose(
            "penstock_task_back_pressured_seconds_total", task="processor", reason="write_limit"
        )
        / (seconds * partitions),
        processed_per_second=commands / seconds,
        throttled_share=rose("penstock_throttled_seconds_total") / (seconds * partitions),
    )


@contextmanager
def clients(engine: Engine | WorkerEngine, partitions: int) -> Iterator[None]:
    """Threads that offer a command at a time, to the partitions in turn, at the same pace whatever becomes of them."""
    ended = threading.Event()
    clock = SystemClock()
    every_ns = CLIENTS * NS_PER_SECOND // OFFERED_PER_SECOND

    def offer() -> None:
        due_ns = clock.monotonic_ns()
        turns = itertools.cycle(range(1, partitions + 1))
        while not ended.is_set():
            engine.write([{"n": 1}], partition=next(turns))
            due_ns = max(due_ns + every_ns, clock.monotonic_ns() - NS_PER_SECOND)
            ended.wait(max(0, due_ns - clock.monotonic_ns()) / NS_PER_SECOND)

    threads = [threading.Thread(target=offer, daemon=True) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(10)


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    for _ in range(int(seconds * 100)):
        if holds():
            return
        _PAUSE.wait(0.01)
    raise AssertionError("what was waited for did not come")


def commands(partitions: int) -> Pipeline:
    return Pipeline("commands", partitions=partitions).process(Echo).export("out", Nowhere)


def _engine(folder: Path, workers: int) -> Engine | WorkerEngine:
    options = EngineOptions(storage="memory", run_forever=True)
    if workers == 1:
        return commands(1).run(folder, flow_control=SETTINGS, options=options)
    blueprint = Blueprint("benchmarks.throttled:commands", (workers,))
    return WorkerEngine(blueprint, folder, workers=workers, flow_control=SETTINGS, options=options)


def measure(folder: Path, seconds: float, *, workers: int = 1) -> tuple[Phase, ...]:
    """Four stretches of `seconds`: a quick exporter, a slow one once the throttle holds, quick again, no commands.

    Each worker has one partition, and with it its part of the commands and of the slow exporter's pace.
    """
    phases: list[Phase] = []
    with _engine(folder, workers) as engine:
        exposer = Exposer(engine)

        def throttled(partitions: Callable[[Iterable[bool]], bool] = any) -> bool:
            return partitions(partition.flow.throttled for partition in engine.snapshot().partitions)

        def watch(name: str) -> None:
            before = Figures(exposer)
            _PAUSE.wait(seconds)
            phases.append(between(name, before, Figures(exposer), partitions=workers))

        with clients(engine, workers):
            watch("quick exporter")
            engine.pace_exporter("out", SLOW_PER_SECOND / workers)
            wait_until(lambda: throttled(all))
            # Until it has settled.
            _PAUSE.wait(3)
            watch("slow exporter: throttled")
            engine.pace_exporter("out", None)
            wait_until(lambda: not throttled())
            _PAUSE.wait(0.5)
            watch("quick again")
            engine.pace_exporter("out", SLOW_PER_SECOND / workers)
            wait_until(lambda: throttled(all))
        # Nobody writes any more; the exporter catches up as slowly as before, and the throttle ends by itself.
        wait_until(lambda: not throttled())
        watch("no commands")
        engine.stop(drain=False)
    return tuple(phases)


def table(phases: tuple[Phase, ...]) -> str:
    rows = [
        "| exporter | refused | p99, accepted → processed | processor held back | processed | throttled |",
        "|---|---|---|---|---|---|",
    ]
    for phase in phases:
        p99 = "–" if phase.p99_seconds is None else f"≤ {phase.p99_seconds * 1000:g} ms"
        rows.append(
            f"| {phase.name} | {phase.refused_share:.0%} | {p99} | {phase.processor_blocked_share:.0%} | "
            f"{phase.processed_per_second:.0f}/s | {phase.throttled_share:.0%} |"
        )
    return "\n".join(rows)


def run(pace: Pace) -> Report:
    seconds = pace.of(10, 4)
    with tempfile.TemporaryDirectory() as folder:
        phases = measure(Path(folder), seconds)
    heading = (
        f"commands offered at {OFFERED_PER_SECOND}/s, exporter slowed to {SLOW_PER_SECOND} records/s; {conditions()}"
    )
    return Report(f"{heading}\n\n{table(phases)}")
