"""One job of Flink's, as an engine would show itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.backpressure.levels import level_of
from engine.backpressure.vertices import of_readings
from engine.core.clock import NS_PER_MS
from engine.core.errors import ConfigurationError
from engine.core.snapshot import (
    BackPressureSnapshot,
    BlockReason,
    EdgeSnapshot,
    EngineSnapshot,
    EngineState,
    Origin,
    RecentTimes,
    TaskSnapshot,
    TaskStatus,
    VertexBackPressure,
    VertexKind,
    VertexSnapshot,
    grown,
)
from penstock.bridges.blame import Steady, blame
from penstock.bridges.door import WithoutFlowControl
from penstock.bridges.flink_rest.answers import BackPressure, JobDetails, Ratios, SubtaskRow
from penstock.bridges.naming import unique

# A job that Flink restarts is on its way up again; one that it lets go of is on its way down.
_STATES: Mapping[str, EngineState] = {
    "INITIALIZING": EngineState.STARTING,
    "CREATED": EngineState.STARTING,
    "RECONCILING": EngineState.STARTING,
    "RESTARTING": EngineState.STARTING,
    "RUNNING": EngineState.RUNNING,
    "FAILING": EngineState.STOPPING,
    "CANCELLING": EngineState.STOPPING,
    "SUSPENDED": EngineState.STOPPING,
    "FINISHED": EngineState.FINISHED,
    "CANCELED": EngineState.FINISHED,
    "FAILED": EngineState.FAILED,
}
_STATUSES: Mapping[str, TaskStatus] = {
    "RUNNING": TaskStatus.RUNNING,
    "FINISHED": TaskStatus.FINISHED,
    "CANCELING": TaskStatus.CANCELED,
    "CANCELED": TaskStatus.CANCELED,
    "FAILED": TaskStatus.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a job was looked at, by our clocks."""

    wall_ns: int
    monotonic_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one look brought of a job. By vertex; one that could not be asked is missing."""

    details: JobDetails
    version: str
    looked: Moment
    pressure: Mapping[str, BackPressure]
    subtasks: Mapping[str, Mapping[int, SubtaskRow]]


class FlinkJob(WithoutFlowControl):
    """A pipeline behind the exporter's door. `show` is for the thread that looks, everything else for any."""

    def __init__(self, pipeline: str, seen: Seen) -> None:
        self._pipeline = pipeline
        self._steady = Steady()
        self._told = self._snapshot(seen, None)

    def show(self, seen: Seen) -> None:
        before = self._told
        if before.job_id != seen.details.job_id:
            # Another job of the same name: nothing of the one before is true of it.
            self._steady = Steady()
            self._told = self._snapshot(seen, None)
        else:
            self._told = self._snapshot(seen, before)

    def forget(self) -> None:
        """It was away: what comes is not compared with what was."""
        self._steady = Steady()

    def snapshot(self) -> EngineSnapshot:
        return self._told

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        for vertex in self._told.back_pressure:
            if vertex.vertex_id == vertex_id:
                return vertex
        raise ConfigurationError(f"there is no task with the id {vertex_id!r}")

    def sample_back_pressure(self, vertex_id: str) -> bool:
        """Never: the bridge looks in its own time."""
        self.look_at_back_pressure(vertex_id)
        return False

    def _snapshot(self, seen: Seen, before: EngineSnapshot | None) -> EngineSnapshot:
        details = seen.details
        names = unique((vertex.vertex_id, vertex.name) for vertex in details.vertices)
        fed = {edge.target_id for edge in details.edges}
        feeding = {edge.source_id for edge in details.edges}
        vertices = tuple(
            VertexSnapshot(
                vertex_id=vertex.vertex_id,
                task=names[vertex.vertex_id],
                kind=_kind(vertex.vertex_id in fed, vertex.vertex_id in feeding),
                parallelism=vertex.parallelism,
            )
            for vertex in details.vertices
        )
        edges = tuple(
            EdgeSnapshot(source_id=edge.source_id, target_id=edge.target_id, ship_strategy=edge.ship_strategy)
            for edge in details.edges
        )
        readings = {vertex.vertex_id: _readings(seen, vertex.vertex_id) for vertex in vertices}
        found = blame(vertices, edges, readings)
        if not any(readings.values()):
            # Nothing is known, which is no verdict to hold on to.
            self._steady = Steady()
        culprit = self._steady.after(found.culprit) if any(readings.values()) else None
        earlier = {} if before is None else {(task.vertex_id, task.subtask): task for task in before.tasks}
        elapsed_ns = 0 if before is None else seen.looked.monotonic_ns - before.taken_monotonic_ns
        return EngineSnapshot(
            pipeline=self._pipeline,
            job_id=details.job_id,
            state=_STATES.get(details.state, EngineState.STARTING),
            failure=f"Flink calls the job {details.state}" if details.state == "FAILED" else None,
            started_wall_ns=details.started_ms * NS_PER_MS,
            taken_wall_ns=seen.looked.wall_ns,
            taken_monotonic_ns=seen.looked.monotonic_ns,
            vertices=vertices,
            edges=edges,
            partitions=(),
            tasks=tuple(
                _task(vertex, number, row, readings[vertex.vertex_id].get(number), earlier, elapsed_ns)
                for vertex in vertices
                for number, row in sorted(seen.subtasks.get(vertex.vertex_id, {}).items())
                if number < vertex.parallelism
            ),
            bottleneck=None if culprit is None else culprit.task,
            culprit=culprit,
            back_pressure=tuple(_of_vertex(seen, vertex.vertex_id, readings[vertex.vertex_id]) for vertex in vertices),
            origin=Origin(bridge="flink", id=details.job_id, version=seen.version),
            waits=found.waits,
        )


def _kind(is_fed: bool, feeds: bool) -> VertexKind:
    if not is_fed:
        return VertexKind.SOURCE
    return VertexKind.TRANSFORM if feeds else VertexKind.EXPORTER


def _readings(seen: Seen, vertex_id: str) -> dict[int, BackPressureSnapshot]:
    pressure = seen.pressure.get(vertex_id)
    if pressure is None:
        return {}
    sampled_ns = _sampled_wall_ns(seen, pressure)
    return {number: _reading(ratios, sampled_ns) for number, ratios in pressure.subtasks.items()}


def _sampled_wall_ns(seen: Seen, pressure: BackPressure) -> int:
    """By our clock: Flink's may go wrong by hours, and the age is what counts."""
    age_ms = max(0, seen.details.now_ms - pressure.sampled_ms)
    return seen.looked.wall_ns - age_ms * NS_PER_MS


def _reading(ratios: Ratios, sampled_ns: int) -> BackPressureSnapshot:
    return BackPressureSnapshot(
        ratio=ratios.back_pressured,
        samples=None,
        level=level_of(ratios.back_pressured),
        idle_ratio=ratios.idle,
        busy_ratio=ratios.busy,
        ratio_low=None,
        ratio_high=None,
        sampled_wall_ns=sampled_ns,
    )


def _of_vertex(seen: Seen, vertex_id: str, readings: Mapping[int, BackPressureSnapshot]) -> VertexBackPressure:
    pressure = seen.pressure.get(vertex_id)
    return of_readings(
        vertex_id,
        readings,
        is_fresh=pressure is not None,
        sampled_wall_ns=None if pressure is None else _sampled_wall_ns(seen, pressure),
        problem=None if pressure is not None else "Flink has no back pressure of this task at this moment",
    )


def _task(
    vertex: VertexSnapshot,
    number: int,
    row: SubtaskRow,
    reading: BackPressureSnapshot | None,
    earlier: Mapping[tuple[str, int], TaskSnapshot],
    elapsed_ns: int,
) -> TaskSnapshot:
    before = earlier.get((vertex.vertex_id, number))
    if before is not None and before.started_wall_ns != _wall(row.started_ms):
        # It was started anew, and counts anew.
        before = None
    held_ns = _time(row.back_pressured_ms, None if reading is None else reading.ratio, _held(before), elapsed_ns)
    return TaskSnapshot(
        task=vertex.task,
        vertex_id=vertex.vertex_id,
        kind=vertex.kind,
        subtask=number,
        status=_STATUSES.get(row.status, TaskStatus.CREATED),
        started_wall_ns=_wall(row.started_ms),
        ended_wall_ns=_wall(row.ended_ms),
        busy_ns=_time(
            row.busy_ms,
            None if reading is None else reading.busy_ratio,
            None if before is None else before.busy_ns,
            elapsed_ns,
        ),
        idle_ns=_time(
            row.idle_ms,
            None if reading is None else reading.idle_ratio,
            None if before is None else before.idle_ns,
            elapsed_ns,
        ),
        back_pressured_ns={} if held_ns is None else {BlockReason.BUFFER: held_ns},
        longest_blocked_ns=None,
        state=_state(reading),
        records_in=row.records_in,
        records_out=row.records_out,
        rejected={},
        buffers_in_use=None,
        buffers=None,
        back_pressure=reading,
        recent=None if before is None else _recent(reading, before, row, elapsed_ns),
    )


def _wall(ms: int | None) -> int | None:
    return None if ms is None else ms * NS_PER_MS


def _held(task: TaskSnapshot | None) -> int | None:
    return None if task is None else task.back_pressured_ns.get(BlockReason.BUFFER)


def _time(counted_ms: int | None, share: float | None, before_ns: int | None, elapsed_ns: int) -> int | None:
    """As Flink counts it; from ratios where it does not (up to 1.16), which is exact to one look."""
    if counted_ms is not None:
        return counted_ms * NS_PER_MS
    return None if share is None else (before_ns or 0) + round(share * elapsed_ns)


def _state(reading: BackPressureSnapshot | None) -> str:
    """What it did most."""
    if reading is None or reading.busy_ratio is None or reading.idle_ratio is None:
        return "unknown"
    shares = {"busy": reading.busy_ratio, "idle": reading.idle_ratio, BlockReason.BUFFER.value: reading.ratio}
    return max(shares, key=lambda state: shares[state])


def _recent(
    reading: BackPressureSnapshot | None, before: TaskSnapshot, row: SubtaskRow, elapsed_ns: int
) -> RecentTimes | None:
    """None where one of the shares is unknown: they would not sum to the whole."""
    if reading is None or reading.busy_ratio is None or reading.idle_ratio is None or elapsed_ns <= 0:
        return None
    return RecentTimes(
        span_ns=elapsed_ns,
        busy_ns=round(reading.busy_ratio * elapsed_ns),
        idle_ns=round(reading.idle_ratio * elapsed_ns),
        back_pressured_ns={BlockReason.BUFFER: round(reading.ratio * elapsed_ns)},
        blocked_by_channel_ns=(),
        records_in=grown(before.records_in, row.records_in),
        records_out=grown(before.records_out, row.records_out),
    )
