"""Every fault a target can have, for a minute and under load: `python -m benchmarks.outage [--small-disk FOLDER]`.

One pipeline with an exporter for each fault. Records come in through the gateway's door as fast as the limits let
them; after ten seconds all targets go wrong together, and after `--seconds` all are well again. What an operator sees
is sampled once a second from the API and the metrics; in the end each target is asked whether anything is missing. A
second pipeline has a wrong address from its start, for as long, and is started again with the right one.

`--small-disk` is a folder on a file system of its own, of at most 256 MB, which is filled up to be the full disk of a
jsonl exporter. Exit code 1 when something is lost or does not recover.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from benchmarks.conditions import conditions
from benchmarks.limits import adaptive
from engine import (
    Engine,
    EngineOptions,
    Pipeline,
    Refusal,
)
from engine.core.clock import NS_PER_SECOND
from engine.exporting.elasticsearch import elasticsearch
from engine.exporting.http import http
from engine.exporting.jsonl import jsonl
from engine.exporting.postgres import postgres
from engine.exporting.protocol import ExporterFactory, RecordFilter
from exporter.management import ManagementServer
from tests.support.targets.http_target import BulkTarget, LineTarget, Posted, Reply, bulk_target, line_target
from tests.support.targets.postgres_server import PROGRAMS, PostgresServer, postgres_server

LIMIT, MINIMUM, ACCEPTABLE = 500, 20, 20_000
SETTINGS = adaptive(limit=LIMIT, minimum=MINIMUM, acceptable_backlog=ACCEPTABLE)
_WELL_SECONDS = 10.0
_RECOVERY_SECONDS_MAX = 120.0
_SMALL_DISK_BYTES_MAX = 256 * 1024 * 1024
# Behind by less than this is the usual: a second of records.
_CAUGHT_UP = LIMIT
_POISONED = 6000
_WANTED = RecordFilter(value_types=frozenset({"record"}))


@dataclass(frozen=True, kw_only=True)
class Fault:
    """An exporter, how its target goes wrong and comes back, and what the target has in the end."""

    name: str
    exporter: str
    factory: ExporterFactory
    begin: Callable[[], None]
    end: Callable[[], None]
    # The numbers of the records that arrived, in the order of their coming.
    arrived: Callable[[], list[int]]
    missing_allowed: frozenset[int] = frozenset()


@dataclass
class Seen:
    """What an operator saw of one exporter while its target was not well."""

    states: Counter[str] = field(default_factory=Counter)
    told_states: Counter[str] = field(default_factory=Counter)
    backlog_max: int = 0
    told_backlog_max: float = 0.0
    age_seconds_max: float = 0.0
    errors: int = 0
    retries: int = 0
    last_error: str = ""
    recovered_seconds: float | None = None
    log: list[str] = field(default_factory=list)

    def look(self, found: dict[str, Any]) -> None:
        (part,) = found["partitions"]
        self.states[found["state"]] += 1
        self.backlog_max = max(self.backlog_max, found["backlog"])
        self.age_seconds_max = max(self.age_seconds_max, found["oldestUnexportedAgeSeconds"])
        self.errors, self.retries = part["errors"], part["retries"]
        self.last_error = part["lastError"] or ""


class Lines(logging.Handler):
    """Keeps the lines of the exporters' log."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record.getMessage())


# -- the targets ---


def _numbers(documents: Iterable[dict[str, Any]]) -> list[int]:
    return [document["value"]["n"] for document in documents]


def _of_lines(name: str, target: LineTarget, behave: Callable[[Posted], Reply | None], **options: Any) -> Fault:
    return Fault(
        name=name,
        exporter=name.replace(" ", "-"),
        factory=http(target.url, **options),
        begin=lambda: setattr(target, "behave", behave),
        end=lambda: setattr(target, "behave", lambda _: None),
        arrived=lambda: _numbers(target.lines),
    )


def _slowly(_: Posted) -> None:
    time.sleep(4.0)


def _half(turn: Iterator[int], _: dict[str, Any]) -> tuple[int, str] | None:
    return (429, "queue is full") if next(turn) % 2 else None


def _poisoned(document: dict[str, Any]) -> tuple[int, str] | None:
    return (400, "n is unlucky") if document["value"]["n"] == _POISONED else None


def _documents(target: BulkTarget) -> list[int]:
    return _numbers(target.documents.values())


def _from_postgres(server: PostgresServer) -> list[int]:
    return [n for (n,) in server.query("SELECT (value->>'n')::int FROM penstock_records ORDER BY position")]


def _fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@contextmanager
def faults(small_disk: Path | None) -> Iterator[list[Fault]]:
    with ExitStack() as stack:
        down, broken, busy, hanging, slow = (stack.enter_context(line_target()) for _ in range(5))
        refusing = stack.enter_context(line_target())
        bulk, half, poisoned, forbidden = (stack.enter_context(bulk_target()) for _ in range(4))
        busy_for = {"retry-after": "5"}
        found = [
            Fault(
                name="down",
                exporter="http-down",
                factory=http(down.url),
                begin=down.stop,
                end=down.start,
                arrived=lambda: _numbers(down.lines),
            ),
            Fault(
                name="down",
                exporter="elasticsearch-down",
                factory=elasticsearch(bulk.url, "all"),
                begin=bulk.stop,
                end=bulk.start,
                arrived=partial(_documents, bulk),
            ),
            _of_lines("answers 500", broken, lambda _: Reply(500, b"broken")),
            _of_lines("answers 429", busy, lambda _: Reply(429, headers=busy_for)),
            _of_lines("hangs", hanging, lambda _: Reply(200, hold=hanging.hold), timeout_ns=5 * NS_PER_SECOND),
            _of_lines("slow", slow, _slowly),
            _of_lines("refuses all with 400", refusing, lambda _: Reply(400, b"no such field")),
            Fault(
                name="forbids all documents",
                exporter="bulk-forbidden",
                factory=elasticsearch(forbidden.url, "all"),
                begin=lambda: setattr(forbidden, "judge", lambda _: (403, "action is unauthorized")),
                end=lambda: setattr(forbidden, "judge", lambda _: None),
                arrived=partial(_documents, forbidden),
            ),
            Fault(
                name="takes half of each bulk",
                exporter="bulk-half",
                factory=elasticsearch(half.url, "all"),
                begin=lambda: setattr(half, "judge", partial(_half, iter(range(10**9)))),
                end=lambda: setattr(half, "judge", lambda _: None),
                arrived=partial(_documents, half),
            ),
            Fault(
                name="refuses one record for ever",
                exporter="poisonous",
                factory=elasticsearch(poisoned.url, "all"),
                begin=lambda: setattr(poisoned, "judge", _poisoned),
                end=lambda: None,
                arrived=partial(_documents, poisoned),
                missing_allowed=frozenset({_POISONED}),
            ),
        ]
        if PROGRAMS is not None:
            for how in ("stopped", "hangs"):
                server = stack.enter_context(postgres_server())
                is_stopped = how == "stopped"
                found.append(
                    Fault(
                        name=f"PostgreSQL {how}",
                        exporter=f"postgres-{how}",
                        factory=postgres(server.url, timeout_ns=5 * NS_PER_SECOND),
                        begin=server.stop if is_stopped else server.hang,
                        end=server.start if is_stopped else server.go_on,
                        arrived=partial(_from_postgres, server),
                    )
                )
        if small_disk is not None:
            folder = Path(tempfile.mkdtemp(dir=small_disk))
            stack.callback(shutil.rmtree, folder)
            path = folder / "out.ndjson"
            found.append(
                Fault(
                    name="disk full",
                    exporter="jsonl-disk-full",
                    factory=jsonl(path),
                    begin=partial(_fill, folder),
                    end=(folder / "ballast").unlink,
                    arrived=lambda: _numbers(json.loads(line) for line in path.read_text().splitlines()),
                )
            )
        yield found


# -- the load ---


class Load:
    """A client that obeys: it comes back when it was told. Numbers the records from 0."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self.written = 0
        self._thread.start()

    def _feed(self) -> None:
        while not self._over.is_set():
            answer = self._engine.write([{"n": self.written + i} for i in range(25)])
            if isinstance(answer, Refusal):
                self._over.wait(answer.retry_after_ns / NS_PER_SECOND)
            else:
                self.written += 25

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def _told(metrics: str, name: str, exporter: str) -> Iterator[tuple[str, float]]:
    """The lines of one metric of one exporter, with their values."""
    for line in metrics.splitlines():
        if line.startswith(name + "{") and f'exporter="{exporter}"' in line:
            yield line, float(line.rpartition(" ")[2])


def _look(url: str, seen: dict[str, Seen]) -> dict[str, int]:
    """One look at API and metrics. The backlogs, by exporter."""
    metrics = httpx.get(f"{url}/metrics", timeout=30).text
    backlogs = {}
    for found in httpx.get(f"{url}/api/exporters", timeout=30).json()["exporters"]:
        name = found["exporter"]
        seen[name].look(found)
        backlogs[name] = found["backlog"]
        for _, value in _told(metrics, "penstock_exporter_backlog_records", name):
            seen[name].told_backlog_max = max(seen[name].told_backlog_max, value)
        for line, value in _told(metrics, "penstock_exporter_state", name):
            if value:
                seen[name].told_states[line.partition('state="')[2].partition('"')[0]] += 1
    return backlogs


def through(folder: Path, wrong: Sequence[Fault], seconds: float, lines: Lines) -> tuple[dict[str, Seen], int, int]:
    """What was seen, how many records were written, and the lowest write limit."""
    pipeline = Pipeline("outage")
    for fault in wrong:
        pipeline.export(fault.exporter, fault.factory, filter=_WANTED)
    seen = {fault.exporter: Seen() for fault in wrong}
    limit_min = LIMIT
    options = EngineOptions(run_forever=True)
    with (
        pipeline.run(folder, flow_control=SETTINGS, options=options) as engine,
        ManagementServer(engine, port=0) as server,
    ):
        load = Load(engine)
        engine.wait(_WELL_SECONDS)
        for fault in wrong:
            fault.begin()
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            _look(server.url, seen)
            limit_min = min(limit_min, int(engine.snapshot().partitions[0].flow.write_limit_per_second or 0))
            engine.wait(1.0)
        mended = time.monotonic()
        for fault in wrong:
            fault.end()
        aside: dict[str, Seen] = {name: Seen() for name in seen}
        while time.monotonic() - mended < _RECOVERY_SECONDS_MAX and any(
            s.recovered_seconds is None for s in seen.values()
        ):
            for name, backlog in _look(server.url, aside).items():
                if backlog <= _CAUGHT_UP and seen[name].recovered_seconds is None:
                    seen[name].recovered_seconds = time.monotonic() - mended
            engine.wait(0.25)
        load.stop()
        deadline = time.monotonic() + _RECOVERY_SECONDS_MAX
        while time.monotonic() < deadline and any(_look(server.url, aside).values()):
            engine.wait(0.25)
        engine.stop(drain=False)
    for name, one in seen.items():
        one.log = [line for line in lines.kept if f"exporter {name} " in line]
    return seen, load.written, limit_min


def report(wrong: Sequence[Fault], seen: dict[str, Seen], written: int) -> tuple[str, bool]:
    rows = [
        "| fault | exporter | log | API | metrics | back to the usual after s | missing | twice |",
        "|---|---|---|---|---|---|---|---|",
    ]
    good = True
    for fault in wrong:
        one = seen[fault.exporter]
        arrived = Counter(fault.arrived())
        missing = set(range(written)) - set(arrived) - fault.missing_allowed
        twice = sum(count > 1 for count in arrived.values())
        good &= not missing and one.recovered_seconds is not None
        log = "; ".join(f"“{line}”" for line in one.log) or "–"
        states = ", ".join(f"{state} {count}×" for state, count in one.states.most_common())
        told = ", ".join(f"{state} {count}×" for state, count in one.told_states.most_common())
        back = "never" if one.recovered_seconds is None else f"{one.recovered_seconds:.1f}"
        rows.append(
            f"| {fault.name} | {fault.exporter} | {log} | {states}; backlog to {one.backlog_max}, oldest "
            f"{one.age_seconds_max:.0f} s, errors {one.errors}, last “{one.last_error}” | {told}; backlog to "
            f"{one.told_backlog_max:.0f} | {back} | {len(missing)} | {twice} |"
        )
    return "\n".join(rows), good


# -- a wrong address from the start ---


def _size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def wrong_address(folder: Path, seconds: float) -> tuple[str, bool]:
    """Nothing is ever exported; then the same folder with the right address."""
    options = EngineOptions(run_forever=True)
    with line_target() as target:
        pipeline = Pipeline("wrong").export("outside", http(f"http://127.0.0.1:{_nobody()}"), filter=_WANTED)
        with pipeline.run(folder, flow_control=SETTINGS, options=options) as engine:
            load = Load(engine)
            engine.wait(seconds)
            load.stop()
            partition = engine.snapshot().partitions[0]
            limit, backlog = partition.flow.write_limit_per_second, partition.backlog_records
            engine.stop(drain=False)
        size_mb = _size_mb(folder)
        pipeline = Pipeline("wrong").export("outside", http(target.url), filter=_WANTED)
        began = time.monotonic()
        with pipeline.run(folder, flow_control=SETTINGS, options=options) as engine:
            while engine.snapshot().partitions[0].backlog_records and time.monotonic() - began < _RECOVERY_SECONDS_MAX:
                engine.wait(0.1)
            took = time.monotonic() - began
            engine.stop(drain=False)
        missing = len(set(range(load.written)) - set(_numbers(target.lines)))
    text = (
        f"wrong address for {seconds:g} s: {load.written} records written, backlog {backlog}, limit down to "
        f"{limit:.0f} records/s, folder {size_mb:.1f} MB; with the right address everything was there after "
        f"{took:.1f} s, {missing} missing"
    )
    return text, not missing


def _nobody() -> int:
    """A port at which nobody answers."""
    with line_target() as target:
        return target.port


def main() -> int:
    parser = argparse.ArgumentParser(description="every fault a target can have, under load")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--small-disk", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    if asked.small_disk is not None:
        disk = os.statvfs(asked.small_disk)
        if disk.f_blocks * disk.f_frsize > _SMALL_DISK_BYTES_MAX:
            parser.error(f"{asked.small_disk} is on a large disk, and would be filled")
    lines = Lines()
    logger = logging.getLogger("penstock.exporting")
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as folder, faults(asked.small_disk) as wrong:
        seen, written, limit_min = through(Path(folder) / "data", wrong, asked.seconds, lines)
        table, good = report(wrong, seen, written)
        text, whole = wrong_address(Path(folder) / "wrong", asked.seconds)
    print(f"faults of {asked.seconds:g} s under load; {conditions()}\n\n{table}\n")
    print(f"{written} records; write limit down to {limit_min} records/s of {LIMIT}\n{text}")
    return 0 if good and whole else 1


if __name__ == "__main__":
    sys.exit(main())
