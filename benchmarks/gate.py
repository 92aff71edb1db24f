"""What flow control costs: one admission against a hand-made gate and three libraries, and appends with and without.

`python -m benchmarks gate`; the libraries come with `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Lock

from engine.log.sqlite import SqliteStorage

from benchmarks.conditions import Spread, conditions, ratios
from benchmarks.study import Pace, Report
from engine.core.clock import SystemClock
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Unit
from engine.flow.gate import FlowControl, Permit
from engine.flow.settings import (
    FixedSettings,
    FlowControlSettings,
    RequestAlgorithm,
    RequestLimitSettings,
    ThrottlingSettings,
    WriteLimitSettings,
)
from engine.partition.partition import Partition

CALLS, SLOW_CALLS = 30_000, 4_000
# Short runs, many pairs: what disturbs one lasts longer than it does.
BATCH, BATCHES_PER_RUN = 100, 50
OFF = FlowControlSettings()
# Everything is on, and nothing is so low that it would hold a writer back.
ON = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True, limit=1_000_000_000, throttling=ThrottlingSettings(enabled=True, acceptable_backlog=10**12)
    ),
    request=RequestLimitSettings(
        enabled=True, algorithm=RequestAlgorithm.FIXED, fixed=FixedSettings(limit=100), use_windowed=False
    ),
)
Call = Callable[[], object]


class HandGate:
    """The least that rate, commands in flight and throttle can cost in Python: one lock, one clock reading."""

    __slots__ = ("_burst", "_in_flight", "_in_flight_max", "_lock", "_per_ns", "_stored", "_throttled", "_updated_ns")

    def __init__(self, limit_per_second: float, in_flight_max: int) -> None:
        self._lock = Lock()
        self._per_ns = limit_per_second / 1e9
        self._burst = self._stored = limit_per_second
        self._updated_ns = time.monotonic_ns()
        self._in_flight = 0
        self._in_flight_max = in_flight_max
        self._throttled = False

    def enter(self, records: int) -> bool:
        with self._lock:
            if self._throttled or self._in_flight >= self._in_flight_max:
                return False
            now_ns = time.monotonic_ns()
            stored = min(self._burst, self._stored + (now_ns - self._updated_ns) * self._per_ns)
            self._updated_ns = now_ns
            if stored < records:
                self._stored = stored
                return False
            self._stored = stored - records
            self._in_flight += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self._in_flight -= 1


def hand_gate() -> Call:
    gate = HandGate(1e9, 100)

    def call() -> None:
        gate.enter(1)
        gate.leave()

    return call


def our_gate() -> FlowControl:
    return FlowControl(SystemClock(), ON, partition=1, has_exporters=True)


def enter_and_leave() -> Call:
    """What the hand-made gate does too: admit, and give the slot back."""
    gate = our_gate()

    def call() -> None:
        permit = gate.try_acquire(WriteSource.USER_COMMAND, 1)
        assert isinstance(permit, Permit)
        permit.failed()

    return call


def enter() -> Call:
    """One command admitted, as the libraries do it: nothing is given back."""
    settings = FlowControlSettings(
        write=ON.write,
        request=RequestLimitSettings(
            enabled=True, algorithm=RequestAlgorithm.FIXED, fixed=FixedSettings(limit=10**9), use_windowed=False
        ),
    )
    gate = FlowControl(SystemClock(), settings, partition=1, has_exporters=True)
    return lambda: gate.try_acquire(WriteSource.USER_COMMAND, 1)


def whole_life() -> Call:
    """A command's whole life: admitted, stored at a position, processed, its round trip a sample."""
    gate = our_gate()
    positions = count(1)

    def call() -> None:
        permit = gate.try_acquire(WriteSource.USER_COMMAND, 1)
        assert isinstance(permit, Permit)
        position = next(positions)
        permit.appended(position)
        gate.processed(position)

    return call


def without_slot() -> Call:
    """A batch of results: the write limit alone."""
    gate = our_gate()
    return lambda: gate.try_acquire(WriteSource.PROCESSING_RESULT, 1)


def with_limits() -> Call:
    from limits import parse
    from limits.storage import MemoryStorage
    from limits.strategies import FixedWindowRateLimiter

    limiter, item = FixedWindowRateLimiter(MemoryStorage()), parse("100000000/hour")
    return lambda: limiter.hit(item, "key")


def with_pyrate() -> Call:
    from pyrate_limiter import Duration, InMemoryBucket, Limiter, Rate

    limiter = Limiter(InMemoryBucket([Rate(10**8, Duration.HOUR)]))
    return lambda: limiter.try_acquire("key", blocking=False)


def with_token_bucket() -> Call:
    from token_bucket import Limiter, MemoryStorage

    limiter = Limiter(10**8, 10**8, MemoryStorage())
    return lambda: limiter.consume(b"key")


HAND, BOTH_WAYS, ENTER = "hand-made gate, enter and leave", "our gate, enter and leave", "our gate, enter"
LIMITS, PYRATE = "limits, fixed window (rate only)", "pyrate-limiter, in memory (rate only)"
TOKEN_BUCKET = "token-bucket, in memory (rate only)"
CANDIDATES: dict[str, tuple[Callable[[], Call], int]] = {
    HAND: (hand_gate, CALLS),
    BOTH_WAYS: (enter_and_leave, CALLS),
    ENTER: (enter, CALLS),
    "our gate, a command's whole life": (whole_life, CALLS),
    "our gate, a batch without a slot": (without_slot, CALLS),
    TOKEN_BUCKET: (with_token_bucket, CALLS),
    LIMITS: (with_limits, SLOW_CALLS),
    PYRATE: (with_pyrate, SLOW_CALLS),
}


def ns_per_call(call: Call, calls: int) -> float:
    began = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return (time.perf_counter_ns() - began) / calls


def admissions(pace: Pace) -> tuple[list[str], dict[str, Spread]]:
    """Every candidate once in each repetition, so that what slows one down slows down all."""
    calls = {name: (make(), number) for name, (make, number) in CANDIDATES.items()}
    times: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for call, number in calls.values():
        ns_per_call(call, number // 10)
    for _ in pace.repetitions(25, 7, "admissions"):
        for name, (call, number) in calls.items():
            times[name].append(ns_per_call(call, number))
    rows = ["| admission | ns | ÷ hand-made gate |", "|---|---|---|"]
    for name, taken in times.items():
        rows.append(f"| {name} | {Spread.of(taken).text('{:.0f}')} | {ratios(taken, times[HAND]).text()} |")
    for name in (TOKEN_BUCKET, LIMITS, PYRATE):
        rows.append(f"| {name.split(',')[0]} ÷ our gate, enter | | {ratios(times[name], times[ENTER]).text()} |")
    return rows, {
        "gate": ratios(times[BOTH_WAYS], times[HAND]),
        "gate, limits": ratios(times[LIMITS], times[ENTER]),
        "gate, pyrate": ratios(times[PYRATE], times[ENTER]),
    }


class Appends:
    """A partition over SQLite without a sync; units of a hundred records, encoded anew each time."""

    def __init__(self, folder: Path, settings: FlowControlSettings) -> None:
        self.partition = Partition(
            1,
            SqliteStorage(folder / "1.db", synchronous="NORMAL"),
            SystemClock(),
            flow_control=settings,
            exporters=(),
            has_processor=False,
            progressed=lambda: None,
        )
        value = os.urandom(170)
        self._records = [Record(RecordType.COMMAND, "row", "create", "key-17", value) for _ in range(BATCH)]

    def per_second(self) -> float:
        partition = self.partition
        began = time.perf_counter_ns()
        for _ in range(BATCHES_PER_RUN):
            permit = partition.try_acquire(WriteSource.USER_COMMAND, BATCH)
            assert isinstance(permit, Permit)
            partition.append(Unit(source=WriteSource.USER_COMMAND, records=self._records), permit)
        return BATCH * BATCHES_PER_RUN * 1e9 / (time.perf_counter_ns() - began)


def throughput(pace: Pace) -> tuple[list[str], Spread]:
    """Appends with everything on and with everything off, in turn; which goes first changes with each pair."""
    with tempfile.TemporaryDirectory() as folder:
        sides = {}
        for name, settings in (("on", ON), ("off", OFF)):
            (Path(folder) / name).mkdir()
            sides[name] = Appends(Path(folder) / name, settings)
            sides[name].per_second()
        rates: dict[str, list[float]] = {"on": [], "off": []}
        for pair in pace.repetitions(400, 60, "throughput"):
            for name in ("on", "off") if pair % 2 else ("off", "on"):
                rates[name].append(sides[name].per_second())
        for side in sides.values():
            side.partition.close()
    on_off = ratios(rates["on"], rates["off"])
    return [
        f"| appends of {BATCH} records without a sync, {len(on_off.values)} pairs | thousand records/s |",
        "|---|---|",
        *(f"| flow control {name} | {Spread.of([r / 1000 for r in rates[name]]).text('{:.0f}')} |" for name in rates),
        f"| on ÷ off | {on_off.text()} |",
    ], on_off


def run(pace: Pace) -> Report:
    admission_rows, found = admissions(pace)
    throughput_rows, on_off = throughput(pace)
    heading = f"flow control, n = {len(found['gate'].values)}; {conditions()}"
    samples = {name: spread.values for name, spread in found.items()} | {"flow control": on_off.values}
    return Report("\n".join([heading, "", *admission_rows, "", *throughput_rows]), samples)
