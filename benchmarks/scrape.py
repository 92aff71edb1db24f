"""What a scrape costs, and for how long it holds up the management port's event loop.

    python -m benchmarks scrape

Rendering: our exposition of a snapshot beside prometheus_client's `generate_latest` over as many direct metrics, same
number of series, in turns. Stall: the longest pause between two beats of the management port's own event loop (a
callback every 2 ms) while 10,000 series are scraped over HTTP without a break, in an idle process and beside a
pipeline at full speed, the latter also without a scrape. CPU: what the threads of the management port use beside that
pipeline while 10,000 series are scraped every 5 seconds.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, generate_latest

import exporter.management.server as management
from benchmarks.conditions import Spread, conditions, ratios
from benchmarks.parts import Echo, Nowhere
from benchmarks.study import Pace, Report
from engine import Pipeline
from engine.core.clock import NS_PER_SECOND
from exporter.http_server import HttpServer
from exporter.management import ManagementServer
from exporter.prometheus import Exposer
from tests.support.engines import FakeEngine
from tests.support.pipelines import ListSource
from tests.support.snapshots import wide_snapshot

_BEAT_SECONDS = 0.002
_SCRAPE_EVERY_SECONDS = 5.0
# The event loop, the pool of calls, the pool that renders.
_MANAGEMENT_THREADS = ("penstock-management", "penstock-scrape")


def series_in(body: bytes) -> int:
    return sum(1 for line in body.splitlines() if line and not line.startswith(b"#"))


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def direct(series: int) -> CollectorRegistry:
    """Counters of prometheus_client with our usual labels."""
    registry = CollectorRegistry()
    labels = ["pipeline", "partition", "source", "outcome"]
    for first in range(0, series, 100):
        counter = Counter(f"penstock_writes_{first}", "Records that asked to be written.", labels, registry=registry)
        for n in range(min(100, series - first)):
            counter.labels("flights", str(n), "user_command", "accepted").inc(n)
    return registry


def rendering(partitions: int, subtasks: int, repetitions: Iterable[int]) -> tuple[str, Spread]:
    exposer = Exposer(FakeEngine(wide_snapshot(partitions=partitions, subtasks=subtasks)))

    def ours() -> bytes:
        return exposer.expose(accept="", accept_encoding="").body

    series = series_in(ours())
    # `_created` doubles a counter of prometheus_client: half of them make as many series.
    registry = direct(series // 2)
    theirs_ms, ours_ms = [], []
    for _ in repetitions:
        theirs_ms.append(1000 * seconds_of(lambda: generate_latest(registry)))
        ours_ms.append(1000 * seconds_of(ours))
    ratio = ratios(ours_ms, theirs_ms)
    row = (
        f"| {series} | {Spread.of(ours_ms).text('{:.1f}')} | {Spread.of(theirs_ms).text('{:.1f}')} | {ratio.text()} "
        f"| {len(ratio.values)} |"
    )
    return row, ratio


def cpu_of_management() -> float:
    """CPU seconds of the threads that serve the management port: its event loop, and the pool that renders."""
    clocks = [
        time.pthread_getcpuclockid(thread.ident)
        for thread in threading.enumerate()
        if thread.ident is not None and thread.name.startswith(_MANAGEMENT_THREADS)
    ]
    return sum(time.clock_gettime(clock) for clock in clocks)


def cpu_share(scrapes: int) -> float:
    """Of wall time, in percent, beside a pipeline at full speed, so many scrapes five seconds apart."""
    with full_load(), ManagementServer(_wide_engine(), port=0) as server:
        urllib.request.urlopen(f"{server.url}/metrics").read()
        cpu, wall = cpu_of_management(), time.monotonic()
        for number in range(1, scrapes + 1):
            urllib.request.urlopen(f"{server.url}/metrics").read()
            time.sleep(max(0.0, wall + number * _SCRAPE_EVERY_SECONDS - time.monotonic()))
        return 100 * (cpu_of_management() - cpu) / (time.monotonic() - wall)


def _wide_engine() -> FakeEngine:
    """Some 10,000 series."""
    return FakeEngine(wide_snapshot(partitions=100, subtasks=200))


_IDLE, _UNSCRAPED, _SCRAPED = "idle, scraped", "full load, not scraped", "full load, scraped"
# Whether there is load beside, and whether it is scraped.
_STALLS = {_IDLE: (False, True), _UNSCRAPED: (True, False), _SCRAPED: (True, True)}


class Beating(HttpServer):
    """Beats in its own event loop, and keeps the pauses between beats."""

    pauses_ns: list[int]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.pauses_ns = []
        self._beats = asyncio.ensure_future(self._beat())
        await super().startup(sockets)

    async def _beat(self) -> None:
        while True:
            began = time.monotonic_ns()
            await asyncio.sleep(_BEAT_SECONDS)
            self.pauses_ns.append(time.monotonic_ns() - began - round(_BEAT_SECONDS * NS_PER_SECOND))


@contextmanager
def full_load() -> Iterator[None]:
    """A durable pipeline of two partitions that never runs out of input."""
    source = ListSource([{"n": n % 1000} for n in range(2_000_000)], batch=500)
    pipeline = Pipeline("load", partitions=2).source("n", source)
    pipeline = pipeline.map("step", lambda value: {**value, "seen": True}).process(Echo, key="n")
    with tempfile.TemporaryDirectory() as folder:
        engine = pipeline.export("nowhere", Nowhere).run(Path(folder) / "data")
        engine.start()
        try:
            yield
        finally:
            engine.stop(drain=False)


# Another process, so that its work is not taken for the server's: scrapes without a break, and asks for liveness.
_CLIENT = """
import sys, threading, time, urllib.request
url, seconds, scraped = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "True"
end = time.monotonic() + seconds
def get(path):
    with urllib.request.urlopen(url + path) as answer:
        answer.read()
def scrape():
    while time.monotonic() < end:
        get("/metrics")
        time.sleep(0.05)
if scraped:
    threading.Thread(target=scrape, daemon=True).start()
slowest = 0.0
while time.monotonic() < end:
    began = time.monotonic()
    get("/-/healthy")
    slowest = max(slowest, time.monotonic() - began)
    time.sleep(0.02)
print(slowest)
"""


def stall(*, load: bool, scraped: bool, seconds: float) -> tuple[float, float]:
    """The longest pause, and the slowest answer of liveness, in milliseconds."""
    # The millions of objects of the load before would be collected in the midst of this one, and count as its stall.
    gc.collect()
    management.HttpServer = Beating  # type: ignore[attr-defined]
    try:
        with ExitStack() as stack:
            if load:
                stack.enter_context(full_load())
            server = stack.enter_context(ManagementServer(_wide_engine(), port=0))
            beating: Any = server._server
            beating.pauses_ns.clear()
            command = [sys.executable, "-c", _CLIENT, server.url, str(seconds), str(scraped)]
            told = subprocess.run(command, capture_output=True, text=True, check=True)
            return max(beating.pauses_ns) / 1e6, 1000 * float(told.stdout)
    finally:
        management.HttpServer = HttpServer  # type: ignore[attr-defined]


def run(pace: Pace) -> Report:
    samples: dict[str, tuple[float, ...]] = {}
    rows = ["| series | ours, ms | generate_latest, direct, ms | ÷ | n |", "|---|---|---|---|---|"]
    for name, partitions, subtasks, full, quick in (
        ("1k", 10, 20, 15, 7),
        ("10k", 100, 200, 9, 5),
        ("100k", 1000, 2000, 3, 1),
    ):
        row, ratio = rendering(partitions, subtasks, pace.repetitions(full, quick, f"rendering {name}"))
        samples[f"rendering, {name}"] = ratio.values
        rows.append(row)
    stalled: dict[str, list[tuple[float, float]]] = {name: [] for name in _STALLS}
    for _ in pace.repetitions(5, 2, "stalls"):
        for name, (load, scraped) in _STALLS.items():
            stalled[name].append(stall(load=load, scraped=scraped, seconds=pace.of(5, 2)))
    longest = {name: [pause for pause, _ in found] for name, found in stalled.items()}
    liveness = {name: [answer for _, answer in found] for name, found in stalled.items()}
    rows += ["", "| | longest stall, ms | slowest liveness, ms |", "|---|---|---|"]
    for name in _STALLS:
        rows.append(
            f"| {name} | {Spread.of(longest[name]).text('{:.1f}')} | {Spread.of(liveness[name]).text('{:.1f}')} |"
        )
    samples["stall, idle"] = tuple(longest[_IDLE])
    samples["stall, load"] = ratios(longest[_SCRAPED], longest[_UNSCRAPED]).values
    samples["liveness"] = tuple(liveness[_SCRAPED])
    shares = [cpu_share(pace.of(2, 1)) for _ in pace.repetitions(3, 1, "CPU")]
    samples["scrape"] = tuple(shares)
    rows += ["", f"CPU of the management port at a scrape every 5 s under full load: {Spread.of(shares).text()} %"]
    head = f"scrapes, n = {len(longest[_IDLE])} for stalls, {len(shares)} for CPU; {conditions()}"
    return Report("\n".join([head, "", *rows]), samples)
