"""What counting costs on the record path, against the children of prometheus_client. `python -m benchmarks cells`.

Ours are what the engine's tasks use: a field of the subtask's meter, and a histogram of nanoseconds; one thread writes.
Theirs are held children with two labels. Each is called as a task would call it, within one loop of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as TheirCounter
from prometheus_client import Histogram as TheirHistogram

from benchmarks.conditions import Spread, conditions, ratios
from benchmarks.study import Pace, Report
from engine.core.measures import LATENCY_BOUNDS_SECONDS, Histogram
from engine.tasks.subtask import Meter

CALLS = 50_000
LABELS = ("pipeline", "task")
Loop = Callable[[], None]


def empty() -> Loop:
    def loop() -> None:
        for _ in range(CALLS):
            pass

    return loop


def our_counter() -> Loop:
    meter = Meter()

    def loop() -> None:
        for _ in range(CALLS):
            meter.records_in += 1

    return loop


def their_counter() -> Loop:
    child = TheirCounter("records", "Records.", LABELS, registry=CollectorRegistry()).labels("flights", "parse")

    def loop() -> None:
        for _ in range(CALLS):
            child.inc()

    return loop


def our_histogram() -> Loop:
    histogram = Histogram()

    def loop() -> None:
        for _ in range(CALLS):
            histogram.observe(300_000)

    return loop


def their_histogram() -> Loop:
    registry = CollectorRegistry()
    histogram = TheirHistogram("latency", "Seconds.", LABELS, buckets=LATENCY_BOUNDS_SECONDS, registry=registry)
    child = histogram.labels("flights", "parse")

    def loop() -> None:
        for _ in range(CALLS):
            child.observe(0.0003)

    return loop


CANDIDATES: dict[str, Callable[[], Loop]] = {
    "an empty turn of the loop": empty,
    "our counter": our_counter,
    "child.inc()": their_counter,
    "our histogram": our_histogram,
    "child.observe()": their_histogram,
}


def ns_per_call(loop: Loop) -> float:
    began = time.perf_counter_ns()
    loop()
    return (time.perf_counter_ns() - began) / CALLS


def run(pace: Pace) -> Report:
    loops = {name: make() for name, make in CANDIDATES.items()}
    times: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop()
    for _ in pace.repetitions(25, 7):
        for name, loop in loops.items():
            times[name].append(ns_per_call(loop))
    counter = ratios(times["our counter"], times["child.inc()"])
    histogram = ratios(times["our histogram"], times["child.observe()"])
    rows = ["| a call, the loop around it included | ns | ours ÷ theirs |", "|---|---|---|"]
    shown = {"our counter": counter.text(), "our histogram": histogram.text()}
    rows += [f"| {name} | {Spread.of(taken).text('{:.0f}')} | {shown.get(name, '')} |" for name, taken in times.items()]
    head = f"cells of the record path, n = {len(times['our counter'])}; {conditions()}"
    return Report("\n".join([head, "", *rows]), {"counter": counter.values, "histogram": histogram.values})
