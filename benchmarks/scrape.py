"""What a scrape costs, and for how long it holds up the management port's event loop.

    python -m benchmarks scrape

Rendering: our exposition of a snapshot beside prometheus_client's `generate_latest` over as many direct metrics, same
number of series, in turns. Stall: the longest pause between two beats of the management port's own event loop (a
callback every 2 ms) while 10,000 series are scraped over HTTP without a break, in an idle process and beside a
pipeline at full speed, the latter also without a scrape. CPU: the time that one scrape keeps a core, every 5 seconds.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, generate_latest

import exporter.management.server as management
from benchmarks.conditions import Spread, conditions, ratios
from engine import Pipeline, ProcessingContext, Record
from engine.clock import NS_PER_SECOND
from exporter.http_server import HttpServer
from exporter.management import ManagementServer
from exporter.prometheus import Exposer
from tests.support.engines import FakeEngine
from tests.support.pipelines import ListSource
from tests.support.snapshots import wide_snapshot

_BEAT_SECONDS = 0.002
_STALL_SECONDS = 6.0
_REPETITIONS = 7


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


def rendering(partitions: int, subtasks: int, repetitions: int = _REPETITIONS) -> str:
    exposer = Exposer(FakeEngine(wide_snapshot(partitions=partitions, subtasks=subtasks)))

    def ours() -> bytes:
        return exposer.expose(accept="", accept_encoding="").body

    series = series_in(ours())
    # `_created` doubles a counter of prometheus_client: half of them make as many series.
    registry = direct(series // 2)
    theirs_ms, ours_ms = [], []
    for _ in range(repetitions):
        theirs_ms.append(1000 * seconds_of(lambda: generate_latest(registry)))
        ours_ms.append(1000 * seconds_of(ours))
    cpu_began = time.thread_time()
    ours()
    share = (time.thread_time() - cpu_began) / 5
    return (
        f"| {series} | {Spread.of(ours_ms).text('{:.1f}')} | {Spread.of(theirs_ms).text('{:.1f}')} | "
        f"{ratios(ours_ms, theirs_ms).text()} | {100 * share:.2f} % |"
    )


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


class _Echo:
    def process(self, record: Record, context: ProcessingContext) -> None:
        context.emit("echo", record.value)


class _Nowhere:
    def open(self, context: object) -> None:
        return

    def export(self, records: object) -> None:
        return

    def close(self) -> None:
        return


@contextmanager
def full_load() -> Iterator[None]:
    """A durable pipeline of two partitions that never runs out of input."""
    source = ListSource([{"n": n % 1000} for n in range(2_000_000)], batch=500)
    pipeline = Pipeline("load", partitions=2).source("n", source)
    pipeline = pipeline.map("step", lambda value: {**value, "seen": True}).process(_Echo, key="n")
    with tempfile.TemporaryDirectory() as folder:
        engine = pipeline.export("nowhere", _Nowhere).run(Path(folder) / "data")
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


def stalls(*, load: bool, scraped: bool, repetitions: int = 3) -> tuple[Spread, Spread]:
    """The longest pause of each repetition, and the slowest answer of liveness, in milliseconds."""
    longest_ms, liveness_ms = [], []
    management.HttpServer = Beating  # type: ignore[misc]
    try:
        for _ in range(repetitions):
            with ExitStack() as stack:
                if load:
                    stack.enter_context(full_load())
                engine = FakeEngine(wide_snapshot(partitions=100, subtasks=200))
                server = stack.enter_context(ManagementServer(engine, port=0))
                beating: Any = server._server
                beating.pauses_ns.clear()
                command = [sys.executable, "-c", _CLIENT, server.url, str(_STALL_SECONDS), str(scraped)]
                told = subprocess.run(command, capture_output=True, text=True, check=True)
                longest_ms.append(max(beating.pauses_ns) / 1e6)
                liveness_ms.append(1000 * float(told.stdout))
    finally:
        management.HttpServer = HttpServer  # type: ignore[misc]
    return Spread.of(longest_ms), Spread.of(liveness_ms)


def main() -> str:
    rows = [
        "| series | ours, ms | generate_latest, direct, ms | ÷ | CPU at one in 5 s |",
        "|---|---|---|---|---|",
        rendering(10, 20),
        rendering(100, 200),
        rendering(1000, 2000, repetitions=3),
    ]
    stall_rows = ["| | longest stall, ms | slowest liveness, ms |", "|---|---|---|"]
    for name, load, scraped in (
        ("idle, scraped", False, True),
        ("full load, not scraped", True, False),
        ("full load, scraped", True, True),
    ):
        longest, liveness = stalls(load=load, scraped=scraped)
        stall_rows.append(f"| {name} | {longest.text('{:.1f}')} | {liveness.text('{:.1f}')} |")
    head = f"scrapes, n = {_REPETITIONS} (3 for the largest and for stalls); {conditions()}"
    return "\n".join([head, "", *rows, "", *stall_rows])
