"""An hour of two pipelines of which every second is known: throttles of all lengths, a kill, a stop, a pause, a death.

Whoever scrapes sees what he sees; `TRUTH` is what was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.identity import stable_id
from engine.core.pause import Pause
from engine.core.records import WriteSource
from engine.core.snapshot import (
    BackPressureSnapshot,
    ByHand,
    EngineSnapshot,
    EngineState,
    ExporterState,
    HistogramSnapshot,
    Outcome,
    PartitionSnapshot,
    TaskSnapshot,
    VertexKind,
    VertexSnapshot,
)
from exporter.scraper import Family, Scraper
from tests.support import snapshots
from tests.support.remote_write import STALE, Sample

HOUR = 3600
LIMIT = 4000.0
ACCEPTABLE = 100_000
JOB = "penstock"


@dataclass(frozen=True, slots=True)
class Throttle:
    """Seconds since the start of the story."""

    pipeline: str
    partition: int
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Life:
    """Of one process. Stopping takes its last seconds, if it is stopped; a killed one says nothing of its end."""

    pipeline: str
    instance: str
    begin: float
    end: float
    partitions: int
    stopping: float = 0.0


LIVES = (
    Life("flights", "engine-1:9600", 0.0, 1500.0, 2),
    Life("flights", "engine-1:9600", 1531.0, 3300.0, 2, stopping=12.0),
    Life("orders", "engine-2:9600", 0.0, 2000.0, 1),
)
# The last of the first life lasts when it is killed; the first of the second is over before anybody looks.
_ON_1 = (
    (101.3, 101.6), (160.8, 161.1), (202.1, 202.9), (251.0, 252.5), (304.4, 307.4), (359.2, 364.1), (420.6, 432.6),
    (500.5, 520.5), (600.0, 645.0), (702.9, 703.2), (763.3, 763.6), (811.0, 813.0), (900.7, 907.7),
    (1440.0, 1500.0),
    (1532.0, 1532.7), (1600.2, 1600.5), (1660.1, 1720.1), (1800.0, 2100.0), (2200.9, 2201.5), (2260.0, 2275.0),
    (2810.3, 2810.6), (2900.0, 2904.0), (3000.0, 3090.0),
)  # fmt: skip
_ON_2 = ((350.0, 410.0), (1000.4, 1000.7), (1060.0, 1072.0), (1900.0, 1930.0), (2500.2, 2500.8))
_OF_ORDERS = ((700.3, 700.6), (760.0, 790.0), (1400.0, 1404.5))
TRUTH = (
    *(Throttle("flights", 1, *times) for times in _ON_1),
    *(Throttle("flights", 2, *times) for times in _ON_2),
    *(Throttle("orders", 1, *times) for times in _OF_ORDERS),
)
VERTICES = tuple(
    VertexSnapshot(vertex_id=stable_id("story", name), task=name, kind=kind, parallelism=1)
    for name, kind in (("lines", VertexKind.SOURCE), ("audit", VertexKind.EXPORTER))
)
PAUSED = (2400.0, 2700.0)
RETRYING = (1300.0, 1360.0)
REFUSED = (2600.0, 2605.0)
REFUSED_PER_SECOND = 100.0
# Of orders: limits set by hand, values put aside.
BY_HAND = (700.0, 900.0)
REJECTED = (740.0, 780.0)
REJECTED_PER_SECOND = 2.0
WRITTEN_PER_SECOND = EXPORTED_PER_SECOND = 1000.0
BUSY_SHARE = 0.4
DISK_FREE = 10**10


def life_at(pipeline: str, at: float) -> Life | None:
    """None while it is dead."""
    return next((life for life in LIVES if life.pipeline == pipeline and life.begin <= at < life.end), None)


def is_throttled(pipeline: str, partition: int, at: float) -> bool:
    return any((t.pipeline, t.partition) == (pipeline, partition) and t.begin <= at < t.end for t in TRUTH)


def is_within(times: tuple[float, float], at: float) -> bool:
    return times[0] <= at < times[1]


def is_paused(pipeline: str, at: float) -> bool:
    return pipeline == "flights" and is_within(PAUSED, at)


def is_retrying(pipeline: str, at: float) -> bool:
    return pipeline == "flights" and is_within(RETRYING, at)


def backlog_at(pipeline: str, partition: int, at: float) -> int:
    return 80_000 if is_throttled(pipeline, partition, at) or is_paused(pipeline, at) else 500


def since(times: tuple[float, float], at: float) -> float:
    """How much of it is over."""
    return max(0.0, min(at, times[1]) - times[0])


def condition_at(pipeline: str, at: float) -> str:
    """What an operator has to be told, by the story and not by any snapshot."""
    life = life_at(pipeline, at)
    flights = pipeline == "flights"
    told = {
        "down": life is None,
        "stopping": life is not None and at >= life.end - life.stopping,
        "refusing": flights and REFUSED[0] <= at <= REFUSED[1] + 10,
        "throttled": any(t.pipeline == pipeline and t.begin <= at < t.end for t in TRUTH),
        "exporter_retrying": is_retrying(pipeline, at),
        "exporter_paused": is_paused(pipeline, at),
        "fine": True,
    }
    return next(word for word, holds in told.items() if holds)


def snapshot_at(life: Life, start: float, at: float) -> EngineSnapshot:
    """What the engine of this life says of itself at second `at` of a story that began at Unix time `start`."""
    taken = round((start + at) * NS_PER_SECOND)
    partitions = tuple(_partition(life, number, start, at, taken) for number in range(1, life.partitions + 1))
    whole = snapshots.engine_snapshot(partitions=partitions)
    is_blamed = any(p.flow.throttled for p in partitions) or _is_held(life.pipeline, at)
    return replace(
        whole,
        vertices=VERTICES,
        tasks=(_source(life, at, is_held_back=any(p.flow.throttled for p in partitions)),),
        bottleneck="audit" if is_blamed else None,
        pipeline=life.pipeline,
        state=EngineState.STOPPING if at >= life.end - life.stopping else EngineState.RUNNING,
        started_wall_ns=round((start + life.begin) * NS_PER_SECOND),
        taken_wall_ns=taken,
        taken_monotonic_ns=taken,
    )


def _is_held(pipeline: str, at: float) -> bool:
    return is_paused(pipeline, at) or is_retrying(pipeline, at)


def _source(life: Life, at: float, *, is_held_back: bool) -> TaskSnapshot:
    """Busy in a fixed share of its time; what it puts aside is told where somebody does."""
    busy_ns = round((at - life.begin) * BUSY_SHARE * NS_PER_SECOND)
    ratio = 0.9 if is_held_back else 0.0
    rejected = round(since(REJECTED, at) * REJECTED_PER_SECOND) if life.pipeline == "orders" else 0
    return snapshots.task(
        "lines",
        vertex_id=stable_id("story", "lines"),
        kind=VertexKind.SOURCE,
        busy_ns=busy_ns,
        idle_ns=round((at - life.begin) * NS_PER_SECOND) - busy_ns,
        rejected={"error": rejected},
        back_pressure=BackPressureSnapshot(ratio=ratio, samples=100, level="high" if is_held_back else "ok"),
    )


def _partition(life: Life, number: int, start: float, at: float, taken: int) -> PartitionSnapshot:
    own = [
        t
        for t in TRUTH
        if (t.pipeline, t.partition) == (life.pipeline, number) and life.begin <= t.begin <= at < life.end
    ]
    throttled = is_throttled(life.pipeline, number, at)
    flights = life.pipeline == "flights"
    paused, retrying = is_paused(life.pipeline, at), is_retrying(life.pipeline, at)
    backlog = backlog_at(life.pipeline, number, at)
    state = ExporterState.PAUSED if paused else ExporterState.RETRYING if retrying else ExporterState.EXPORTING
    # Writing and exporting never end, so that rates have something to say.
    written = int((at - life.begin) * WRITTEN_PER_SECOND) + 100_000
    refused_ns = None
    if flights and at >= REFUSED[0]:
        refused_ns = round((start + min(at, REFUSED[1])) * NS_PER_SECOND)
    refused = int(since(REFUSED, at) * REFUSED_PER_SECOND) if flights else 0
    overridden = life.pipeline == "orders" and is_within(BY_HAND, at)
    flow = snapshots.flow(
        writes={
            (WriteSource.USER_COMMAND, Outcome.ACCEPTED): written,
            (WriteSource.USER_COMMAND, Outcome.WRITE_RATE_LIMIT_EXHAUSTED): refused,
        },
        write_limit_per_second=LIMIT / 4 if throttled else LIMIT,
        write_limit_max_per_second=LIMIT,
        throttled=throttled,
        throttled_ns=round(sum(min(at, t.end) - t.begin for t in own) * NS_PER_SECOND),
        throttles=len(own),
        throttle_start_wall_ns=round((start + own[-1].begin) * NS_PER_SECOND) if own else None,
        refused_ns=refused_ns,
        throttle_factor=ACCEPTABLE / backlog,
        acceptable_backlog_records=ACCEPTABLE,
        exporting_rate_per_second=1000.0,
        partition_load_ratio=0.25,
        overridden=overridden,
    )
    pause = Pause(since_wall_ns=round((start + PAUSED[0]) * NS_PER_SECOND), by="alice") if paused else None
    exporter = snapshots.record_exporter(
        "audit",
        state=state,
        acknowledged_position=written - backlog,
        backlog_records=backlog,
        exported_records=int((at - life.begin) * EXPORTED_PER_SECOND),
        oldest_unexported_wall_ns=taken - backlog // 1000 * NS_PER_SECOND,
        pause=pause,
    )
    return snapshots.partition(
        number,
        last_written_position=written,
        lowest_acknowledged_position=written - backlog,
        backlog_records=backlog,
        oldest_unexported_wall_ns=taken - backlog // 1000 * NS_PER_SECOND,
        flow=flow,
        exporters=(exporter,),
        disk_free_bytes=DISK_FREE,
        by_hand=ByHand(
            since_wall_ns=round((start + BY_HAND[0]) * NS_PER_SECOND),
            until_wall_ns=round((start + BY_HAND[1]) * NS_PER_SECOND),
            by="bob",
        )
        if overridden
        else None,
    )


def scraped(start: float, interval: float, *, phase: float = 0.37) -> Iterator[Sample]:
    """What a Prometheus that looks every `interval` seconds stores, by time: samples, marks of what ended, and `up`."""
    known: dict[str, set[frozenset[tuple[str, str]]]] = {}
    scrapers: dict[Life, tuple[_Seen, Scraper, ManualClock]] = {}
    number = 0
    while (at := number * interval + phase) < HOUR:
        number += 1
        for instance in ("engine-1:9600", "engine-2:9600"):
            target = {"job": JOB, "instance": instance}
            life = next((life for life in LIVES if life.instance == instance and life.begin <= at < life.end), None)
            yield Sample({"__name__": "up", **target}, 1.0 if life else 0.0, start + at)
            if life is None:
                for gone in known.pop(instance, set()):
                    yield Sample(dict(gone), STALE, start + at)
                continue
            seen, scraper, clock = scrapers.setdefault(life, _new_scraper())
            seen.now = snapshot_at(life, start, at)
            clock.advance_ns(seen.now.taken_monotonic_ns - clock.monotonic_ns())
            found: list[Sample] = []

            def take(
                families: tuple[Family, ...], *, into: list[Sample] = found, target: dict[str, str] = target
            ) -> None:
                for family in families:
                    for values, value in family.samples:
                        if not isinstance(value, HistogramSnapshot):
                            named = dict(zip(family.metric.label_names, values, strict=True))
                            labels = {"__name__": family.metric.name, **target, **named}
                            into.append(Sample(labels, float(value), 0.0))

            scraper.scrape(take)
            now = {frozenset(sample.labels.items()) for sample in found}
            for gone in known.get(instance, set()) - now:
                yield Sample(dict(gone), STALE, start + at)
            known[instance] = now
            for sample in found:
                yield Sample(sample.labels, sample.value, start + at)


@dataclass(slots=True)
class _Seen:
    """Stands in for an engine."""

    now: EngineSnapshot | None = None

    def snapshot(self) -> EngineSnapshot:
        assert self.now is not None
        return self.now


def _new_scraper() -> tuple[_Seen, Scraper, ManualClock]:
    seen, clock = _Seen(), ManualClock()
    return seen, Scraper(seen, clock=clock), clock
