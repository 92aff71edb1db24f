"""Nearly twenty minutes of a pipeline, told twice: by one process that runs it, and by three that share it.

Partitions move between the three, and what a reader is told must be the same. Partition 1 goes from `a` to `b` in good
order and, while it is throttled, on to `c`; `c` is killed, and `a` has it some seconds later. Partition 2 goes from `a`
to `b`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from engine.core.clock import ManualClock
from engine.core.snapshot import EngineSnapshot, HistogramSnapshot
from exporter.catalogue import AnyMetric, Combine, Kind, instances
from exporter.scraper import Family, Scraper
from tests.dashboards.scripted_run import ScriptedRun
from tests.support.remote_write import STALE, Sample

# Until the throttle is over.
LENGTH = 1110
INTERVAL = 15
# How finely the story is known.
STEP = 5
# The two tales are told apart by the job.
ONE, SHARED = "one", "shared"
# When in each interval they are scraped.
PHASES = {"a:9600": 0, "b:9600": 5, "c:9600": 10}
A, B, C = PHASES
# Of the first two both are seen to have it for some seconds, of the last nobody is.
MOVES = (407, 757, 1002)
KILLED, TAKEN_OVER = 901, 908
# Partition, from, to, instance.
LIVES = (
    (1, 0, MOVES[0], A),
    (1, MOVES[0], MOVES[1], B),
    (1, MOVES[1], KILLED, C),
    (1, TAKEN_OVER, LENGTH + 1, A),
    (2, 0, MOVES[2], A),
    (2, MOVES[2], LENGTH + 1, B),
)

Series = tuple[str, frozenset[tuple[str, str]]]
# What is only said where a pipeline is shared.
OF_SEVERAL = frozenset(metric.name for metric in instances.METRICS)


@dataclass(frozen=True, slots=True)
class _Point:
    metric: AnyMetric
    value: float
    grows: bool


def owner(partition: int, at: float) -> str | None:
    return next((who for number, begin, end, who in LIVES if number == partition and begin <= at < end), None)


def is_up(instance: str, at: float) -> bool:
    return instance != C or at < KILLED


def scraped(start: int) -> Iterator[Sample]:
    """Both tales, by time: samples, marks of what ended, and `up`."""
    shared = _Shared()
    alone: set[Series] = set()
    seen, clock = _Seen(), ManualClock()
    scraper = Scraper(seen, clock=clock)
    for time, snapshot in ScriptedRun(start, length_seconds=LENGTH).snapshots(STEP):
        at = time - start
        seen.now = snapshot
        clock.advance_ns(snapshot.taken_monotonic_ns - clock.monotonic_ns())
        points = scraper.scrape(_points)
        shared.went_on(at, points)
        # As finely as it is known: it is the truth.
        yield from _told({"job": ONE, "instance": "one:9600"}, {s: p.value for s, p in points.items()}, alone, time)
        for instance, phase in PHASES.items():
            if at % INTERVAL == phase:
                target = {"job": SHARED, "instance": instance}
                if is_up(instance, at):
                    now = {**shared.of(instance, at, points), **dict(shared.of_several(instance, at))}
                    yield from _told(target, now, shared.known[instance], time)
                else:
                    yield Sample({"__name__": "up", **target}, 0.0, time)
                    yield from _ended(target, shared.known[instance], time)


def _told(target: Mapping[str, str], now: Mapping[Series, float], known: set[Series], time: float) -> Iterator[Sample]:
    yield Sample({"__name__": "up", **target}, 1.0, time)
    yield from _ended(target, known - {*now}, time)
    known.clear()
    known.update(now)
    for (name, labels), value in now.items():
        yield Sample({"__name__": name, **target, **dict(labels)}, value, time)


def _ended(target: Mapping[str, str], gone: set[Series], time: float) -> Iterator[Sample]:
    for name, labels in gone:
        yield Sample({"__name__": name, **target, **dict(labels)}, STALE, time)
    gone.clear()


def _points(families: tuple[Family, ...]) -> dict[Series, _Point]:
    told = (family for family in families if family.metric.name not in OF_SEVERAL)
    return {series: point for family in told for series, point in _of_family(family)}


def _of_family(family: Family) -> Iterator[tuple[Series, _Point]]:
    metric = family.metric
    for values, value in family.samples:
        labels = dict(zip(metric.label_names, values, strict=True))
        if isinstance(value, HistogramSnapshot):
            for bound, count in zip((*value.bounds, float("inf")), accumulate(value.counts), strict=True):
                end = "+Inf" if bound == float("inf") else f"{bound:g}"
                yield _series(f"{metric.name}_bucket", {**labels, "le": end}), _Point(metric, count, True)
            yield _series(f"{metric.name}_count", labels), _Point(metric, sum(value.counts), True)
            yield _series(f"{metric.name}_sum", labels), _Point(metric, value.sum, True)
        else:
            yield _series(metric.name, labels), _Point(metric, float(value), metric.kind is Kind.COUNTER)


def _series(name: str, labels: Mapping[str, str]) -> Series:
    return name, frozenset(labels.items())


@dataclass(slots=True)
class _Shared:
    """Who of the three tells what of it: of a partition its owner, from its opening on; of the whole each its part."""

    known: dict[str, set[Series]] = field(default_factory=lambda: {instance: set() for instance in PHASES})
    # What has grown in the whole so far, and of that at each instance.
    _before: dict[Series, float] = field(default_factory=dict)
    _grown: dict[tuple[str, Series], float] = field(default_factory=dict)
    _owners: dict[int, str | None] = field(default_factory=dict)

    def went_on(self, at: int, points: Mapping[Series, _Point]) -> None:
        owners = {number: owner(number, at) for number in (1, 2)}
        moved = {n for n, who in owners.items() if who != self._owners.get(n)}
        for series, point in points.items():
            if not point.grows:
                continue
            number = _partition_of(series, point.metric)
            growth = point.value - self._before.get(series, 0.0)
            self._before[series] = point.value
            if number is not None:
                who = owners[number]
                if who is not None:
                    # A new owner counts from nothing.
                    before = 0.0 if number in moved else self._grown.get((who, series), 0.0)
                    self._grown[who, series] = before + growth
                continue
            for who in _here(at):
                self._grown[who, series] = self._grown.get((who, series), 0.0) + growth / len(_here(at))
        self._owners = owners

    def of(self, instance: str, at: int, points: Mapping[Series, _Point]) -> dict[Series, float]:
        share = 1 / len(_here(at))
        return {
            series: value
            for series, point in points.items()
            if (value := self._value(instance, series, point, share)) is not None
        }

    def of_several(self, instance: str, at: int) -> Iterator[tuple[Series, float]]:
        """What each says of all of them: who is there, what belongs to it, what nobody has, what came and went."""
        ours = {"pipeline": "flights"}
        yield _series("penstock_instances", ours), len(_here(at))
        yield _series("penstock_partitions_owned", ours), [*self._owners.values()].count(instance)
        yield _series("penstock_partitions_without_owner", ours), [*self._owners.values()].count(None)
        came = sum(who == instance and begin <= at for _, begin, _, who in LIVES)
        went = sum(who == instance and end <= at for _, _, end, who in LIVES)
        for reason, count in (("joined", came), ("left", went)):
            yield _series("penstock_rebalances_total", {**ours, "reason": reason}), count

    def _value(self, instance: str, series: Series, point: _Point, share: float) -> float | None:
        number = _partition_of(series, point.metric)
        if number is not None and self._owners[number] != instance:
            return None
        if point.grows:
            return self._grown.get((instance, series), 0.0)
        if number is None and point.metric.combine is Combine.SUM:
            return point.value * share
        return point.value


def _here(at: float) -> list[str]:
    """What belongs to no partition comes to all who are there alike."""
    return [instance for instance in PHASES if is_up(instance, at)]


def _partition_of(series: Series, metric: AnyMetric) -> int | None:
    """The one that a series belongs to; the tasks of a partition have its number, less one, for their subtask."""
    labels = dict(series[1])
    if "partition" in labels:
        return int(labels["partition"])
    if metric.combine is Combine.OWNER and "subtask" in labels:
        return int(labels["subtask"]) + 1
    return None


@dataclass(slots=True)
class _Seen:
    """Stands in for an engine."""

    now: EngineSnapshot | None = None

    def snapshot(self) -> EngineSnapshot:
        assert self.now is not None
        return self.now
