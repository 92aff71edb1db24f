"""Hand-made engine snapshots: a quiet engine by default, and one in which everything happens at once."""

from __future__ import annotations

from dataclasses import replace

from engine.core.clock import NS_PER_SECOND
from engine.core.identity import stable_id
from engine.core.measures import AGE_BOUNDS_SECONDS, LATENCY_BOUNDS_SECONDS
from engine.core.pause import Pause
from engine.core.records import WriteSource
from engine.core.snapshot import (
    BackPressureSnapshot,
    BlockReason,
    BridgeSnapshot,
    BrokerSnapshot,
    ByHand,
    ClusterSnapshot,
    EdgeSnapshot,
    EngineSnapshot,
    EngineState,
    Exemplar,
    ExporterSnapshot,
    ExporterState,
    FlowSnapshot,
    GatewaySnapshot,
    HistogramSnapshot,
    InputSnapshot,
    InstanceSnapshot,
    InstancesSnapshot,
    Origin,
    Outcome,
    PartitionSnapshot,
    PartitionState,
    PlaceSnapshot,
    RejectsSnapshot,
    SampleBasis,
    SamplerSnapshot,
    TaskSnapshot,
    TaskStatus,
    VertexKind,
    VertexSnapshot,
    WorkerSnapshot,
)
from exporter.catalogue import GATEWAY_BOUNDS_SECONDS, GATEWAY_CODES, LOOK_ERRORS

STARTED_WALL_NS = 1_700_000_000 * NS_PER_SECOND
TAKEN_WALL_NS = STARTED_WALL_NS + 90 * NS_PER_SECOND
TAKEN_MONOTONIC_NS = 90 * NS_PER_SECOND

KINDS = {
    "flights": VertexKind.SOURCE,
    "parse": VertexKind.TRANSFORM,
    "log-writer": VertexKind.LOG_WRITER,
    "processor": VertexKind.PROCESSOR,
    "file": VertexKind.EXPORTER,
}


def histogram(
    *counts: int, bounds: tuple[float, ...] = LATENCY_BOUNDS_SECONDS, total: float = 0.0
) -> HistogramSnapshot:
    """The first buckets hold `counts`, the others nothing."""
    padded = counts + (0,) * (len(bounds) + 1 - len(counts))
    return HistogramSnapshot(bounds=bounds, counts=padded, sum=total)


def marked(histogram: HistogramSnapshot, bucket: int, value: float) -> HistogramSnapshot:
    """With an exemplar in one bucket."""
    exemplars = list(histogram.exemplars or (None,) * len(histogram.counts))
    labels = (("trace_id", f"{0xABC + bucket:032x}"), ("span_id", f"{0xDEF + bucket:016x}"))
    exemplars[bucket] = Exemplar(labels=labels, value=value, wall_ns=TAKEN_WALL_NS - NS_PER_SECOND // 4)
    return replace(histogram, exemplars=tuple(exemplars))


def flow(**changes: object) -> FlowSnapshot:
    """A gate with everything disabled, through which nothing went."""
    quiet = FlowSnapshot(
        writes={},
        write_limit_per_second=None,
        write_limit_max_per_second=None,
        ramp_up_rate_per_second=None,
        throttled=False,
        throttled_ns=0,
        throttle_factor=None,
        acceptable_backlog_records=None,
        exporting_rate_per_second=None,
        write_rate_per_second=None,
        partition_load_ratio=None,
        request_limit=None,
        requests_in_flight=0,
        waiting_writers=0,
        next_free_ns=None,
        reason="the write limit is disabled",
        overridden=False,
    )
    return replace(quiet, **changes)  # type: ignore[arg-type]


def record_exporter(name: str, **changes: object) -> ExporterSnapshot:
    """An exporter that has nothing to do."""
    quiet = ExporterSnapshot(
        exporter=name,
        state=ExporterState.EXPORTING,
        acknowledged_position=0,
        backlog_records=0,
        oldest_unexported_wall_ns=TAKEN_WALL_NS,
        exported_records=0,
        skipped_records=0,
        errors=0,
        retries=0,
        last_error=None,
        export_duration=histogram(),
    )
    return replace(quiet, **changes)  # type: ignore[arg-type]


def partition(number: int, **changes: object) -> PartitionSnapshot:
    """An empty partition without exporters and processor."""
    quiet = PartitionSnapshot(
        partition=number,
        state=PartitionState.RUNNING,
        last_written_position=0,
        last_processed_position=None,
        lowest_acknowledged_position=None,
        backlog_records=None,
        oldest_unexported_wall_ns=None,
        flow=flow(),
        exporters=(),
        append_duration=histogram(),
        command_duration=histogram(),
        processing_duration=histogram(),
        end_to_end_duration=histogram(bounds=AGE_BOUNDS_SECONDS),
        append_failures={},
        outbox_records=0,
        disk_free_bytes=None,
    )
    return replace(quiet, **changes)  # type: ignore[arg-type]


def task(name: str, subtask: int = 0, **changes: object) -> TaskSnapshot:
    """A subtask that has been idle since its start."""
    quiet = TaskSnapshot(
        task=name,
        vertex_id=stable_id("test", name),
        kind=KINDS.get(name, VertexKind.TRANSFORM),
        subtask=subtask,
        status=TaskStatus.RUNNING,
        started_wall_ns=STARTED_WALL_NS,
        ended_wall_ns=None,
        busy_ns=0,
        idle_ns=TAKEN_WALL_NS - STARTED_WALL_NS,
        back_pressured_ns={},
        longest_blocked_ns=0,
        state="idle",
        records_in=0,
        records_out=0,
        rejected={},
        buffers_in_use=None,
        buffers=None,
    )
    times = {**dict.fromkeys(BlockReason, 0), **changes.pop("back_pressured_ns", {})}  # type: ignore[dict-item]
    return replace(quiet, back_pressured_ns=times, **changes)  # type: ignore[arg-type]


def engine_snapshot(**changes: object) -> EngineSnapshot:
    """A running engine of one empty partition and no task."""
    quiet = EngineSnapshot(
        pipeline="flights",
        job_id=stable_id("flights"),
        state=EngineState.RUNNING,
        failure=None,
        started_wall_ns=STARTED_WALL_NS,
        taken_wall_ns=TAKEN_WALL_NS,
        taken_monotonic_ns=TAKEN_MONOTONIC_NS,
        vertices=(),
        edges=(),
        partitions=(partition(1),),
        tasks=(),
        has_gil=True,
    )
    return replace(quiet, **changes)  # type: ignore[arg-type]


def busy_snapshot() -> EngineSnapshot:
    """Two partitions, the first throttled; every kind of task; something in every counter."""
    tasks = (
        task(
            "flights",
            input=InputSnapshot(
                position_bytes=4_500_000, size_bytes=6_000_000, lag_bytes=1_500_000, lag_records=12, offset=27_004
            ),
            busy_ns=NS_PER_SECOND,
            back_pressured_ns={BlockReason.BUFFER: 80 * NS_PER_SECOND},
        ),
        task(
            "parse",
            busy_ns=4_500_000_000,
            idle_ns=1_500_000_000,
            back_pressured_ns={BlockReason.WRITE_LIMIT: 84 * NS_PER_SECOND},
            state=BlockReason.WRITE_LIMIT,
            records_in=12_000,
            records_out=11_990,
            rejected={"error": 10},
            buffers_in_use=7,
            buffers=8,
            back_pressure=BackPressureSnapshot(
                ratio=0.93, samples=100, level="high", sampled_wall_ns=TAKEN_WALL_NS - 20_000_000
            ),
            sample_basis=SampleBasis(by_stack=1700, by_transitions=90, discarded=2, disagreements=3),
        ),
        task(
            "processor",
            busy_ns=60 * NS_PER_SECOND,
            records_in=11_990,
            records_out=11_990,
            back_pressure=BackPressureSnapshot(ratio=0.1, samples=100, level="ok"),
        ),
        task("processor", 1, rejected={"error": 0}),
        task("file", rejected={"error": 2}),
    )
    return engine_snapshot(
        vertices=_vertices("flights", "parse", "processor", "file"),
        edges=(
            EdgeSnapshot(
                source_id=stable_id("test", "flights"), target_id=stable_id("test", "parse"), ship_strategy="FORWARD"
            ),
        ),
        partitions=(_throttled_partition(), _free_partition()),
        tasks=tasks,
        bottleneck="file",
        sampler=SamplerSnapshot(
            mode="continuous",
            num_samples=100,
            delay_between_samples_ns=50_000_000,
            refresh_interval_ns=60 * NS_PER_SECOND,
            ticks=1800,
            missed=4,
            lateness_ns=2_700_000_000,
            lateness_max_ns=31_000_000,
        ),
        workers=(
            WorkerSnapshot(worker=1, is_up=True, process_id=4711, partitions=(1,), restarts=0),
            WorkerSnapshot(worker=2, is_up=False, process_id=None, partitions=(2,), restarts=3),
        ),
        instances=InstancesSnapshot(
            me="a",
            instances=(
                InstanceSnapshot(
                    name="a",
                    is_me=True,
                    since_wall_ns=TAKEN_WALL_NS,
                    version="1.0",
                    gateway="http://a:8600",
                    management="http://a:9600",
                    partitions={1: TAKEN_WALL_NS},
                ),
                InstanceSnapshot(
                    name="b",
                    is_me=False,
                    since_wall_ns=TAKEN_WALL_NS,
                    version="1.0",
                    gateway="",
                    management="",
                    partitions={},
                    differs=("processor",),
                ),
            ),
            places=(
                PlaceSnapshot(partition=1, owner="a", state=PartitionState.RUNNING, since_wall_ns=TAKEN_WALL_NS),
                PlaceSnapshot(
                    partition=2,
                    owner="a",
                    state=PartitionState.FAILED,
                    since_wall_ns=TAKEN_WALL_NS,
                    why="task processor/1 failed: no luck",
                ),
            ),
            owned=(1, 2),
            moves={"joined": 3, "left": 1, "lost": 0},
            forwarded={"accepted": 250, "refused": 4, "failed": 1},
            configuration="0123456789ab",
        ),
        observed={"success": 512, "failure": 7, "dropped": 1},
        rejects=(RejectsSnapshot(task="parse", count=3, oldest_wall_ns=1_699_999_000 * NS_PER_SECOND),),
        gateway=GatewaySnapshot(
            requests={**dict.fromkeys(GATEWAY_CODES, 0), 200: 40_000, 400: 3, 429: 325},
            records=1_000_000,
            received_bytes=123_456_789,
            connections=128,
            duration=histogram(0, 40, 30_000, 10_000, 288, bounds=GATEWAY_BOUNDS_SECONDS, total=180.5),
        ),
        info={"storage": "memory"},
    )


def bridged_snapshot() -> EngineSnapshot:
    """A job of another engine, of which not all is known: `orders` is held back by one of two subtasks of `count`."""
    count = [
        BackPressureSnapshot(
            ratio=0.0,
            samples=None,
            level="ok",
            busy_ratio=busy,
            idle_ratio=1 - busy,
            ratio_low=None,
            ratio_high=None,
            sampled_wall_ns=TAKEN_WALL_NS - NS_PER_SECOND,
        )
        for busy in (0.25, 0.75)
    ]
    source = task(
        "orders",
        kind=VertexKind.SOURCE,
        busy_ns=None,
        records_in=None,
        back_pressure=replace(count[0], ratio=0.9, level="high", busy_ratio=None, idle_ratio=None),
    )
    return engine_snapshot(
        pipeline="orders",
        job_id="ab" * 16,
        vertices=(
            VertexSnapshot(vertex_id=stable_id("test", "orders"), task="orders", kind=VertexKind.SOURCE, parallelism=1),
            VertexSnapshot(vertex_id=stable_id("test", "count"), task="count", kind=VertexKind.EXPORTER, parallelism=2),
        ),
        edges=(
            EdgeSnapshot(
                source_id=stable_id("test", "orders"), target_id=stable_id("test", "count"), ship_strategy="HASH"
            ),
        ),
        partitions=(),
        tasks=(source, *(task("count", n, back_pressure=reading) for n, reading in enumerate(count))),
        bottleneck="count",
        origin=Origin(bridge="flink", id="ab" * 16, version="1.20.1"),
        waits=(("orders", "count"),),
    )


def bridge_snapshot() -> EngineSnapshot:
    """The bridge through which that job is seen."""
    return engine_snapshot(
        pipeline="flink",
        job_id=stable_id("bridge", "flink"),
        partitions=(),
        origin=Origin(bridge="flink", id="", version="1.20.1"),
        bridge=BridgeSnapshot(
            is_up=True,
            looks=12,
            errors={**dict.fromkeys(LOOK_ERRORS, 0), "timeout": 2},
            succeeded_wall_ns=TAKEN_WALL_NS,
            look_ns=84_000_000,
            jobs={"running": 1, "failed": 0},
            omitted=0,
            drifted=False,
        ),
    )


def wide_snapshot(*, partitions: int, subtasks: int) -> EngineSnapshot:
    """As many series as wished: some 60 a partition and 16 a subtask."""
    return engine_snapshot(
        vertices=_vertices("parse"),
        partitions=tuple(replace(_throttled_partition(), partition=n) for n in range(1, partitions + 1)),
        tasks=tuple(
            task(
                "parse",
                n,
                busy_ns=n * 1_234_567,
                buffers=8,
                buffers_in_use=n % 8,
                records_in=n * 1000,
                back_pressure=BackPressureSnapshot(ratio=0.25, samples=100, level="low"),
            )
            for n in range(subtasks)
        ),
    )


def vertex(name: str) -> VertexSnapshot:
    """The vertex of a task that `task(name)` makes."""
    return VertexSnapshot(vertex_id=stable_id("test", name), task=name, kind=KINDS[name], parallelism=1)


def _vertices(*names: str) -> tuple[VertexSnapshot, ...]:
    return tuple(map(vertex, names))


def _throttled_partition() -> PartitionSnapshot:
    oldest = STARTED_WALL_NS + 30_500_000_000
    return partition(
        1,
        last_written_position=1_234_567,
        last_processed_position=1_234_000,
        lowest_acknowledged_position=1_084_567,
        backlog_records=150_000,
        oldest_unexported_wall_ns=oldest,
        flow=flow(
            writes={
                (WriteSource.USER_COMMAND, Outcome.ACCEPTED): 1_000_000,
                (WriteSource.USER_COMMAND, Outcome.WRITE_RATE_LIMIT_EXHAUSTED): 321,
                (WriteSource.USER_COMMAND, Outcome.REQUEST_LIMIT_EXHAUSTED): 4,
                (WriteSource.PROCESSING_RESULT, Outcome.ACCEPTED): 234_567,
            },
            write_limit_per_second=533.3333333333334,
            write_limit_max_per_second=4000.0,
            ramp_up_rate_per_second=1333.5,
            throttled=True,
            throttled_ns=45_250_000_000,
            throttles=3,
            throttle_start_wall_ns=STARTED_WALL_NS + 60 * NS_PER_SECOND,
            refused_ns=TAKEN_MONOTONIC_NS - NS_PER_SECOND,
            throttle_factor=0.6666666666666666,
            acceptable_backlog_records=100_000,
            exporting_rate_per_second=800.0,
            write_rate_per_second=600.0,
            partition_load_ratio=0.15,
            request_limit=64,
            requests_in_flight=63,
            waiting_writers=2,
            reason="backlog 150000 of 100000 acceptable records",
            overridden=True,
        ),
        exporters=(
            record_exporter(
                "file",
                state=ExporterState.RETRYING,
                acknowledged_position=1_084_567,
                backlog_records=150_000,
                oldest_unexported_wall_ns=oldest,
                exported_records=1_084_000,
                skipped_records=567,
                errors=3,
                retries=2,
                last_error="OSError: disk",
                export_duration=histogram(0, 1, 2, 3, total=0.5),
            ),
            record_exporter(
                'odd "name"\\',
                acknowledged_position=1_234_567,
                exported_records=1_234_567,
                pause=Pause(soft=True, since_wall_ns=STARTED_WALL_NS, by="alice"),
            ),
        ),
        append_duration=histogram(5, 4, 3, 2, 1, total=0.0125),
        command_duration=histogram(1, total=0.00003),
        processing_duration=marked(histogram(7, total=0.0001), 0, 0.0000125),
        end_to_end_duration=HistogramSnapshot(
            bounds=AGE_BOUNDS_SECONDS, counts=(0,) * len(AGE_BOUNDS_SECONDS) + (1,), sum=1e6
        ),
        append_failures={"disk_full": 1, "io_error": 0},
        by_hand=ByHand(since_wall_ns=STARTED_WALL_NS, until_wall_ns=TAKEN_WALL_NS + 60 * NS_PER_SECOND, by="alice"),
        outbox_records=3,
        disk_free_bytes=5_368_709_120,
        cluster=ClusterSnapshot(
            is_up=True,
            commit_duration=histogram(0, 0, 0, 4, 2, total=0.01),
            transactions={"committed": 6, "aborted": 1, "unknown": 0},
            fenced={"taken_over": 0, "timeout": 1},
            restored_rows=4_625,
            restore_seconds=1.6,
            brokers={
                1: BrokerSnapshot(rtt_seconds=0.0025, throttle_seconds=0.0),
                2: BrokerSnapshot(rtt_seconds=None, throttle_seconds=None),
            },
        ),
        opened_wall_ns=STARTED_WALL_NS + NS_PER_SECOND,
    )


def _free_partition() -> PartitionSnapshot:
    return partition(
        2,
        last_written_position=10,
        last_processed_position=10,
        lowest_acknowledged_position=10,
        backlog_records=0,
        oldest_unexported_wall_ns=TAKEN_WALL_NS,
        exporters=(record_exporter("file", acknowledged_position=10, exported_records=10),),
        append_duration=histogram(1, total=0.00001),
        disk_free_bytes=6_442_450_944,
    )
