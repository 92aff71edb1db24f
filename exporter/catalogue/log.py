"""The log and the processor behind it: how far each partition is, and how long its steps take."""

from __future__ import annotations

from collections.abc import Iterable

from engine.core.snapshot import EngineSnapshot
from exporter.catalogue.labels import FAILURE_REASON, PARTITION, PIPELINE
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Unit
from exporter.catalogue.reading import over_partitions, own, per_partition
from exporter.door import AGE_BOUNDS_SECONDS, LATENCY_BOUNDS_SECONDS


def _append_failures(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for partition in snapshot.partitions:
        for reason, failures in partition.append_failures.items():
            yield (snapshot.pipeline, str(partition.partition), reason), failures


LAST_WRITTEN_POSITION: Metric[EngineSnapshot] = Metric(
    name="penstock_last_written_position",
    kind=Kind.GAUGE,
    unit=Unit.POSITION,
    labels=(PIPELINE, PARTITION),
    help="Position of the last record written to the log.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.last_written_position),
)
LAST_PROCESSED_POSITION: Metric[EngineSnapshot] = Metric(
    name="penstock_last_processed_position",
    kind=Kind.GAUGE,
    unit=Unit.POSITION,
    labels=(PIPELINE, PARTITION),
    help="Position of the last record processed; absent without a processor.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.last_processed_position),
)
APPEND_FAILURES: Metric[EngineSnapshot] = Metric(
    name="penstock_append_failures_total",
    kind=Kind.COUNTER,
    unit=Unit.ERRORS,
    labels=(PIPELINE, PARTITION, FAILURE_REASON),
    help="Units of records that the log could not store; nothing of them was stored.",
    combine=Combine.OWNER,
    read=own(_append_failures),
)
OUTBOX: Metric[EngineSnapshot] = Metric(
    name="penstock_outbox_records",
    kind=Kind.GAUGE,
    unit=Unit.RECORDS,
    labels=(PIPELINE, PARTITION),
    help="Messages to other partitions that are stored here and not yet delivered.",
    combine=Combine.OWNER,
    read=own(per_partition(lambda p: p.outbox_records)),
)
APPEND_DURATION: Metric[EngineSnapshot] = Metric(
    name="penstock_append_duration_seconds",
    kind=Kind.HISTOGRAM,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="Time from handing a unit of records to the log until it is durable.",
    combine=Combine.SUM,
    read=own(over_partitions(lambda p: p.append_duration)),
    buckets=LATENCY_BOUNDS_SECONDS,
)
COMMAND_DURATION: Metric[EngineSnapshot] = Metric(
    name="penstock_command_duration_seconds",
    kind=Kind.HISTOGRAM,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="Time from accepting a user command until it is processed.",
    combine=Combine.SUM,
    read=own(over_partitions(lambda p: p.command_duration)),
    buckets=LATENCY_BOUNDS_SECONDS,
)
PROCESSING_DURATION: Metric[EngineSnapshot] = Metric(
    name="penstock_processing_duration_seconds",
    kind=Kind.HISTOGRAM,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="Time that the processor spends on a record.",
    combine=Combine.SUM,
    read=own(over_partitions(lambda p: p.processing_duration)),
    buckets=LATENCY_BOUNDS_SECONDS,
)
END_TO_END_DURATION: Metric[EngineSnapshot] = Metric(
    name="penstock_end_to_end_duration_seconds",
    kind=Kind.HISTOGRAM,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="Time from writing a record until every exporter has acknowledged it.",
    combine=Combine.SUM,
    read=own(over_partitions(lambda p: p.end_to_end_duration)),
    buckets=AGE_BOUNDS_SECONDS,
)

METRICS: tuple[Metric[EngineSnapshot], ...] = (
    LAST_WRITTEN_POSITION,
    LAST_PROCESSED_POSITION,
    APPEND_FAILURES,
    OUTBOX,
    APPEND_DURATION,
    COMMAND_DURATION,
    PROCESSING_DURATION,
    END_TO_END_DURATION,
)
