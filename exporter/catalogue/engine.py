"""The pipeline as a whole: its state, its start, its tasks, its disk."""

from __future__ import annotations

from collections.abc import Iterable

from engine.core.snapshot import EngineSnapshot, EngineState, PartitionState
from exporter.catalogue.labels import (
    CONDITION,
    ENGINE_STATE,
    KIND,
    PARTITION,
    PARTITION_STATE,
    PIPELINE,
    SPAN_OUTCOME,
    TASK,
    VERTEX,
    WORKER,
)
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Unit
from exporter.catalogue.reading import per_partition, seconds, seconds_or_none
from exporter.door import Condition, findings


def _engine_state(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for state in EngineState:
        yield (snapshot.pipeline, state), int(snapshot.state is state)


def _conditions(snapshot: EngineSnapshot) -> Iterable[Sample]:
    found = {finding.condition for finding in findings(snapshot)}
    for condition in Condition:
        yield (snapshot.pipeline, condition), int(condition in found)


def _partition_state(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for partition in snapshot.belonging:
        for state in PartitionState:
            yield (snapshot.pipeline, str(partition.partition), state), int(partition.state is state)


def _task_info(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for vertex in snapshot.vertices:
        yield (snapshot.pipeline, vertex.task, vertex.kind, vertex.vertex_id), 1


def _disk_free(snapshot: EngineSnapshot) -> Iterable[Sample]:
    known = [p.disk_free_bytes for p in snapshot.partitions if p.disk_free_bytes is not None]
    if known:
        yield (snapshot.pipeline,), min(known)


def _worker_up(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for worker in snapshot.workers:
        yield (snapshot.pipeline, str(worker.worker)), int(worker.is_up)


def _worker_restarts(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for worker in snapshot.workers:
        yield (snapshot.pipeline, str(worker.worker)), worker.restarts


def _spans(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for outcome, spans in snapshot.observed.items():
        yield (snapshot.pipeline, outcome), spans


ENGINE_STATES: Metric[EngineSnapshot] = Metric(
    name="penstock_engine_state",
    kind=Kind.STATE_SET,
    unit=Unit.NONE,
    labels=(PIPELINE, ENGINE_STATE),
    help="1 for the state the engine is in, 0 for the others.",
    combine=Combine.MAX,
    read=_engine_state,
)
CONDITIONS: Metric[EngineSnapshot] = Metric(
    name="penstock_condition",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, CONDITION),
    help="1 for each of these that is the case, worst first: failed, stopping, disk_full, refusing (within the last "
    "10 s), throttled, exporter_retrying, exporter_paused, back_pressured, starting; fine where none is. What is down "
    "exposes nothing: that is for who scrapes to see.",
    combine=Combine.MAX,
    read=_conditions,
)
PARTITION_STATES: Metric[EngineSnapshot] = Metric(
    name="penstock_partition_state",
    kind=Kind.STATE_SET,
    unit=Unit.NONE,
    labels=(PIPELINE, PARTITION, PARTITION_STATE),
    help="1 for the state the partition is in here, 0 for the others: opening, restoring (its state is read), running, "
    "closing, failed. A partition that runs elsewhere has none.",
    combine=Combine.OWNER,
    read=_partition_state,
)
PARTITION_OPENED: Metric[EngineSnapshot] = Metric(
    name="penstock_partition_opened_timestamp_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE, PARTITION),
    help="Unix time since which the partition runs here.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: seconds_or_none(p.opened_wall_ns)),
)
START_TIME: Metric[EngineSnapshot] = Metric(
    name="penstock_start_time_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="Unix time at which the engine started.",
    combine=Combine.MIN,
    read=lambda snapshot: [((snapshot.pipeline,), seconds(snapshot.started_wall_ns))],
)
TASK_INFO: Metric[EngineSnapshot] = Metric(
    name="penstock_task_info",
    kind=Kind.INFO,
    unit=Unit.NONE,
    labels=(PIPELINE, TASK, KIND, VERTEX),
    help="Always 1; what kind of vertex of the job graph a task is, and its id under /jobs.",
    combine=Combine.LAST,
    read=_task_info,
)
DISK_FREE: Metric[EngineSnapshot] = Metric(
    name="penstock_disk_free_bytes",
    kind=Kind.GAUGE,
    unit=Unit.BYTES,
    labels=(PIPELINE,),
    help="Free space on the disk of the data folder; of several disks, on the fullest.",
    combine=Combine.MIN,
    read=_disk_free,
)

WORKER_UP: Metric[EngineSnapshot] = Metric(
    name="penstock_worker_up",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, WORKER),
    help="1 while the worker process runs and has its partitions open, 0 while it is away and started again. Absent "
    "where all runs in one process.",
    combine=Combine.MAX,
    read=_worker_up,
)
WORKER_RESTARTS: Metric[EngineSnapshot] = Metric(
    name="penstock_worker_restarts_total",
    kind=Kind.COUNTER,
    unit=Unit.NONE,
    labels=(PIPELINE, WORKER),
    help="How often the worker died and was started again. Absent where all runs in one process.",
    combine=Combine.MAX,
    read=_worker_restarts,
)

SPANS: Metric[EngineSnapshot] = Metric(
    name="penstock_otlp_spans_total",
    kind=Kind.COUNTER,
    unit=Unit.NONE,
    labels=(PIPELINE, SPAN_OUTCOME),
    help="Spans of processed batches, by what became of them: pushed to the OpenTelemetry collector, lost in a push "
    "that failed, or dropped because the queue was full. Absent where nothing is traced.",
    combine=Combine.SUM,
    read=_spans,
)

METRICS: tuple[Metric[EngineSnapshot], ...] = (
    CONDITIONS,
    ENGINE_STATES,
    PARTITION_STATES,
    PARTITION_OPENED,
    START_TIME,
    TASK_INFO,
    DISK_FREE,
    WORKER_UP,
    WORKER_RESTARTS,
    SPANS,
)
