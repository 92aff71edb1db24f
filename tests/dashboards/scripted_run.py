"""A made-up hour of an engine, second by second, in which everything that the boards show happens once.

Two partitions write 3000 records a second. An exporter is slow twice, so that each partition is throttled once,
and the processor is slow once. The plant follows the documented formula of the throttle, so the throttles are a
result, not a script; `throttles` are their true times, taken each second and not when somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from engine.core.clock import NS_PER_SECOND
from engine.core.identity import stable_id
from engine.core.measures import AGE_BOUNDS_SECONDS, LATENCY_BOUNDS_SECONDS
from engine.core.records import WriteSource
from engine.core.snapshot import (
    BackPressureSnapshot,
    BlockReason,
    BrokerSnapshot,
    ByHand,
    ClusterSnapshot,
    EngineSnapshot,
    ExporterState,
    GatewaySnapshot,
    HistogramSnapshot,
    InputSnapshot,
    InstancesSnapshot,
    Outcome,
    PartitionSnapshot,
    PartitionState,
    PlaceSnapshot,
    TaskSnapshot,
    VertexKind,
    VertexSnapshot,
)
from exporter.catalogue import GATEWAY_BOUNDS_SECONDS, GATEWAY_CODES
from tests.support import snapshots

LIMIT = 4000.0
MINIMUM_LIMIT = 100.0
ACCEPTABLE = 100_000
RESOLUTION_SECONDS = 15
RATE_WINDOW_SECONDS = 60
OFFERED = 3000.0
EXPORTED = 3600.0

HOUR = 3600
# From, to, in seconds since the start.
SLOW_EXPORTER = {1: (600, 1080), 2: (2760, 2880)}
SLOW_EXPORTED = {1: 700.0, 2: 300.0}
SLOW_PROCESSOR = (1740, 2160)
# From when on the limits of partition 2 are set by hand, for longer than the run lasts.
BY_HAND_FROM = 3300

VERTICES = (
    ("flights", VertexKind.SOURCE, 1),
    ("parse", VertexKind.TRANSFORM, 2),
    ("log-writer", VertexKind.LOG_WRITER, 1),
    ("processor", VertexKind.PROCESSOR, 2),
    ("delays", VertexKind.EXPORTER, 2),
    ("summaries", VertexKind.EXPORTER, 2),
)
EXPORTERS = ("delays", "summaries")


@dataclass(slots=True)
class _Distribution:
    """A histogram that grows."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, around: float, count: int) -> None:
        """Most of `count` observations at `around`, a twentieth at four times of it."""
        for value, share in ((around * 0.6, 0.35), (around, 0.6), (around * 4, 0.05)):
            index = next((i for i, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
            self.counts[index] += round(count * share)
            self.sum += value * count * share

    def snapshot(self) -> HistogramSnapshot:
        return HistogramSnapshot(bounds=self.bounds, counts=tuple(self.counts), sum=self.sum)


@dataclass(slots=True)
class _Partition:
    number: int
    written: float = 0.0
    acknowledged: float = 0.0
    limit: float = LIMIT
    factor: float = 100.0
    refused: float = 0.0
    refused_requests: float = 0.0
    throttled_seconds: int = 0
    throttles: int = 0
    # Second of the run at which the last throttle began.
    throttle_start: int | None = None
    errors: int = 0
    in_flight: float = 4.0
    # Positions of the last minute, oldest first: written, acknowledged.
    past: list[tuple[float, float]] = field(default_factory=list)
    append: _Distribution = field(default_factory=lambda: _Distribution(LATENCY_BOUNDS_SECONDS))
    command: _Distribution = field(default_factory=lambda: _Distribution(LATENCY_BOUNDS_SECONDS))
    processing: _Distribution = field(default_factory=lambda: _Distribution(LATENCY_BOUNDS_SECONDS))
    export: _Distribution = field(default_factory=lambda: _Distribution(LATENCY_BOUNDS_SECONDS))
    end_to_end: _Distribution = field(default_factory=lambda: _Distribution(AGE_BOUNDS_SECONDS))

    @property
    def throttled(self) -> bool:
        return self.limit < LIMIT

    @property
    def backlog(self) -> float:
        return self.written - self.acknowledged

    @property
    def exporting_rate(self) -> float:
        return (self.acknowledged - self.past[0][1]) / len(self.past) if self.past else 0.0

    def second(self, at: int) -> None:
        slow_from, slow_to = SLOW_EXPORTER[self.number]
        slow = slow_from <= at < slow_to
        capacity = SLOW_EXPORTED[self.number] if slow else EXPORTED
        slow_processor = SLOW_PROCESSOR[0] <= at < SLOW_PROCESSOR[1]
        offered = OFFERED * (0.4 if slow_processor else 1.0) * (1.0 + 0.04 * ((at * 7 + self.number * 3) % 5 - 2))
        accepted = min(offered, self.limit)
        self.past = [*self.past[-(RATE_WINDOW_SECONDS - 1) :], (self.written, self.acknowledged)]
        self.written += accepted
        self.acknowledged += min(self.backlog, capacity)
        self.refused += max(0.0, offered - accepted) * 0.02
        self.refused_requests += 6.0 if slow_processor else 0.0
        self.errors += slow and at % 10 == 0
        self.in_flight = 30.0 if slow_processor else 4.0 + at % 3
        before = self.throttled
        if at % RESOLUTION_SECONDS == 0:
            self.factor = ACCEPTABLE / self.backlog if self.backlog >= 1 else float(ACCEPTABLE)
            follows = max(MINIMUM_LIMIT, min(LIMIT, self.factor * self.exporting_rate))
            self.limit = LIMIT if self.factor >= 2 else follows
        if self.throttled and not before:
            self.throttles, self.throttle_start = self.throttles + 1, at
        self.throttled_seconds += self.throttled
        self.append.add(0.004, 40)
        self.command.add(0.4 if slow_processor else 0.006, 40)
        self.processing.add(0.0006 if slow_processor else 0.0001, round(accepted))
        self.export.add(0.2 if slow else 0.008, 20)
        self.end_to_end.add(0.05 + self.backlog / max(capacity, 1.0), round(accepted))


class ScriptedRun:
    """The run, to be gone through once."""

    def __init__(self, start_seconds: int, *, length_seconds: int = HOUR) -> None:
        self._start = start_seconds
        self._length = length_seconds
        self._partitions = [_Partition(1), _Partition(2)]
        self._busy: dict[tuple[str, int], float] = {}
        self._held: dict[tuple[str, int], dict[BlockReason, float]] = {}
        self._elapsed = 0
        self._gateway = _Distribution(GATEWAY_BOUNDS_SECONDS)
        # (partition, from, to) in Unix seconds; complete once the run is over.
        self.throttles: list[tuple[int, int, int]] = []

    def snapshots(self, every_seconds: int) -> Iterator[tuple[int, EngineSnapshot]]:
        """What is seen by somebody who looks every so many seconds, with the Unix time of each look."""
        since: dict[int, int] = {}
        for at in range(self._length + 1):
            self._elapsed = at
            for partition in self._partitions:
                partition.second(at)
                if partition.throttled:
                    since.setdefault(partition.number, self._start + at)
                elif partition.number in since:
                    self.throttles.append((partition.number, since.pop(partition.number), self._start + at))
            self._tasks_work(at)
            self._gateway.add(0.008, 40)
            if at % every_seconds == 0:
                yield self._start + at, self._seen(at)

    def _tasks_work(self, at: int) -> None:
        for task, _, parallelism in VERTICES:
            for subtask in range(parallelism):
                busy, held = self._shares(task, subtask, at)
                key = (task, subtask)
                self._busy[key] = self._busy.get(key, 0.0) + busy
                by_reason = self._held.setdefault(key, dict.fromkeys(BlockReason, 0.0))
                slow_processor = SLOW_PROCESSOR[0] <= at < SLOW_PROCESSOR[1]
                by_reason[BlockReason.BUFFER if slow_processor else BlockReason.WRITE_LIMIT] += held

    def _shares(self, task: str, subtask: int, at: int) -> tuple[float, float]:
        """Of one second: busy, back-pressured."""
        slow_processor = SLOW_PROCESSOR[0] <= at < SLOW_PROCESSOR[1]
        throttled = [partition.throttled for partition in self._partitions]
        match task:
            case "flights" | "parse" | "log-writer":
                own = {"flights": 0.25, "parse": 0.35, "log-writer": 0.3}[task]
                held = 0.85 if slow_processor else 0.65 if any(throttled) else 0.0
                return own * (1.0 - held), held
            case "processor":
                return (0.98, 0.0) if slow_processor else (0.3, 0.6) if throttled[subtask] else (0.45, 0.02)
            case "delays":
                slow_from, slow_to = SLOW_EXPORTER[subtask + 1]
                return (0.99 if slow_from <= at < slow_to else 0.5), 0.0
            case _:
                return 0.1, 0.0

    def _seen(self, at: int) -> EngineSnapshot:
        wall_ns = (self._start + at) * NS_PER_SECOND
        throttled = any(partition.throttled for partition in self._partitions)
        slow_processor = SLOW_PROCESSOR[0] <= at < SLOW_PROCESSOR[1]
        return snapshots.engine_snapshot(
            started_wall_ns=self._start * NS_PER_SECOND,
            taken_wall_ns=wall_ns,
            taken_monotonic_ns=at * NS_PER_SECOND,
            vertices=tuple(
                VertexSnapshot(vertex_id=stable_id("test", task), task=task, kind=kind, parallelism=parallelism)
                for task, kind, parallelism in VERTICES
            ),
            partitions=tuple(self._partition(partition, wall_ns) for partition in self._partitions),
            tasks=tuple(
                self._task(task, kind, subtask, at)
                for task, kind, parallelism in VERTICES
                for subtask in range(parallelism)
            ),
            bottleneck="processor" if slow_processor else "delays" if throttled else None,
            gateway=self._gateway_seen(),
            instances=self._instances_seen(at),
        )

    def _instances_seen(self, at: int) -> InstancesSnapshot:
        """Of one that has all partitions, the second from the 20th minute on."""
        return InstancesSnapshot(
            me="a",
            instances=(),
            places=tuple(
                PlaceSnapshot(partition=p.number, owner="a", state=PartitionState.RUNNING) for p in self._partitions
            ),
            owned=tuple(p.number for p in self._partitions),
            moves={"joined": 1 + (at >= HOUR // 3), "left": 0, "lost": 0},
            forwarded={"accepted": at * 5, "refused": at // 60, "failed": 0},
            configuration="0123456789ab",
        )

    def _gateway_seen(self) -> GatewaySnapshot:
        """A tenth of what is written comes in this way, ten records a request; a few requests are no good."""
        records = round(sum(partition.written for partition in self._partitions) * 0.1)
        refused = round(sum(p.refused + p.refused_requests for p in self._partitions) * 0.01)
        return GatewaySnapshot(
            requests={
                **dict.fromkeys(GATEWAY_CODES, 0),
                200: records // 10,
                400: records // 1000,
                429: refused,
                503: records // 10_000,
            },
            records=records,
            received_bytes=records * 300,
            connections=30 + self._elapsed % 3,
            duration=self._gateway.snapshot(),
        )

    def _partition(self, p: _Partition, wall_ns: int) -> PartitionSnapshot:
        at = self._elapsed
        slow_from, slow_to = SLOW_EXPORTER[p.number]
        slow = slow_from <= at < slow_to
        oldest_ns = wall_ns - round(p.backlog / OFFERED * NS_PER_SECOND)
        rates = {"exporting_rate_per_second": p.exporting_rate, "write_rate_per_second": OFFERED}
        load = min(1.0, (p.written - p.past[0][0]) / max(1, len(p.past)) / LIMIT)
        flow = snapshots.flow(
            writes={
                (WriteSource.USER_COMMAND, Outcome.ACCEPTED): round(p.written * 0.3),
                (WriteSource.PROCESSING_RESULT, Outcome.ACCEPTED): round(p.written * 0.5),
                (WriteSource.INTER_PARTITION, Outcome.ACCEPTED): round(p.written * 0.19),
                (WriteSource.SCHEDULED, Outcome.ACCEPTED): round(p.written * 0.01),
                (WriteSource.USER_COMMAND, Outcome.WRITE_RATE_LIMIT_EXHAUSTED): round(p.refused),
                (WriteSource.USER_COMMAND, Outcome.REQUEST_LIMIT_EXHAUSTED): round(p.refused_requests),
            },
            write_limit_per_second=p.limit,
            write_limit_max_per_second=LIMIT,
            throttled=p.throttled,
            throttled_ns=p.throttled_seconds * NS_PER_SECOND,
            throttles=p.throttles,
            throttle_start_wall_ns=(
                None if p.throttle_start is None else (self._start + p.throttle_start) * NS_PER_SECOND
            ),
            throttle_factor=p.factor,
            acceptable_backlog_records=ACCEPTABLE,
            partition_load_ratio=load,
            request_limit=32,
            requests_in_flight=round(p.in_flight),
            waiting_writers=2 if p.throttled else 0,
            ramp_up_rate_per_second=1333.0 if at < 60 else None,
            overridden=p.number == 2 and at >= BY_HAND_FROM,
            **rates,
        )
        exporters = tuple(
            snapshots.record_exporter(
                name,
                state=ExporterState.RETRYING if slow and name == "delays" and at % 60 < 20 else ExporterState.EXPORTING,
                acknowledged_position=round(p.acknowledged if name == "delays" else p.written),
                backlog_records=round(p.backlog) if name == "delays" else 0,
                oldest_unexported_wall_ns=oldest_ns if name == "delays" else wall_ns,
                exported_records=round((p.acknowledged if name == "delays" else p.written) * 0.9),
                skipped_records=round((p.acknowledged if name == "delays" else p.written) * 0.1),
                errors=p.errors if name == "delays" else 0,
                retries=p.errors if name == "delays" else 0,
                export_duration=p.export.snapshot(),
            )
            for name in EXPORTERS
        )
        return snapshots.partition(
            p.number,
            last_written_position=round(p.written),
            last_processed_position=round(p.written - p.in_flight),
            lowest_acknowledged_position=round(p.acknowledged),
            backlog_records=round(p.backlog),
            oldest_unexported_wall_ns=oldest_ns,
            flow=flow,
            exporters=exporters,
            append_duration=p.append.snapshot(),
            command_duration=p.command.snapshot(),
            processing_duration=p.processing.snapshot(),
            end_to_end_duration=p.end_to_end.snapshot(),
            append_failures={"disk_full": 0, "io_error": 0},
            outbox_records=40 if p.throttled else 0,
            disk_free_bytes=40_000_000_000 - at * 1_000_000,
            cluster=ClusterSnapshot(
                is_up=True,
                commit_duration=p.append.snapshot(),
                transactions={"committed": at * 20, "aborted": at // 300, "unknown": at // 900},
                fenced={"taken_over": 0, "timeout": at // 1800},
                restored_rows=4_625,
                restore_seconds=1.6,
                brokers={
                    broker: BrokerSnapshot(rtt_seconds=0.002 * broker, throttle_seconds=0.0) for broker in (1, 2, 3)
                },
            ),
            opened_wall_ns=self._start * NS_PER_SECOND,
            by_hand=ByHand(
                since_wall_ns=(self._start + BY_HAND_FROM) * NS_PER_SECOND,
                until_wall_ns=(self._start + HOUR + 600) * NS_PER_SECOND,
                by="alice",
            )
            if p.number == 2 and at >= BY_HAND_FROM
            else None,
        )

    def _task(self, name: str, kind: VertexKind, subtask: int, at: int) -> TaskSnapshot:
        busy, by_reason = self._busy[name, subtask], self._held[name, subtask]
        held = sum(by_reason.values())
        _, now = self._shares(name, subtask, at)
        ratio = round(now * 0.98, 2)
        level = "ok" if ratio <= 0.1 else "low" if ratio <= 0.5 else "high"
        pooled = kind in (VertexKind.SOURCE, VertexKind.TRANSFORM)
        records = round(sum(partition.written for partition in self._partitions) * 0.3)
        return replace(
            snapshots.task(name, subtask),
            kind=kind,
            busy_ns=round(busy * NS_PER_SECOND),
            idle_ns=round((at + 1 - busy - held) * NS_PER_SECOND),
            back_pressured_ns={reason: round(share * NS_PER_SECOND) for reason, share in by_reason.items()},
            records_in=records,
            records_out=records,
            rejected={"error": at // 300} if name == "parse" else {},
            buffers_in_use=(8 if now > 0.5 else 2) if pooled else None,
            buffers=8 if pooled else None,
            input=InputSnapshot(
                position_bytes=40 * records,
                size_bytes=40 * records + 4_000_000,
                lag_bytes=16_000 if now > 0.5 else 120,
                lag_records=400 if now > 0.5 else 3,
                offset=records,
            )
            if kind is VertexKind.SOURCE
            else None,
            back_pressure=BackPressureSnapshot(ratio=ratio, samples=100, level=level),
        )
