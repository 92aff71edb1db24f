"""What a scrape costs beside two workers at full speed: its CPU time, in the parent and in the workers.

    python -m benchmarks.workers_scrape PAIRS

prints one JSON line: the share of wall time, in percent, of each pair of two stretches of five seconds, of which the
second has a scrape in it; and how many series that has. Counted is the CPU time of the parent, where nothing else runs
but its own looks, two a second, and of the threads of the workers that answer looks and do nothing else.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from benchmarks.parts import Echo
from benchmarks.workers_job import OPTIONS, PARTITIONS, Numbers
from engine import ExporterContext, Pipeline, Record
from engine.workers.blueprint import Blueprint
from engine.workers.engine import WorkerEngine
from exporter.management import ManagementServer

WORKERS = 2
STRETCH_SECONDS = 5.0
_ENDLESS = 10**12
_TELL_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0


def load(folder: str) -> Pipeline:
    """Numbers without end from a source for each worker, a result for each, and out to nowhere."""
    pipeline = Pipeline("scraped", partitions=PARTITIONS)
    for name in ("a", "b"):
        pipeline.source(name, Numbers(_ENDLESS))
    return pipeline.process(Echo, key=str).export("teller", lambda: _Teller(Path(folder)))


class _Teller:
    """Takes everything, and tells now and then what the thread that answers looks has used of a core so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told = 0.0

    def open(self, context: ExporterContext) -> None:
        self._file = self._folder / f"cpu-{context.partition}"
        answering = threading.main_thread().ident
        assert answering is not None, "it runs"
        self._clock = time.pthread_getcpuclockid(answering)

    def export(self, records: Sequence[Record]) -> None:
        if time.monotonic() - self._told > _TELL_SECONDS:
            unfinished = self._file.with_suffix(".new")
            unfinished.write_text(str(time.clock_gettime(self._clock)))
            unfinished.replace(self._file)
            self._told = time.monotonic()

    def close(self) -> None:
        return


def cpu_of_looks(folder: Path) -> float:
    """CPU seconds so far, without this thread's: it is the one that scrapes. A worker has one partition."""
    workers = sum(float((folder / f"cpu-{partition}").read_text()) for partition in range(1, PARTITIONS + 1))
    return time.process_time() - time.thread_time() + workers


def shares(pairs: int) -> tuple[list[float], list[float], int]:
    """In percent of wall time: without a scrape, and with one; and its series."""
    without, scraped, series = [], [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        blueprint = Blueprint("benchmarks.workers_scrape:load", (name,))
        with (
            WorkerEngine(blueprint, folder / "data", workers=WORKERS, options=OPTIONS) as engine,
            ManagementServer(engine, port=0) as server,
        ):

            def scrape() -> int:
                with urllib.request.urlopen(f"{server.url}/metrics") as answer:
                    return sum(not line.startswith(b"#") for line in answer)

            def stretch(*, with_scrape: bool) -> float:
                began, cpu = time.monotonic(), cpu_of_looks(folder)
                if with_scrape:
                    scrape()
                time.sleep(max(0.0, began + STRETCH_SECONDS - time.monotonic()))
                return 100 * (cpu_of_looks(folder) - cpu) / (time.monotonic() - began)

            _until_told(folder)
            series = scrape()
            for _ in range(pairs):
                without.append(stretch(with_scrape=False))
                scraped.append(stretch(with_scrape=True))
            engine.stop(drain=False)
    return without, scraped, series


def _until_told(folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not all((folder / f"cpu-{partition}").exists() for partition in range(1, PARTITIONS + 1)):
        if time.monotonic() > deadline:
            raise TimeoutError("the workers have exported nothing")
        time.sleep(_TELL_SECONDS)


if __name__ == "__main__":
    measured_without, measured_scraped, measured_series = shares(int(sys.argv[1]))
    print(json.dumps({"without": measured_without, "scraped": measured_scraped, "series": measured_series}))
