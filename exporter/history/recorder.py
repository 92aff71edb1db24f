"""Keeps one sample a second for a quarter of an hour, in memory that was measured beforehand."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TypeVar

from engine.core.snapshot import EngineSnapshot, PartitionSnapshot, VertexKind
from exporter.door import NS_PER_MS, NS_PER_SECOND, condition_of
from exporter.history.fields import PARTITION_FIELDS, VERTEX_FIELDS, Field, Moment, Value, Vertex
from exporter.history.keeping import Row
from exporter.history.table import Table, unrolled

CAPACITY = 900
# What the page can still draw; together below 18 MB.
PARTITIONS_MAX = 64
VERTICES_MAX = 128
# A wall clock further off than this was set, not slewed.
_STEP_NS = NS_PER_SECOND

Json = dict[str, object]
Seen = TypeVar("Seen")


class HistoryRecorder:
    """The samples of the last fifteen minutes, as columns. `record` is for one thread, `columns` for any.

    Times are stored as monotonic and told as wall time by one difference between the two: they rise whatever the
    wall clock does, and when somebody sets it, all of them move along.
    """

    def __init__(self, *, vertices_max: int = VERTICES_MAX) -> None:
        self._lock = Lock()
        # All below are guarded by it. Rows are counted since the start.
        self._rows = 0
        self._times_ns = array("q", [0]) * CAPACITY
        self._wall_offset_ns = 0
        self._partitions: Table[int] = Table(
            [field.name for field in PARTITION_FIELDS], capacity=CAPACITY, things_max=PARTITIONS_MAX
        )
        self._vertices: Table[str] = Table(
            [field.name for field in VERTEX_FIELDS], capacity=CAPACITY, things_max=vertices_max
        )
        self._before: EngineSnapshot | None = None
        # Records a second that came in by the gateway, between the last two samples.
        self._by_gateway: float | None = None

    def recall(self, rows: Sequence[Row], *, wall_ns: int, monotonic_ns: int) -> None:
        """Puts rows of earlier runs in front, and a gap behind them; before anything is recorded. Times are of now."""
        with self._lock:
            assert self._rows == 0, "first of all"
            self._wall_offset_ns = wall_ns - monotonic_ns
            for row in rows:
                self._put(row.wall_ns - self._wall_offset_ns, row.partitions, row.vertices)
            if rows:
                # Nothing is known of the time in which nobody ran: no line leads over it.
                self._put(rows[-1].wall_ns - self._wall_offset_ns + 1, {}, {})

    def record(self, snapshot: EngineSnapshot) -> Row | None:
        """Adds a sample and gives it; None for a snapshot that is not later than the last one."""
        before = self._before
        if before is not None and snapshot.taken_monotonic_ns <= before.taken_monotonic_ns:
            return None
        partitions = _partition_values(snapshot, before)
        vertices = _vertex_values(snapshot, before)
        with self._lock:
            offset_ns = snapshot.taken_wall_ns - snapshot.taken_monotonic_ns
            if before is None or abs(offset_ns - self._wall_offset_ns) > _STEP_NS:
                self._wall_offset_ns = offset_ns
            self._put(snapshot.taken_monotonic_ns, partitions, vertices)
            self._by_gateway = _gateway_rate(snapshot, before)
            self._before = snapshot
        return Row(snapshot.taken_wall_ns, partitions, vertices)

    def _put(
        self, monotonic_ns: int, partitions: Mapping[int, Sequence[Value]], vertices: Mapping[str, Sequence[Value]]
    ) -> None:
        self._times_ns[self._rows % CAPACITY] = monotonic_ns
        self._partitions.write(self._rows, partitions)
        self._vertices.write(self._rows, vertices)
        self._rows += 1

    def columns(self, *, since_seconds: float | None = None) -> Json:
        """What is kept, later than the wall time `since_seconds`, as JSON; NaN stands for what is unknown."""
        with self._lock:
            snapshot, end = self._before, self._rows
            oldest = max(0, end - CAPACITY)
            times = self._times_ms(oldest, end)
            first = oldest
            if since_seconds is not None and not math.isnan(since_seconds):
                first += bisect_right(times, since_seconds * 1000)
            return self._document(snapshot, first, end, times[first - oldest :])

    def newest(self) -> Json:
        """The last sample alone, in the same form."""
        with self._lock:
            first = max(0, self._rows - 1)
            return self._document(self._before, first, self._rows, self._times_ms(first, self._rows))

    def _times_ms(self, first: int, end: int) -> list[int]:
        offset_ns = self._wall_offset_ns
        return [(time_ns + offset_ns) // NS_PER_MS for time_ns in unrolled(self._times_ns, first, end)]

    def _document(self, snapshot: EngineSnapshot | None, first: int, end: int, times_ms: Sequence[int]) -> Json:
        partitions = self._partitions.read(first, end)
        vertices = self._vertices.read(first, end)
        found = None if snapshot is None else condition_of(snapshot)
        named = {} if snapshot is None else {vertex.vertex_id: vertex for vertex in snapshot.vertices}
        return {
            "pipeline": None if snapshot is None else snapshot.pipeline,
            "state": None if snapshot is None else snapshot.state,
            # How it is, in the word and the sentence that everybody uses.
            "condition": None if found is None else found.condition.words,
            "because": None if found is None else found.text,
            "bottleneck": None if snapshot is None else snapshot.bottleneck,
            # None where there is none.
            "gateway": None
            if snapshot is None or snapshot.gateway is None
            else {"connections": snapshot.gateway.connections, "recordsPerSecond": self._by_gateway},
            "resolutionSeconds": 1,
            "spanSeconds": CAPACITY,
            # Of things for which there is no room.
            "omitted": {"partitions": self._partitions.omitted, "vertices": self._vertices.omitted},
            "times": [time_ms / 1000 for time_ms in times_ms],
            "partitions": [{"partition": number, "columns": partitions[number]} for number in sorted(partitions)],
            "vertices": [
                {"id": key, "task": vertex.task, "kind": vertex.kind, "columns": vertices[key]}
                for key, vertex in named.items()
                if key in vertices
            ],
        }


def _gateway_rate(snapshot: EngineSnapshot, before: EngineSnapshot | None) -> float | None:
    if before is None or snapshot.gateway is None or before.gateway is None:
        return None
    seconds = (snapshot.taken_monotonic_ns - before.taken_monotonic_ns) / NS_PER_SECOND
    grown = snapshot.gateway.records - before.gateway.records
    return grown / seconds if grown >= 0 else None


def _partition_values(snapshot: EngineSnapshot, before: EngineSnapshot | None) -> dict[int, Sequence[Value]]:
    earlier: dict[int, PartitionSnapshot] = {}
    if before is not None:
        earlier = {partition.partition: partition for partition in before.partitions}
    return {
        partition.partition: _values(PARTITION_FIELDS, partition, earlier.get(partition.partition), snapshot, before)
        for partition in snapshot.partitions
    }


def _vertex_values(snapshot: EngineSnapshot, before: EngineSnapshot | None) -> dict[str, Sequence[Value]]:
    earlier = {} if before is None else _vertices(before)
    return {
        key: _values(VERTEX_FIELDS, vertex, earlier.get(key), snapshot, before)
        for key, vertex in _vertices(snapshot).items()
    }


def _vertices(snapshot: EngineSnapshot) -> dict[str, Vertex]:
    return {
        vertex.vertex_id: Vertex(
            subtasks=tuple(task for task in snapshot.tasks if task.vertex_id == vertex.vertex_id),
            exporters=tuple(
                exporter
                for partition in snapshot.partitions
                for exporter in partition.exporters
                if exporter.exporter == vertex.task
            )
            if vertex.kind is VertexKind.EXPORTER
            else (),
        )
        for vertex in snapshot.vertices
    }


def _values(
    fields: Sequence[Field[Seen]],
    now: Seen,
    earlier: Seen | None,
    snapshot: EngineSnapshot,
    before: EngineSnapshot | None,
) -> Sequence[Value]:
    seconds = 0.0
    if before is not None:
        seconds = (snapshot.taken_monotonic_ns - before.taken_monotonic_ns) / NS_PER_SECOND
    moment = Moment(now, earlier, seconds, snapshot.taken_wall_ns)
    return [field.read(moment) for field in fields]
