"""Durable appends against the limit of the disk: raw append and fdatasync. `python -m benchmarks append`.

The engine's append is the whole way of a writer: a permit from flow control (rate limit, throttle and request limit
on), encoding, checksum, positions, histogram, the local log at FULL. The raw one writes as many bytes and syncs.
Between them stand a plain loop that puts each batch into SQLite at FULL, encoded beforehand: what a database in the
place of the log would cost; and the raw one with a pause of busy waiting before each write: a disk that is written to
without a break answers sooner.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.at_once import Times, at_once
from benchmarks.conditions import Spread, conditions, ratios
from benchmarks.group_commit import hand_made
from benchmarks.logs import local_log
from benchmarks.study import Pace, Report
from engine.core.clock import SystemClock
from engine.core.columns import Columns
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Unit
from engine.flow.settings import FlowControlSettings, RequestLimitSettings, ThrottlingSettings, WriteLimitSettings
from engine.partition.partition import Partition

RECORD_BYTES = 200
# About what the engine's Python takes for a batch of 100.
PAUSE_SECONDS = 50e-6
# Everything is on, and nothing is so low that it would hold the writer back.
FLOW_CONTROL = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=100_000_000,
        throttling=ThrottlingSettings(enabled=True, acceptable_backlog=10**12),
    ),
    request=RequestLimitSettings(enabled=True),
)
VALUE = os.urandom(170)


@dataclass(frozen=True)
class _Cell:
    """Appends per second of one candidate at one batch size."""

    per_second: float
    p99_us: float


def record() -> Record:
    return Record(RecordType.COMMAND, "row", "create", "key-17", VALUE)


def partition(folder: Path) -> Partition:
    return Partition(
        1,
        local_log(folder / "1"),
        SystemClock(),
        flow_control=FLOW_CONTROL,
        exporters=(),
        has_processor=False,
        progressed=lambda: None,
    )


def timed(append: Callable[[], Any], seconds: float) -> _Cell:
    for _ in range(3):
        append()
    latencies: list[float] = []
    began = now = time.perf_counter()
    while now - began < seconds:
        append()
        after = time.perf_counter()
        latencies.append(after - now)
        now = after
    latencies.sort()
    return _Cell(len(latencies) / (now - began), latencies[int(len(latencies) * 0.99)] * 1e6)


def raw(folder: Path, batch: int, seconds: float, *, pause_seconds: float = 0.0) -> _Cell:
    records = [b"x" * RECORD_BYTES] * batch
    file = os.open(folder / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def append() -> None:
        until = time.perf_counter() + pause_seconds
        while time.perf_counter() < until:
            pass
        os.write(file, b"".join(records))
        os.fdatasync(file)

    try:
        return timed(append, seconds)
    finally:
        os.close(file)


def raw_after_pause(folder: Path, batch: int, seconds: float) -> _Cell:
    return raw(folder, batch, seconds, pause_seconds=PAUSE_SECONDS)


def sqlite_blob(folder: Path, batch: int, seconds: float) -> _Cell:
    db = sqlite3.connect(folder / "plain.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE batch (position INTEGER PRIMARY KEY, blob BLOB)")
    blob = os.urandom(RECORD_BYTES * batch)
    positions = count(step=batch)
    try:
        return timed(lambda: db.execute("INSERT INTO batch VALUES (?, ?)", (next(positions), blob)), seconds)
    finally:
        db.close()


def engine(folder: Path, batch: int, seconds: float) -> _Cell:
    target = partition(folder)
    # Made before: what a record costs its maker is not the log's. As columns, as sources and the gateway bring them.
    records = Columns.of([record() for _ in range(batch)])

    def append() -> None:
        permit = target.wait_acquire(WriteSource.USER_COMMAND, batch)
        target.append(Unit(source=WriteSource.USER_COMMAND, records=records), permit)

    try:
        return timed(append, seconds)
    finally:
        target.close()


def writers(folder: Path, threads: int, seconds: float) -> Times:
    """Acknowledged single-record appends of so many threads."""
    target = partition(folder)

    def append() -> None:
        permit = target.wait_acquire(WriteSource.USER_COMMAND, 1)
        target.append(Unit(source=WriteSource.USER_COMMAND, records=[record()]), permit)

    try:
        return at_once(append, threads, seconds)
    finally:
        target.close()


CANDIDATES = {
    "raw": raw,
    "raw after a pause": raw_after_pause,
    "SQLite blob": sqlite_blob,
    "engine": engine,
}


def run(pace: Pace) -> Report:
    seconds = 0.4
    samples: dict[str, tuple[float, ...]] = {}
    rows = [
        "| batch | raw: thousand records/s | raw after 50 µs ÷ raw | SQLite blob ÷ raw | engine ÷ raw | "
        "engine − raw, µs | engine p99 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for batch in (1, 100, 1000):
        found: dict[str, list[_Cell]] = {name: [] for name in CANDIDATES}
        for repetition in pace.repetitions(9, 3, f"batch {batch}"):
            # In turns, beginning with another each time, so that what the machine does hits all of them.
            names = deque(CANDIDATES)
            names.rotate(repetition)
            for name in names:
                with tempfile.TemporaryDirectory() as folder:
                    found[name].append(CANDIDATES[name](Path(folder), batch, seconds))
        per_second = {name: [cell.per_second for cell in cells] for name, cells in found.items()}
        samples[f"append {batch}"] = ratios(per_second["engine"], per_second["raw"]).values
        more_us = [
            1e6 / ours - 1e6 / limit for ours, limit in zip(per_second["engine"], per_second["raw"], strict=True)
        ]
        rows.append(
            f"| {batch} | {Spread.of([rate * batch / 1000 for rate in per_second['raw']]).text('{:.0f}')} | "
            f"{ratios(per_second['raw after a pause'], per_second['raw']).text()} | "
            f"{ratios(per_second['SQLite blob'], per_second['raw']).text()} | "
            f"{ratios(per_second['engine'], per_second['raw']).text()} | {Spread.of(more_us).text('{:.0f}')} | "
            f"{Spread.of([cell.p99_us / 1000 for cell in found['engine']]).text()} |"
        )
    many: list[Times] = []
    one: list[Times] = []
    many_by_hand: list[Times] = []
    one_by_hand: list[Times] = []
    for _ in pace.repetitions(9, 3, "group commit"):
        for measure, threads, into in (
            (writers, 1, one),
            (writers, 64, many),
            (hand_made, 1, one_by_hand),
            (hand_made, 64, many_by_hand),
        ):
            with tempfile.TemporaryDirectory() as folder:
                into.append(measure(Path(folder), threads, seconds))
    costs = ratios([times.cpu_us for times in many], [times.cpu_us for times in many_by_hand])
    samples["group commit"] = costs.values
    lines = [
        f"durable append, records of {RECORD_BYTES} bytes, flow control on, n = {len(one)}; {conditions()}",
        "",
        *rows,
        "",
        *_group_commit("one writer", one, one_by_hand),
        *_group_commit("64 writers", many, many_by_hand),
    ]
    return Report("\n".join(lines), samples)


def _group_commit(who: str, ours: list[Times], by_hand: list[Times]) -> list[str]:
    def rate(times: list[Times]) -> str:
        return Spread.of([one.per_second / 1000 for one in times]).text("{:.1f}")

    def cost(times: list[Times]) -> str:
        return Spread.of([one.cpu_us for one in times]).text("{:.0f}")

    more = ratios([one.cpu_us for one in ours], [one.cpu_us for one in by_hand]).text()
    return [
        f"group commit, {who}: {rate(ours)} thousand records/s and {cost(ours)} µs of CPU an append; by hand over a "
        f"raw file, without an engine: {rate(by_hand)} and {cost(by_hand)}; CPU ÷ by hand {more}"
    ]
