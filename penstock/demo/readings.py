"""What two snapshots say together: rates and shares of time, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.core.clock import NS_PER_SECOND
from engine.core.condition import Condition, condition_of
from engine.core.snapshot import EngineSnapshot, Outcome, PartitionSnapshot, TaskSnapshot, VertexKind, grown


class TaskWord(StrEnum):
    """What a task mostly does."""

    BUSY = "busy"
    IDLE = "idle"
    BACK_PRESSURED = "back-pressured"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReading:
    """A task as its most troubled subtask has it; records are those of all."""

    task: str
    subtasks: int
    # Shares of the time between the snapshots; they sum to 1, or are all 0 where no time was counted.
    busy: float
    idle: float
    back_pressured: float
    in_per_second: float
    out_per_second: float
    is_bottleneck: bool

    @property
    def word(self) -> TaskWord:
        most = max(self.busy, self.idle, self.back_pressured)
        if most == self.back_pressured and most > 0:
            return TaskWord.BACK_PRESSURED
        return TaskWord.BUSY if most == self.busy and most > 0 else TaskWord.IDLE


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionReading:
    """One partition. None is unknown, or not limited."""

    partition: int
    backlog_records: int | None
    acceptable_backlog_records: int | None
    limit_per_second: float | None
    limit_max_per_second: float | None
    throttled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """All that a view shows of the engine."""

    pipeline: str
    read_per_second: float
    written_per_second: float
    exported_per_second: float
    partitions: tuple[PartitionReading, ...]
    tasks: tuple[TaskReading, ...]
    # Whom the engine blames, one sentence; None while nobody is held back.
    blame: str | None
    # How it is, in a word: the worst that is the case.
    condition: Condition

    @property
    def throttled_partitions(self) -> tuple[int, ...]:
        return tuple(p.partition for p in self.partitions if p.throttled)


def readings(before: EngineSnapshot, now: EngineSnapshot) -> Readings:
    """What happened between two snapshots of one engine, the older first."""
    seconds = (now.taken_monotonic_ns - before.taken_monotonic_ns) / NS_PER_SECOND

    def rate(new: int, old: int) -> float:
        return (new - old) / seconds if seconds > 0 else 0.0

    return Readings(
        pipeline=now.pipeline,
        read_per_second=rate(flights_read(now), flights_read(before)),
        written_per_second=rate(records_written(now), records_written(before)),
        exported_per_second=rate(_exported(now), _exported(before)),
        partitions=tuple(map(_partition, now.partitions)),
        tasks=_tasks(before, now, seconds),
        blame=_blame(now),
        condition=condition_of(now).condition,
    )


def flights_read(snapshot: EngineSnapshot) -> int:
    """What the sources have handed on since the start."""
    return sum(task.records_out or 0 for task in snapshot.tasks if task.kind is VertexKind.SOURCE)


def records_written(snapshot: EngineSnapshot) -> int:
    """What flow control has accepted since the start, whoever wrote it."""
    return sum(
        count
        for partition in snapshot.partitions
        for (_, outcome), count in partition.flow.writes.items()
        if outcome is Outcome.ACCEPTED
    )


def _exported(snapshot: EngineSnapshot) -> int:
    """Records that every exporter is done with; skipped ones count, as they do in the backlog."""
    return sum(partition.lowest_acknowledged_position or 0 for partition in snapshot.partitions)


def _partition(partition: PartitionSnapshot) -> PartitionReading:
    flow = partition.flow
    return PartitionReading(
        partition=partition.partition,
        backlog_records=partition.backlog_records,
        acceptable_backlog_records=flow.acceptable_backlog_records,
        limit_per_second=flow.write_limit_per_second,
        limit_max_per_second=flow.write_limit_max_per_second,
        throttled=flow.throttled,
    )


def _tasks(before: EngineSnapshot, now: EngineSnapshot, seconds: float) -> tuple[TaskReading, ...]:
    """One reading a vertex, in the order of the flow."""
    old = {(task.vertex_id, task.subtask): task for task in before.tasks}
    by_vertex: dict[str, list[tuple[TaskSnapshot, TaskSnapshot]]] = {}
    for task in now.tasks:
        by_vertex.setdefault(task.vertex_id, []).append((old.get((task.vertex_id, task.subtask), task), task))
    return tuple(
        _task(by_vertex[vertex.vertex_id], seconds, is_bottleneck=vertex.task == now.bottleneck)
        for vertex in now.vertices
        if vertex.vertex_id in by_vertex
    )


def _task(pairs: list[tuple[TaskSnapshot, TaskSnapshot]], seconds: float, *, is_bottleneck: bool) -> TaskReading:
    back_pressured, busy, idle = max(_shares(old, new) for old, new in pairs)
    records_in = sum(grown(old.records_in, new.records_in) for old, new in pairs)
    records_out = sum(grown(old.records_out, new.records_out) for old, new in pairs)
    return TaskReading(
        task=pairs[0][1].task,
        subtasks=len(pairs),
        busy=busy,
        idle=idle,
        back_pressured=back_pressured,
        in_per_second=records_in / seconds if seconds > 0 else 0.0,
        out_per_second=records_out / seconds if seconds > 0 else 0.0,
        is_bottleneck=is_bottleneck,
    )


def _shares(old: TaskSnapshot, new: TaskSnapshot) -> tuple[float, float, float]:
    """Back-pressured, busy, idle: in this order the greatest of them is the most troubled subtask."""
    back_pressured = sum(new.back_pressured_ns.values()) - sum(old.back_pressured_ns.values())
    busy = grown(old.busy_ns, new.busy_ns)
    idle = grown(old.idle_ns, new.idle_ns)
    total = back_pressured + busy + idle
    return (back_pressured / total, busy / total, idle / total) if total > 0 else (0.0, 0.0, 0.0)


def _blame(snapshot: EngineSnapshot) -> str | None:
    if snapshot.culprit is not None:
        return snapshot.culprit.text
    return None if snapshot.bottleneck is None else f"{snapshot.bottleneck} holds the others back"
