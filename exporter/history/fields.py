"""What the history keeps of a partition and of a vertex, and how two snapshots make one value.

A value is a number or None, which is unknown. What the engine counts since its start is kept as a rate between
the two snapshots; a count that went back tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from engine.core.snapshot import ExporterSnapshot, Outcome, PartitionSnapshot, TaskSnapshot, grown
from exporter.door import NS_PER_SECOND, WriteSource

Seen_contra = TypeVar("Seen_contra", contravariant=True)
Value = int | float | None


@dataclass(frozen=True, slots=True)
class Moment(Generic[Seen_contra]):
    """Something now, the same a moment ago if it was there, and the seconds between."""

    now: Seen_contra
    before: Seen_contra | None
    seconds: float
    taken_wall_ns: int

    def rate(self, count: Callable[[Seen_contra], int | None]) -> Value:
        """How fast `count` grew, a second."""
        if self.before is None:
            return None
        now, before = count(self.now), count(self.before)
        if now is None or before is None or now < before:
            return None
        return (now - before) / self.seconds


@dataclass(frozen=True, slots=True)
class Field(Generic[Seen_contra]):
    """One column: its name, with the unit last, what it says, and how it is read."""

    name: str
    help: str
    read: Callable[[Moment[Seen_contra]], Value]


@dataclass(frozen=True, slots=True)
class Vertex:
    """The subtasks of one task, and for a record exporter what it has to do on each partition."""

    subtasks: tuple[TaskSnapshot, ...]
    exporters: tuple[ExporterSnapshot, ...]


def _accepted(partition: PartitionSnapshot) -> int:
    return sum(n for (_, outcome), n in partition.flow.writes.items() if outcome is Outcome.ACCEPTED)


def _accepted_of(source: WriteSource) -> Callable[[PartitionSnapshot], int]:
    return lambda partition: partition.flow.writes.get((source, Outcome.ACCEPTED), 0)


def _by_source(source: WriteSource) -> Field[PartitionSnapshot]:
    """Its part of the records admitted; `acceptedUserCommandPerSecond` and so on."""
    name = "".join(word.capitalize() for word in source.split("_"))
    count = _accepted_of(source)
    return Field(
        f"accepted{name}PerSecond",
        f"those of the source {source} among the records admitted, a second",
        lambda moment: moment.rate(count),
    )


def _refused(partition: PartitionSnapshot) -> int:
    return sum(n for (_, outcome), n in partition.flow.writes.items() if outcome is not Outcome.ACCEPTED)


def _oldest_unexported_seconds(moment: Moment[PartitionSnapshot]) -> Value:
    oldest_ns = moment.now.oldest_unexported_wall_ns
    return None if oldest_ns is None else max(0, moment.taken_wall_ns - oldest_ns) / NS_PER_SECOND


PARTITION_FIELDS: tuple[Field[PartitionSnapshot], ...] = (
    Field("backlogRecords", "records not yet acknowledged by every exporter", lambda m: m.now.backlog_records),
    Field(
        "acceptableBacklogRecords",
        "the backlog at which the throttle aims",
        lambda m: m.now.flow.acceptable_backlog_records,
    ),
    Field(
        "oldestUnexportedSeconds", "age of the oldest record not yet acknowledged by all", _oldest_unexported_seconds
    ),
    Field(
        "writeLimitPerSecond", "records a second that the throttle allows", lambda m: m.now.flow.write_limit_per_second
    ),
    Field("writeLimitMaxPerSecond", "the write limit as configured", lambda m: m.now.flow.write_limit_max_per_second),
    Field(
        "rampUpRatePerSecond",
        "the momentary rate of a ramp-up that is running",
        lambda m: m.now.flow.ramp_up_rate_per_second,
    ),
    Field("throttled", "1 while the throttle holds the limit down, else 0", lambda m: int(m.now.flow.throttled)),
    Field(
        "exportingRatePerSecond",
        "acknowledged records a second, averaged as the throttle does it",
        lambda m: m.now.flow.exporting_rate_per_second,
    ),
    Field(
        "acknowledgedPerSecond",
        "records acknowledged by all since the sample before, a second",
        lambda m: m.rate(lambda p: p.lowest_acknowledged_position),
    ),
    Field("acceptedPerSecond", "records admitted since the sample before, a second", lambda m: m.rate(_accepted)),
    *map(_by_source, WriteSource),
    Field("refusedPerSecond", "records refused since the sample before, a second", lambda m: m.rate(_refused)),
    Field(
        "processedPerSecond",
        "records processed since the sample before, a second",
        lambda m: m.rate(lambda p: p.last_processed_position),
    ),
    Field("requestLimit", "user commands that may be in flight", lambda m: m.now.flow.request_limit),
    Field("requestsInFlight", "user commands in flight", lambda m: m.now.flow.requests_in_flight),
    Field("waitingWriters", "writers that wait for a limit", lambda m: m.now.flow.waiting_writers),
)


@dataclass(frozen=True, slots=True)
class _Shares:
    """How one subtask spent the time between two snapshots. Invariant: the three sum to 1."""

    busy: float
    idle: float
    back_pressured: float


def _shares(moment: Moment[Vertex]) -> list[_Shares]:
    if moment.before is None:
        return []
    known = {task.subtask: task for task in moment.before.subtasks}
    shares = []
    for task in moment.now.subtasks:
        earlier = known.get(task.subtask)
        if earlier is None:
            continue
        if task.busy_ns is None or task.idle_ns is None or not task.back_pressured_ns:
            # The three are told together or not at all.
            continue
        busy = grown(earlier.busy_ns, task.busy_ns)
        idle = grown(earlier.idle_ns, task.idle_ns)
        back_pressured = sum(task.back_pressured_ns.values()) - sum(earlier.back_pressured_ns.values())
        spent = busy + idle + back_pressured
        if spent > 0 and min(busy, idle, back_pressured) >= 0:
            shares.append(_Shares(busy / spent, idle / spent, back_pressured / spent))
    return shares


def _mean(values: Sequence[float]) -> Value:
    return sum(values) / len(values) if values else None


def _sum(counts: Iterable[int | None]) -> int | None:
    """None where one of them is unknown."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _sampled(moment: Moment[Vertex]) -> Value:
    ratios = [task.back_pressure.ratio for task in moment.now.subtasks if task.back_pressure is not None]
    return max(ratios, default=None)


def _buffers_in_use(moment: Moment[Vertex]) -> Value:
    pools = [(t.buffers_in_use, t.buffers) for t in moment.now.subtasks]
    held = [used / buffers for used, buffers in pools if used is not None and buffers]
    return max(held, default=None)


def _backlog(moment: Moment[Vertex]) -> Value:
    exporters = moment.now.exporters
    return sum(exporter.backlog_records for exporter in exporters) if exporters else None


VERTEX_FIELDS: tuple[Field[Vertex], ...] = (
    Field(
        "busyRatio",
        "share of the time in which its subtasks worked",
        lambda m: _mean([share.busy for share in _shares(m)]),
    ),
    Field(
        "idleRatio",
        "share of the time in which they had nothing to do",
        lambda m: _mean([share.idle for share in _shares(m)]),
    ),
    Field(
        "backPressuredRatio",
        "share of the time in which they could not hand on",
        lambda m: _mean([share.back_pressured for share in _shares(m)]),
    ),
    Field(
        "backPressuredRatioMax",
        "that share of the subtask that suffers most",
        lambda m: max((share.back_pressured for share in _shares(m)), default=None),
    ),
    Field("sampledBackPressureRatio", "the highest stack-sampled ratio of its subtasks", _sampled),
    Field(
        "recordsInPerSecond",
        "records received since the sample before, a second",
        lambda m: m.rate(lambda v: _sum(t.records_in for t in v.subtasks)),
    ),
    Field(
        "recordsOutPerSecond",
        "records handed on since the sample before, a second",
        lambda m: m.rate(lambda v: _sum(t.records_out for t in v.subtasks)),
    ),
    Field("buffersInUseRatio", "how full the fullest output pool of its subtasks is", _buffers_in_use),
    Field("backlogRecords", "of a record exporter: records it has not acknowledged, all partitions", _backlog),
)
