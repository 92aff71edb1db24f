"""What an outsider may see of a running engine, as one frozen value.

Everything right of the engine (metrics, HTTP, pages, dashboards) is computed from these classes and nothing
else. Times are integer nanoseconds; *wall* in a name means since the epoch. `None` means unknown or not
applicable, never zero. A snapshot is consistent within a partition and within a subtask, not across them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from engine.core.pause import Pause
from engine.core.records import WriteSource


class Outcome(StrEnum):
    """What became of an attempted write."""

    ACCEPTED = "accepted"
    WRITE_RATE_LIMIT_EXHAUSTED = "write_rate_limit_exhausted"
    REQUEST_LIMIT_EXHAUSTED = "request_limit_exhausted"


class BlockReason(StrEnum):
    """Why a task could not hand on its output."""

    BUFFER = "buffer"
    WRITE_LIMIT = "write_limit"
    REQUEST_LIMIT = "request_limit"
    INTER_PARTITION = "inter_partition"
    DISK_FULL = "disk_full"


class TaskStatus(StrEnum):
    """Where a subtask is in its life (the execution states of Flink that occur here)."""

    CREATED = "created"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELED = "canceled"
    FAILED = "failed"


class ExporterState(StrEnum):
    """What a record exporter is doing."""

    EXPORTING = "exporting"
    RETRYING = "retrying"
    PAUSED = "paused"
    CLOSED = "closed"


class EngineState(StrEnum):
    """Where the engine as a whole is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"


class PartitionState(StrEnum):
    """Where a partition is in its life here, whoever decides that: a local run, the parent of workers, a group.

    What runs elsewhere has no state here.
    """

    # Waits for the right to write, and for those who had it to be done.
    OPENING = "opening"
    # Reads its state.
    RESTORING = "restoring"
    RUNNING = "running"
    # Gives back what it has.
    CLOSING = "closing"
    # Stands still, until somebody lets it try again.
    FAILED = "failed"


class VertexKind(StrEnum):
    """What a vertex of the job graph does."""

    SOURCE = "source"
    TRANSFORM = "transform"
    LOG_WRITER = "log_writer"
    PROCESSOR = "processor"
    EXPORTER = "exporter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar:
    """One of the durations behind a bucket, and where more is told of it."""

    # What an observer of batches gave, such as the identifiers of a span.
    labels: tuple[tuple[str, str], ...]
    # In seconds.
    value: float
    wall_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramSnapshot:
    """A distribution: `counts[i]` observations ≤ `bounds[i]` and above the bound before; the last is the rest.

    Invariant: `len(counts) == len(bounds) + 1`; counts are not cumulative. `bounds` and `sum` are in seconds.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float
    # The newest of each bucket, None for one without; empty where nobody observes batches.
    exemplars: tuple[Exemplar | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackPressureSnapshot:
    """The share of time a subtask was back-pressured. `ratio`, idle and busy ratio sum to 1 where all are known."""

    ratio: float
    # How many looks the ratio rests on; None where it is by another engine's timers.
    samples: int | None
    level: str
    idle_ratio: float | None = 0.0
    busy_ratio: float | None = 0.0
    # The 95 % confidence interval of the ratio; None where it does not rest on samples.
    ratio_low: float | None = 0.0
    ratio_high: float | None = 1.0
    # When the newest of the samples was taken; None in a hand-made snapshot.
    sampled_wall_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBasis:
    """What the samples of a subtask were decided by, since it started."""

    by_stack: int = 0
    # The task's state had changed between the deadline and the look: its record of transitions decided.
    by_transitions: int = 0
    # The deadline was older than that record.
    discarded: int = 0
    # Looks at which stack and timer said different things of the same moment.
    disagreements: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentTimes:
    """What a subtask did in the last seconds, by its timers. The three kinds of time sum to `span_ns`."""

    span_ns: int
    busy_ns: int
    idle_ns: int
    back_pressured_ns: Mapping[BlockReason, int]
    # Part of the buffer time above, by the downstream subtask whose channel was full.
    blocked_by_channel_ns: tuple[int, ...]
    records_in: int
    records_out: int

    @property
    def blocked_share(self) -> float:
        return sum(self.back_pressured_ns.values()) / self.span_ns

    @property
    def busy_share(self) -> float:
        return self.busy_ns / self.span_ns

    @property
    def idle_share(self) -> float:
        return self.idle_ns / self.span_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingProgress:
    """A measurement that is under way."""

    taken: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexBackPressure:
    """The back pressure of a whole vertex: the worst of its subtasks."""

    vertex_id: str
    # False while there is nothing yet, and for a measurement older than the refresh interval.
    is_fresh: bool
    # None while there is nothing yet.
    level: str | None
    sampled_wall_ns: int | None
    # By number; without those that were not running.
    subtasks: Mapping[int, BackPressureSnapshot]
    sampling: SamplingProgress | None
    # Why a measurement failed or is not whole, one sentence.
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSnapshot:
    """How the sampler itself is doing, since it started."""

    mode: str
    num_samples: int
    delay_between_samples_ns: int
    refresh_interval_ns: int
    # Deadlines served, and those given up because the sampler came far too late.
    ticks: int
    missed: int
    # How long after their deadlines stacks were looked at: in all (for a mean), and at worst.
    lateness_ns: int
    lateness_max_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """The task to blame while something is back-pressured, and how that is known."""

    task: str
    # None for flow control.
    vertex_id: str | None
    # The one slow subtask; None where no single one is to blame.
    subtask: int | None
    # What the last victim waits for: how the culprit makes itself felt.
    reason: BlockReason
    # From the task that suffers most to the last one that is held back, `task/subtask` each.
    victims: tuple[str, ...]
    # One sentence.
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSnapshot:
    """How far a source is in what it reads, by its own word."""

    # In bytes of the file as it lies on the disk; of a followed log, of the file that is open. None for what is no
    # file.
    position_bytes: int | None = None
    # None for what has no end: a pipe, a followed log.
    size_bytes: int | None = None
    # How far behind the end of its file a followed log is; None for what is not followed.
    lag_bytes: int | None = None
    # How many messages of a topic are still to be read; None for what is no topic, and while nobody can say.
    lag_records: int | None = None
    # The number of the last line that was handed on; 0 before the first.
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSnapshot:
    """One subtask. Invariant: busy + idle + back-pressured = the time since it started, where all are known.

    All is known of a task of this engine. Of another engine's, a time or a count is None where that does not say it,
    and a reason is missing.
    """

    task: str
    vertex_id: str
    kind: VertexKind
    subtask: int
    status: TaskStatus
    started_wall_ns: int | None
    ended_wall_ns: int | None
    busy_ns: int | None
    idle_ns: int | None
    back_pressured_ns: Mapping[BlockReason, int]
    longest_blocked_ns: int | None
    # The state at the moment of the snapshot: "busy", "idle" or a BlockReason; "unknown" of another engine's.
    state: str
    records_in: int | None
    records_out: int | None
    rejected: Mapping[str, int]
    # Output buffers; None for a task that hands on nothing through a pool.
    buffers_in_use: int | None
    buffers: int | None
    # Part of the buffer time above, by the downstream subtask whose channel was full.
    blocked_by_channel_ns: tuple[int, ...] = ()
    # None until the sampler has a ratio, and when the subtask is over.
    back_pressure: BackPressureSnapshot | None = None
    sample_basis: SampleBasis | None = None
    # None before the second reading of the timers.
    recent: RecentTimes | None = None
    # Of a source that can say it.
    input: InputSnapshot | None = None


def grown(before: int | None, after: int | None) -> int:
    """What was counted between two snapshots; 0 where either does not know it."""
    return 0 if before is None or after is None else after - before


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSnapshot:
    """One record exporter on one partition."""

    exporter: str
    state: ExporterState
    acknowledged_position: int
    backlog_records: int
    # Wall time of the oldest record not yet acknowledged; the snapshot's own time when there is none, None when the
    # log cannot say it.
    oldest_unexported_wall_ns: int | None
    exported_records: int
    skipped_records: int
    errors: int
    retries: int
    last_error: str | None
    export_duration: HistogramSnapshot
    # When the last error happened; None while there was none.
    last_error_wall_ns: int | None = None
    # None while nobody holds it.
    pause: Pause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectsSnapshot:
    """What was set aside by one task and is kept: how many, and since when the oldest of them."""

    task: str
    count: int
    oldest_wall_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSnapshot:
    """The gate of one partition. Limits are None while they are disabled."""

    writes: Mapping[tuple[WriteSource, Outcome], int]
    # The throttle's rate: what writes are limited to now, leaving the ramp-up aside.
    write_limit_per_second: float | None
    write_limit_max_per_second: float | None
    ramp_up_rate_per_second: float | None
    throttled: bool
    throttled_ns: int
    throttle_factor: float | None
    acceptable_backlog_records: int | None
    # None before the first two observations and on a partition without exporters.
    exporting_rate_per_second: float | None
    write_rate_per_second: float | None
    partition_load_ratio: float | None
    request_limit: int | None
    requests_in_flight: int
    waiting_writers: int
    # Monotonic time from which the write limiter grants again; in the past when it grants now.
    next_free_ns: int | None
    # Why the limit is what it is, one sentence.
    reason: str
    overridden: bool
    # Episodes of throttling that have begun; one that runs counts.
    throttles: int = 0
    # When the last of them began; None before the first.
    throttle_start_wall_ns: int | None = None
    # Monotonic time of the last refusal; None while there was none.
    refused_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """That limits were set by hand: since when, until when (None: until somebody brings the others back), by whom."""

    since_wall_ns: int
    until_wall_ns: int | None
    by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSnapshot:
    """What the writer of a partition saw of one broker in the last seconds; None where it had no answer of it."""

    # The mean time from a request to its answer, copies on other brokers included where it waits for them.
    rtt_seconds: float | None
    # The mean of the times that the broker had the writer wait for a quota; 0 where it never did.
    throttle_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSnapshot:
    """What a partition has seen of the cluster that keeps its log."""

    is_up: bool
    commit_duration: HistogramSnapshot
    # By what became of them: committed, aborted, unknown.
    transactions: Mapping[str, int]
    # By the reason: taken_over by another instance, timeout of a transaction.
    fenced: Mapping[str, int]
    # Rows of state that were read when the partition was opened, how many were still to be read, how long that took: so
    # far, while it is being opened.
    restored_rows: int
    restore_seconds: float
    restore_remaining_rows: int = 0
    # By their numbers in the cluster.
    brokers: Mapping[int, BrokerSnapshot] = field(default_factory=dict)

    @property
    def restore_seconds_left(self) -> float | None:
        """A guess, from how fast it went so far; None before anything was read."""
        if not self.restored_rows:
            return None
        return self.restore_remaining_rows * self.restore_seconds / self.restored_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSnapshot:
    """One partition: its log, its gate, its exporters, read under one lock."""

    partition: int
    state: PartitionState
    last_written_position: int
    last_processed_position: int | None
    lowest_acknowledged_position: int | None
    # None on a partition without exporters: unknown is not zero.
    backlog_records: int | None
    oldest_unexported_wall_ns: int | None
    flow: FlowSnapshot
    exporters: tuple[ExporterSnapshot, ...]
    append_duration: HistogramSnapshot
    command_duration: HistogramSnapshot
    processing_duration: HistogramSnapshot
    end_to_end_duration: HistogramSnapshot
    append_failures: Mapping[str, int]
    outbox_records: int
    disk_free_bytes: int | None
    # What writes to the log have failed with of late; None when none has.
    append_error: str | None = None
    # Whether there is too little room on the disk to let everybody write.
    lacks_room: bool = False
    # What was set by hand; None where the configured limits hold.
    by_hand: ByHand | None = None
    # Of the record that the processor has in hand, or had last; None without a processor.
    processing_position: int | None = None
    # For how long the processor has been seen at that record; None between units.
    processing_ns: int | None = None
    # None where the log is on this machine.
    cluster: ClusterSnapshot | None = None
    # Since when it runs here; None while it is being opened.
    opened_wall_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSnapshot:
    """A partition that belongs here and is not open: it is on its way, or it has failed."""

    partition: int
    state: PartitionState
    # None before anybody has asked the cluster, and where there is none.
    cluster: ClusterSnapshot | None = None
    # Since when it is in this state; None where that is not known.
    since_wall_ns: int | None = None
    # Why it stands still, or what is tried again, in one sentence.
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSnapshot:
    """An edge of the job graph: who feeds whom, and how records are spread."""

    source_id: str
    target_id: str
    # FORWARD, HASH, REBALANCE or BROADCAST; LOG for the hand-over through the log.
    ship_strategy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexSnapshot:
    """A vertex of the job graph, in the order in which records flow."""

    vertex_id: str
    task: str
    kind: VertexKind
    parallelism: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSnapshot:
    """One worker process, by its place: a new process in the place of one that died has the same number, from 1."""

    worker: int
    # Whether it runs and has its partitions open.
    is_up: bool
    # None while it has none.
    process_id: int | None
    partitions: tuple[int, ...]
    # How often it was started again.
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSnapshot:
    """One instance of a pipeline that several share, by its own word of a few seconds ago."""

    name: str
    is_me: bool
    since_wall_ns: int
    version: str
    # Where others reach its ports; empty where it has none.
    gateway: str
    management: str
    # Those it has open, rising, and since when each.
    partitions: Mapping[int, int]
    # The parts of its configuration that are not as here.
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceSnapshot:
    """Where a partition of a shared pipeline is, by the last word of the instances that are there."""

    partition: int
    # To which instance it belongs, and in which state it is there; None where nobody says that it belongs to him.
    owner: str | None = None
    state: PartitionState | None = None
    since_wall_ns: int | None = None
    # Why it does not run, or what is tried again, in one sentence.
    why: str | None = None
    # While its state is being read: what is left, and a guess how long that takes.
    restore_remaining_rows: int | None = None
    restore_seconds_left: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancesSnapshot:
    """All instances of a pipeline, as this one knows them, and what belongs to it."""

    me: str
    # By name.
    instances: tuple[InstanceSnapshot, ...]
    # All partitions there are, rising.
    places: tuple[PlaceSnapshot, ...]
    # Open here or on the way to it, rising.
    owned: tuple[int, ...]
    # Partitions that came to this instance and left it, by how: joined, left, lost.
    moves: Mapping[str, int]
    # Records that this instance handed on to others, by outcome: accepted, refused, failed.
    forwarded: Mapping[str, int]
    # A short hash of what this instance runs.
    configuration: str

    @property
    def without_owner(self) -> tuple[int, ...]:
        """Nobody who is there has them open, or is reading their state, rising."""
        held = (PartitionState.RUNNING, PartitionState.RESTORING)
        return tuple(place.partition for place in self.places if place.state not in held)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySnapshot:
    """What the gateway has done since it opened."""

    # Answers by HTTP status; every status that can occur is there.
    requests: Mapping[int, int]
    # In the log because of them.
    records: int
    received_bytes: int
    # Open at this moment; and those that found no place, or lost it to another.
    connections: int
    refused_connections: int = 0
    # What came in and was no request.
    malformed_requests: int = 0
    duration: HistogramSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which other engine a pipeline runs in, and as what it is known there."""

    # The kind of bridge it is seen through: flink, process, zeebe.
    bridge: str
    id: str
    # Of the other engine; empty where it is not known.
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSnapshot:
    """How the looks at another engine went, since the bridge started."""

    # Whether the last look succeeded; None before the first.
    is_up: bool | None
    looks: int
    # By a closed list of reasons, all of them there.
    errors: Mapping[str, int]
    # None before the first success.
    succeeded_wall_ns: int | None
    # How long the last look took; None before the first.
    look_ns: int | None
    # What it runs, by the other engine's own words for states.
    jobs: Mapping[str, int]
    # Of what runs there and is not shown: too much of it.
    omitted: int
    # Whether its partitions have settings that differ; None where it has none, or does not say.
    drifted: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSnapshot:
    """Everything, at one moment."""

    pipeline: str
    job_id: str
    state: EngineState
    # Why the engine failed, in one sentence; None while it did not.
    failure: str | None
    started_wall_ns: int
    taken_wall_ns: int
    taken_monotonic_ns: int
    vertices: tuple[VertexSnapshot, ...]
    edges: tuple[EdgeSnapshot, ...]
    partitions: tuple[PartitionSnapshot, ...]
    tasks: tuple[TaskSnapshot, ...]
    # The task to blame while something is back-pressured, and what is known of it.
    bottleneck: str | None = None
    culprit: Culprit | None = None
    # By vertex, in their order; empty without a monitor.
    back_pressure: tuple[VertexBackPressure, ...] = ()
    sampler: SamplerSnapshot | None = None
    # Empty where all runs in one process.
    workers: tuple[WorkerSnapshot, ...] = ()
    # What became of what the observer of batches was told, by outcome; empty without one.
    observed: Mapping[str, int] = field(default_factory=dict)
    # None where no gateway was opened.
    gateway: GatewaySnapshot | None = None
    # Of the tasks that have any.
    rejects: tuple[RejectsSnapshot, ...] = ()
    # Whether the interpreter lets one thread run at a time; None where it is no Python of ours.
    has_gil: bool | None = None
    # None for a pipeline of this engine.
    origin: Origin | None = None
    # Of a bridge itself; None for a pipeline.
    bridge: BridgeSnapshot | None = None
    # Task and the one that it waits for, for each that is held back; where nobody follows that, None.
    waits: tuple[tuple[str, str], ...] | None = None
    # The partitions that belong here and are not open yet, or any more.
    closed: tuple[ClosedSnapshot, ...] = ()
    # None where nobody shares the pipeline.
    instances: InstancesSnapshot | None = None
    # What partitions counted that are not here any more: their durations go on counting, all else went with them.
    departed: tuple[PartitionSnapshot, ...] = ()
    # Facts of the build and configuration, for the info metric.
    info: Mapping[str, str] = field(default_factory=dict)

    @property
    def belonging(self) -> tuple[PartitionSnapshot | ClosedSnapshot, ...]:
        """All partitions that belong here, open or not."""
        return (*self.partitions, *self.closed)
