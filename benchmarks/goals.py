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
    _at_least("append 100", "the same, batch 100", 0.6, "append"),
    _at_least("append 1000", "the same, batch 1000", 0.4, "append"),
    _at_most("group commit", "64 single-record writers, CPU an append ÷ hand-made group commit", 1.2, "append"),
    _at_most("gate", "one admission through the whole gate ÷ hand-made gate, time", 1.5, "gate"),
    _at_least("gate, limits", "limits ÷ one admission, time", 2.5, "gate"),
    _at_least("gate, pyrate", "pyrate-limiter ÷ one admission, time", 6, "gate"),
    _at_least("flow control", "appends without a sync, batch 100, flow control on ÷ off", 0.97, "gate"),
    _at_most("channel", "channel ÷ queue.Queue, a buffer of 500, CPU a value", 1.1, "channels"),
    _at_least("stages", "pipeline of 4 stages ÷ inline loop", 0.8, "channels"),
    _at_least("flights, memory", "flights job without durability ÷ plain orjson loop", 0.45, "flights"),
    _at_least("flights, memory, bytewax", "the same ÷ bytewax with recovery off", 1.3, "flights"),
    _at_least("flights, batch", "the same with the batch API and typed decode ÷ plain orjson loop", 0.65, "flights"),
    _at_least("flights, batch, bytewax", "the same ÷ bytewax with recovery off", 1.9, "flights"),
    _at_least("flights, durable, by hand", "flights job, durable in and out ÷ a durable loop by hand", 0.5, "flights"),
    _at_least("flights, durable, bytewax", "the same ÷ bytewax with recovery on, epochs of 1 s", 1.3, "flights"),
    _at_least("flights, durable batch, by hand", "the same with the batch API ÷ the loop by hand", 0.65, "flights"),
    _at_least("flights, durable batch, bytewax", "the same ÷ bytewax with recovery on", 1.6, "flights"),
    _at_least("workers, flights", "flights job, 2 workers ÷ 1 process", 1.5, "workers"),
    _at_least("workers, generators", "a generator for each worker, 2 workers ÷ 1 process", 1.8, "workers"),
    _at_most("workers, scrape", "a scrape every 5 s under full load, 2 workers, CPU ÷ wall time", 1, "workers", "%"),
    _at_most("sampler, 100", "sampler's CPU time ÷ wall time, 100 threads at 20/s", 0.5, "sampler", "%"),
    _at_most("sampler, 1000", "the same, 1000 threads", 3.5, "sampler", "%"),
    _at_most("scrape", "a scrape of 10k series every 5 s under full load, CPU ÷ wall time", 0.4, "scrape", "%"),
    _at_most("truth, waiting", "sampled − true ratio, waiting threads, the worst of 7", 0.04, "sampler"),
    _at_most("truth, computing", "the same, CPU-bound threads, by transitions", 0.04, "sampler"),
    _at_most("counter", "counter on the record path ÷ child.inc() of prometheus_client, time", 0.1, "cells"),
    _at_most("histogram", "histogram ÷ observe() of prometheus_client, time", 0.2, "cells"),
    _at_most("rendering, 1k", "rendering 1k series ÷ generate_latest of direct metrics, time", 0.2, "scrape"),
    _at_most("rendering, 10k", "the same, 10k series", 0.2, "scrape"),
    _at_most("rendering, 100k", "the same, 100k series", 0.2, "scrape"),
    _at_most("stall, idle", "longest stall of the event loop while 10k series are scraped, idle", 15, "scrape", "ms"),
    _at_most("stall, load", "the same under full load ÷ the same load unscraped", 1.2, "scrape"),
    _at_most("liveness", "slowest answer of liveness meanwhile", 250, "scrape", "ms"),
    _at_least("post, 32", "durable POST ÷ non-durable, 32 connections", 0.9, "gateway"),
    _at_least("post, 128", "the same, 128 connections", 0.95, "gateway"),
    _at_least("ingest", "NDJSON bodies of 100 rows ÷ a bare httptools server with the same append", 0.6, "gateway"),
    _at_most("hour, memory", "an hour at full rate: the largest process", 120, "hour", "MB"),
    _at_most("hour, growth", "memory of all processes, last quarter ÷ first", 1.1, "hour"),
    _at_least("hour, rate", "throughput, last quarter ÷ first", 0.85, "hour"),
)
