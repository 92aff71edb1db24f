"""Many threads at one gate: what is granted, how evenly, and what becomes of those who do not wait.

`python -m benchmarks hammer`: ten seconds; the test does the same for two.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from threading import Event, Thread

from benchmarks.conditions import conditions
from benchmarks.study import Pace, Report
from engine.core.clock import NS_PER_SECOND, SystemClock
from engine.core.records import WriteSource
from engine.flow.gate import FlowControl, Permit
from engine.flow.settings import (
    FixedSettings,
    FlowControlSettings,
    RequestAlgorithm,
    RequestLimitSettings,
    WriteLimitSettings,
)

WAITING_SOURCES = [source for source in WriteSource if source is not WriteSource.INTERNAL]
BATCH, THREADS_PER_SOURCE, TRYING = 5, 2, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Hammered:
    """What came of it. Shares are of the configured limit, or of an even share of what was granted."""

    granted_share: float
    least_even_share: float
    most_even_share: float
    # Single commands that were tried without waiting, and how many of them were admitted.
    tried: int
    tried_admitted: int
    in_flight_after: int


def hammer(*, limit: int, seconds: float) -> Hammered:
    """Two threads of each waiting source, and two that only try, for so long. Real time, real threads."""
    clock = SystemClock()
    gate = FlowControl(
        clock,
        FlowControlSettings(
            write=WriteLimitSettings(enabled=True, limit=limit),
            # Enough for those who wait; who tries must find room beside them.
            request=RequestLimitSettings(
                enabled=True, use_windowed=False, algorithm=RequestAlgorithm.FIXED, fixed=FixedSettings(limit=100)
            ),
        ),
        partition=1,
        has_exporters=False,
    )
    gate.wait_acquire(WriteSource.SCHEDULED, 1)
    until_ns = clock.monotonic_ns() + round(seconds * NS_PER_SECOND)
    positions = count(1)
    granted: list[int] = []
    tried: list[tuple[int, int]] = []
    pause = Event()

    def store(permit: Permit) -> None:
        position = next(positions)
        permit.appended(position)
        gate.processed(position)

    def wait_and_write(source: WriteSource) -> None:
        records = 0
        while clock.monotonic_ns() < until_ns:
            store(gate.wait_acquire(source, BATCH))
            records += BATCH
        granted.append(records)

    def try_to_write() -> None:
        attempts = admitted = 0
        while clock.monotonic_ns() < until_ns:
            attempts += 1
            permit = gate.try_acquire(WriteSource.USER_COMMAND, 1)
            if isinstance(permit, Permit):
                store(permit)
                admitted += 1
            pause.wait(0.002)
        tried.append((attempts, admitted))

    threads = [
        *(
            Thread(target=wait_and_write, args=(source,), daemon=True)
            for source in WAITING_SOURCES * THREADS_PER_SOURCE
        ),
        *(Thread(target=try_to_write, daemon=True) for _ in range(TRYING)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 20)
        assert not thread.is_alive(), "a writer was left waiting"
    admitted = sum(admitted for _, admitted in tried)
    even = sum(granted) / len(granted)
    # Each thread writes at most one batch after the time is over.
    late = BATCH * len(granted) / 2
    return Hammered(
        granted_share=(sum(granted) + admitted - late) / (limit * seconds),
        least_even_share=min(granted) / even,
        most_even_share=max(granted) / even,
        tried=sum(attempts for attempts, _ in tried),
        tried_admitted=admitted,
        in_flight_after=gate.snapshot(last_written=0, lowest_acknowledged=None).requests_in_flight,
    )


def run(pace: Pace) -> Report:
    seconds = pace.of(10, 2)
    rows = [
        "| limit/s | granted ÷ limit | least and most of an even share | tried beside them | admitted of those |",
        "|---|---|---|---|---|",
    ]
    for limit in (500, 2000, 10_000):
        for _ in pace.repetitions(1, 1, f"{limit}/s"):
            found = hammer(limit=limit, seconds=seconds)
            rows.append(
                f"| {limit} | {found.granted_share:.4f} | {found.least_even_share:.3f} to {found.most_even_share:.3f} "
                f"| {found.tried} | {found.tried_admitted} |"
            )
    writers = len(WAITING_SOURCES) * THREADS_PER_SOURCE
    heading = f"{writers} waiting and {TRYING} trying threads at one gate for {seconds:g} s; {conditions()}"
    return Report("\n".join([heading, "", *rows]))
