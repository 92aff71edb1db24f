"""What Penstock aims for: every goal by name, in the order of the table, with the benchmark that measures it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound for one measured figure, mostly a ratio of two that were measured in turns within one run.

    `by` is the benchmark whose report carries samples of that name. `unit` is empty for a ratio.
    """

    name: str
    what: str
    must_be: Literal["at least", "at most"]
    bound: float
    by: str
    unit: str = ""

    def is_met_by(self, value: float) -> bool:
        return value >= self.bound if self.must_be == "at least" else value <= self.bound

    @property
    def text(self) -> str:
        sign = "≥" if self.must_be == "at least" else "≤"
        return f"{sign} {self.bound:g}{f' {self.unit}' if self.unit else ''}"


def _at_least(name: str, what: str, bound: float, by: str, unit: str = "") -> Goal:
    return Goal(name, what, "at least", bound, by, unit)


def _at_most(name: str, what: str, bound: float, by: str, unit: str = "") -> Goal:
    return Goal(name, what, "at most", bound, by, unit)


GOALS = (
    _at_least("append 1", "durable append, batch 1, flow control on ÷ raw append + fdatasync", 0.75, "append"),
    _at_least("append 100", "the same, batch 100", 0.75, "append"),
    _at_least("append 1000", "the same, batch 1000", 0.35, "append"),
    _at_least("group commit", "64 single-record writers ÷ one", 7, "append"),
    _at_most("gate", "one admission through the whole gate ÷ hand-made gate, time", 2.0, "gate"),
    _at_least("gate, limits", "limits ÷ one admission, time", 2, "gate"),
    _at_least("gate, pyrate", "pyrate-limiter ÷ one admission, time", 5, "gate"),
    _at_least("flow control", "appends without a sync, batch 100, flow control on ÷ off", 0.95, "gate"),
    _at_least("channel", "channel hand-off ÷ queue.Queue, batch 1", 4, "channels"),
    _at_least("stages", "pipeline of 4 stages ÷ inline loop", 0.65, "channels"),
    _at_least("flights, memory", "flights job without durability ÷ plain orjson loop", 0.65, "flights"),
    _at_least("flights, memory, bytewax", "the same ÷ bytewax", 1.75, "flights"),
    _at_least("flights, durable", "flights job, durable in and out ÷ plain orjson loop", 0.35, "flights"),
    _at_least("flights, durable, bytewax", "the same ÷ bytewax with recovery off", 1.0, "flights"),
    _at_least("workers, flights", "flights job, 2 workers ÷ 1 process", 1.3, "workers"),
    _at_least("workers, generators", "a generator for each worker, 2 workers ÷ 1 process", 1.6, "workers"),
    _at_most("workers, scrape", "a scrape every 5 s under full load, 2 workers, CPU ÷ wall time", 1, "workers", "%"),
    _at_most("sampler, 100", "sampler's CPU time ÷ wall time, 100 threads at 20/s", 0.8, "sampler", "%"),
    _at_most("sampler, 1000", "the same, 1000 threads", 6, "sampler", "%"),
    _at_most("scrape", "a scrape of 10k series every 5 s under full load, CPU ÷ wall time", 1, "scrape", "%"),
    _at_most("truth, waiting", "sampled − true ratio, waiting threads, the worst of 7", 0.06, "sampler"),
    _at_most("truth, computing", "the same, CPU-bound threads, by transitions", 0.06, "sampler"),
    _at_most("counter", "counter on the record path ÷ child.inc() of prometheus_client, time", 0.35, "cells"),
    _at_most("histogram", "histogram ÷ observe() of prometheus_client, time", 0.3, "cells"),
    _at_most("rendering, 1k", "rendering 1k series ÷ generate_latest of direct metrics, time", 0.25, "scrape"),
    _at_most("rendering, 10k", "the same, 10k series", 0.25, "scrape"),
    _at_most("rendering, 100k", "the same, 100k series", 0.25, "scrape"),
    _at_most("stall, idle", "longest stall of the event loop while 10k series are scraped, idle", 20, "scrape", "ms"),
    _at_most("stall, load", "the same under full load ÷ the same load unscraped", 1.5, "scrape"),
    _at_most("liveness", "slowest answer of liveness meanwhile", 1000, "scrape", "ms"),
    _at_least("post, 32", "durable POST ÷ non-durable, 32 connections", 0.65, "gateway"),
    _at_least("post, 128", "the same, 128 connections", 0.9, "gateway"),
    _at_least("ingest", "NDJSON bodies of 100 rows ÷ a bare httptools server with the same append", 0.55, "gateway"),
    _at_most("hour, memory", "an hour at full rate: the largest process", 150, "hour", "MB"),
    _at_most("hour, growth", "memory of all processes, last quarter ÷ first", 1.1, "hour"),
    _at_least("hour, rate", "throughput, last quarter ÷ first", 0.85, "hour"),
)
