"""Which task is to blame: the one that those held back are waiting for.

The stack of a blocked task shows a victim. Following what each victim waits for leads to a task that works and is
not held back itself: that one is too slow. Decided from the recent times of all subtasks, the plan, and the gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from engine.backpressure.levels import OK_RATIO_MAX
from engine.core.condition import is_held, paused, time_of_day
from engine.core.snapshot import (
    BlockReason,
    ByHand,
    Culprit,
    EngineSnapshot,
    ExporterSnapshot,
    ExporterState,
    PartitionSnapshot,
    RecentTimes,
    TaskSnapshot,
    VertexKind,
    VertexSnapshot,
)

FLOW_CONTROL = "flow-control"
# A task that rests most of its time holds nobody back for long.
_IDLE_SHARE_MAX = 0.5


@dataclass(frozen=True, slots=True)
class _Place:
    """A subtask and what it did lately."""

    task: TaskSnapshot
    recent: RecentTimes

    @property
    def name(self) -> str:
        return f"{self.task.task}/{self.task.subtask}"

    @property
    def is_held_back(self) -> bool:
        return self.recent.blocked_share > OK_RATIO_MAX

    @property
    def reason(self) -> BlockReason:
        """What it waited for most."""
        return max(BlockReason, key=lambda reason: self.recent.back_pressured_ns.get(reason, 0))


def find_culprit(snapshot: EngineSnapshot) -> Culprit | None:
    """The task to blame; None while no task is held back more than a tenth of its time."""
    plan = _Plan(snapshot)
    held_back = [place for place in plan.places.values() if place.is_held_back]
    if not held_back:
        return None
    return _follow(plan, max(held_back, key=lambda place: place.recent.blocked_share))


def _follow(plan: _Plan, worst: _Place) -> Culprit | None:
    """From the worst victim along what each waits for; None where the plan does not say that."""
    victims: list[_Place] = []
    place = worst
    while True:
        victims.append(place)
        waited_for = plan.waited_for(place)
        if waited_for is None:
            return None
        if isinstance(waited_for, _Blamed):
            return _culprit(worst, victims, waited_for)
        if waited_for in victims:
            return _culprit(worst, victims, _blamed(waited_for))
        if not waited_for.is_held_back:
            rests = waited_for.recent.idle_share > _IDLE_SHARE_MAX
            if rests and place is not worst and place.reason is BlockReason.BUFFER:
                return _culprit(worst, victims[:-1], _blamed(place))
            return _culprit(worst, victims, _blamed(waited_for))
        place = waited_for


@dataclass(frozen=True, slots=True)
class _Blamed:
    task: str
    vertex_id: str | None
    subtask: int | None
    # What is the matter with it, behind its name; or, `whole`, with its name.
    why: str
    whole: bool = False


def _blamed(place: _Place) -> _Blamed:
    task = place.task
    return _Blamed(
        task.task,
        task.vertex_id,
        task.subtask,
        f"is busy {place.recent.busy_share:.0%} of its time and cannot take more",
    )


def _culprit(worst: _Place, victims: list[_Place], blamed: _Blamed) -> Culprit:
    of_subtask = f", subtask {blamed.subtask}," if blamed.subtask is not None else ""
    return Culprit(
        task=blamed.task,
        vertex_id=blamed.vertex_id,
        subtask=blamed.subtask,
        reason=victims[-1].reason,
        victims=tuple(victim.name for victim in victims),
        text=(
            f"{blamed.why if blamed.whole else f'{blamed.task}{of_subtask} {blamed.why}'}; "
            f"{worst.task.task} is held back {worst.recent.blocked_share:.0%} of its time"
        ),
    )


class _Plan:
    """Who hands on to whom."""

    def __init__(self, snapshot: EngineSnapshot) -> None:
        self.places: Mapping[tuple[str, int], _Place] = {
            (task.vertex_id, task.subtask): _Place(task, task.recent)
            for task in snapshot.tasks
            if task.recent is not None
        }
        self._targets: dict[str, str] = {}
        for edge in snapshot.edges:
            self._targets.setdefault(edge.source_id, edge.target_id)
        self._vertices = {vertex.vertex_id: vertex for vertex in snapshot.vertices}
        self._partitions = sorted(snapshot.partitions, key=lambda partition: partition.partition)

    def waited_for(self, place: _Place) -> _Place | _Blamed | None:
        """What a victim waits for: another subtask, or somebody who is to blame for certain."""
        match place.reason:
            case BlockReason.BUFFER:
                return self._consumer(place)
            case BlockReason.REQUEST_LIMIT:
                return self._processor(place)
            case BlockReason.WRITE_LIMIT:
                return self._behind_write_limit(self._partitions_of(place))
            case BlockReason.INTER_PARTITION:
                return self._behind_outbox(place)
            case BlockReason.DISK_FULL:
                task = place.task
                return _Blamed(task.task, task.vertex_id, None, "cannot store more: the disk is full")
            case _:
                assert_never(place.reason)

    def _consumer(self, place: _Place) -> _Place | _Blamed | None:
        """The subtask behind the channel that was full longest."""
        target = self._vertices.get(self._targets.get(place.task.vertex_id, ""))
        if target is None:
            return None
        by_channel = place.recent.blocked_by_channel_ns
        if by_channel:
            channel = max(range(len(by_channel)), key=by_channel.__getitem__)
            found = self.places.get((target.vertex_id, channel))
        else:
            found = self._busiest(target)
        if found is None:
            return _Blamed(target.task, target.vertex_id, None, "takes nothing")
        return found

    def _busiest(self, vertex: VertexSnapshot) -> _Place | None:
        places = [place for place in self.places.values() if place.task.vertex_id == vertex.vertex_id]
        return max(places, key=lambda place: place.recent.busy_ns, default=None)

    def _processor(self, place: _Place) -> _Place | _Blamed:
        """Commands in flight end when they are processed (without a processor: when they are durable)."""
        for vertex in self._vertices.values():
            if vertex.kind is VertexKind.PROCESSOR:
                found = self.places.get((vertex.vertex_id, place.task.subtask))
                if found is None or not found.is_held_back:
                    return _Blamed(
                        vertex.task, vertex.vertex_id, place.task.subtask, "takes too long over the commands in flight"
                    )
                return found
        return _FLOW_CONTROL_REQUESTS

    def _partitions_of(self, place: _Place) -> list[PartitionSnapshot]:
        """Subtask n of everything around the log belongs to the n-th partition, where that is known here."""
        return [partition for partition in self._partitions if partition.partition == place.task.subtask + 1]

    def _behind_outbox(self, place: _Place) -> _Blamed:
        """Messages wait at the gates of their receivers."""
        receivers = [partition for partition in self._partitions if partition.flow.write_limit_per_second is not None]
        if receivers:
            return self._behind_write_limit(receivers)
        task = place.task
        return _Blamed(task.task, task.vertex_id, None, "sends more messages than the other partitions can store")

    def _behind_write_limit(self, partitions: list[PartitionSnapshot]) -> _Blamed:
        throttled = [partition for partition in partitions if partition.flow.throttled and partition.exporters]
        if not throttled:
            by_hand = next((p.by_hand for p in partitions if p.by_hand is not None), None)
            return _FLOW_CONTROL_WRITES if by_hand is None else _set_by_hand(by_hand)
        partition = max(throttled, key=lambda partition: partition.backlog_records or 0)
        slowest = min(partition.exporters, key=lambda exporter: exporter.acknowledged_position)
        return self._exporter(partition, slowest)

    def _exporter(self, partition: PartitionSnapshot, slowest: ExporterSnapshot) -> _Blamed:
        vertex = next(
            vertex
            for vertex in self._vertices.values()
            if vertex.kind is VertexKind.EXPORTER and vertex.task == slowest.exporter
        )
        if is_held(slowest):
            return _Blamed(vertex.task, vertex.vertex_id, None, paused(slowest.exporter, slowest.pause), whole=True)
        if slowest.state is ExporterState.RETRYING:
            why = f"gets nothing through on partition {partition.partition}"
            error = "" if slowest.last_error is None else f" ({slowest.last_error})"
            return _Blamed(vertex.task, vertex.vertex_id, partition.partition - 1, why + error)
        return _Blamed(
            vertex.task,
            vertex.vertex_id,
            partition.partition - 1,
            f"is {slowest.backlog_records} records behind on partition {partition.partition}, so flow control "
            "slows down what is written",
        )


def _set_by_hand(by_hand: ByHand) -> _Blamed:
    by = "" if by_hand.by is None else f" by {by_hand.by}"
    since = f" at {time_of_day(by_hand.since_wall_ns)}"
    until = (
        "until somebody takes it back"
        if by_hand.until_wall_ns is None
        else f"until {time_of_day(by_hand.until_wall_ns)}"
    )
    return _Blamed(FLOW_CONTROL, None, None, f"grants no more: its write limit was set by hand{by}{since}, {until}")


_FLOW_CONTROL_WRITES = _Blamed(FLOW_CONTROL, None, None, "grants no more: its write limit is used up")
_FLOW_CONTROL_REQUESTS = _Blamed(FLOW_CONTROL, None, None, "grants no more: its request limit is used up")
