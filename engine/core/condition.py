"""How a pipeline is, in one word: the same for boards, page, terminal, health and alerts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from engine.core.clock import NS_PER_SECOND
from engine.core.pause import Pause
from engine.core.snapshot import (
    ClosedSnapshot,
    EngineSnapshot,
    EngineState,
    ExporterSnapshot,
    ExporterState,
    PartitionSnapshot,
    PartitionState,
)

# A refusal this long ago is still how things are now: who was refused has not come again yet.
REFUSING_NS = 10 * NS_PER_SECOND


class Condition(StrEnum):
    """The words, worst first. What is worse hides what is less bad, where there is room for one alone."""

    DOWN = "down"
    FAILED = "failed"
    STOPPING = "stopping"
    DISK_FULL = "disk_full"
    REFUSING = "refusing"
    THROTTLED = "throttled"
    EXPORTER_RETRYING = "exporter_retrying"
    EXPORTER_PAUSED = "exporter_paused"
    BACK_PRESSURED = "back_pressured"
    STARTING = "starting"
    FINE = "fine"

    @property
    def words(self) -> str:
        return "back-pressured" if self is Condition.BACK_PRESSURED else self.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is the case, and what exactly, in one sentence without its full stop."""

    condition: Condition
    text: str


FINE = Finding(Condition.FINE, "nothing is out of the ordinary")
SILENT = Finding(Condition.DOWN, "the engine gives no snapshot; the log says why")


def condition_of(snapshot: EngineSnapshot) -> Finding:
    """The worst that is the case."""
    return findings(snapshot)[0]


def findings(snapshot: EngineSnapshot) -> tuple[Finding, ...]:
    """All that is the case, worst first; `FINE` alone where nothing is. Never `DOWN`: what is down says nothing."""
    order = {condition: place for place, condition in enumerate(Condition)}
    found = sorted(_found(snapshot), key=lambda finding: order[finding.condition])
    return tuple(found) or (FINE,)


def paused(exporter: str, pause: Pause | None) -> str:
    """`audit has been paused since 06:38:21 UTC by alice; resume it`."""
    if pause is None:
        return f"{exporter} is paused; resume it"
    by = f" by {pause.by}" if pause.by is not None else ""
    how = "softly paused" if pause.soft else "paused"
    return f"{exporter} has been {how} since {time_of_day(pause.since_wall_ns)}{by}; resume it"


def time_of_day(wall_ns: int) -> str:
    return f"{datetime.fromtimestamp(wall_ns // NS_PER_SECOND, UTC):%H:%M:%S} UTC"


def is_held(exporter: ExporterSnapshot) -> bool:
    """Whether somebody wants it to stand still, or to acknowledge nothing."""
    return exporter.state is ExporterState.PAUSED or exporter.pause is not None


def _found(snapshot: EngineSnapshot) -> Iterator[Finding]:
    match snapshot.state:
        case EngineState.FAILED:
            yield Finding(Condition.FAILED, snapshot.failure or "the engine has failed")
        case EngineState.STOPPING:
            yield Finding(Condition.STOPPING, "the engine is stopping")
        case EngineState.FINISHED:
            yield Finding(Condition.STOPPING, "the run is over")
        case EngineState.STARTING:
            if not snapshot.closed:
                yield Finding(Condition.STARTING, "the engine is starting")
        case EngineState.RUNNING:
            away = [worker for worker in snapshot.workers if not worker.is_up]
            for worker in away:
                yield Finding(Condition.STARTING, f"worker {worker.worker} is away and is started again")
    for closed in snapshot.closed:
        yield _of_closed(closed)
    for partition in snapshot.partitions:
        yield from _of_partition(partition, snapshot)
    yield from _of_exporters(snapshot)
    if snapshot.culprit is not None:
        yield Finding(Condition.BACK_PRESSURED, snapshot.culprit.text)


def _of_closed(closed: ClosedSnapshot) -> Finding:
    why = "" if closed.why is None else f": {closed.why}"
    match closed.state:
        case PartitionState.FAILED:
            return Finding(Condition.FAILED, f"partition {closed.partition} has failed{why}")
        case PartitionState.CLOSING:
            return Finding(Condition.STARTING, f"partition {closed.partition} is being closed{why}")
        case _:
            return Finding(Condition.STARTING, f"partition {closed.partition} is being opened{_left(closed) or why}")


def _left(closed: ClosedSnapshot) -> str:
    """`: 1,204,332 rows are still to be read, in about 24 s`."""
    cluster = closed.cluster
    if cluster is None or not cluster.restore_remaining_rows:
        return ""
    seconds = cluster.restore_seconds_left
    about = "" if seconds is None else f", in about {max(1.0, seconds):.0f} s"
    return f": {cluster.restore_remaining_rows:,} rows are still to be read{about}"


def _of_partition(partition: PartitionSnapshot, snapshot: EngineSnapshot) -> Iterator[Finding]:
    number, flow = partition.partition, partition.flow
    if partition.state is PartitionState.FAILED:
        yield Finding(Condition.FAILED, f"partition {number} has failed")
    elif partition.state is PartitionState.OPENING and snapshot.state is EngineState.RUNNING:
        yield Finding(Condition.STARTING, f"partition {number} is opening")
    if partition.lacks_room:
        free = "" if partition.disk_free_bytes is None else f": {partition.disk_free_bytes // 1_000_000} MB are free"
        yield Finding(Condition.DISK_FULL, f"partition {number} waits for room on the disk{free}")
    elif partition.append_error is not None:
        # The disks of a cluster are not known here; what is known is that nothing is taken.
        condition = Condition.DISK_FULL if partition.cluster is None else Condition.REFUSING
        yield Finding(condition, partition.append_error)
    if flow.refused_ns is not None and snapshot.taken_monotonic_ns - flow.refused_ns <= REFUSING_NS:
        seconds = REFUSING_NS // NS_PER_SECOND
        yield Finding(Condition.REFUSING, f"partition {number} refused writes within the last {seconds} s")
    if flow.throttled:
        limit, most = flow.write_limit_per_second, flow.write_limit_max_per_second
        to = "" if limit is None or most is None else f" to {limit:.0f} of {most:.0f} records/s"
        yield Finding(Condition.THROTTLED, f"writes to partition {number} are limited{to}: {flow.reason}")


def _of_exporters(snapshot: EngineSnapshot) -> Iterator[Finding]:
    """One finding an exporter: it is held, or its target fails, on all partitions alike."""
    held: dict[str, Pause | None] = {}
    retrying: dict[str, list[PartitionSnapshot]] = {}
    for partition in snapshot.partitions:
        for exporter in partition.exporters:
            if is_held(exporter):
                held.setdefault(exporter.exporter, exporter.pause)
            elif exporter.state is ExporterState.RETRYING:
                retrying.setdefault(exporter.exporter, []).append(partition)
    for name, partitions in retrying.items():
        error = next(e.last_error for e in partitions[0].exporters if e.exporter == name)
        numbers = ", ".join(str(partition.partition) for partition in partitions)
        plural = "s" if len(partitions) > 1 else ""
        why = "" if error is None else f": {error}"
        yield Finding(Condition.EXPORTER_RETRYING, f"{name} tries again on partition{plural} {numbers}{why}")
    for name, pause in held.items():
        yield Finding(Condition.EXPORTER_PAUSED, paused(name, pause))
