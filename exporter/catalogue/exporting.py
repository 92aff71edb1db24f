"""The record exporters: how far behind each is, by records and by time, and what it is doing about it."""

from __future__ import annotations

from collections.abc import Iterable

from engine.core.snapshot import EngineSnapshot, ExporterState, HistogramSnapshot
from exporter.catalogue.labels import ACTION, BY, EXPORTER, EXPORTER_STATE, PARTITION, PIPELINE
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Unit
from exporter.catalogue.reading import added, own, per_exporter, per_partition, seconds_or_none
from exporter.door import LATENCY_BOUNDS_SECONDS, is_held


def _exported(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for partition in snapshot.partitions:
        for exporter in partition.exporters:
            labels = (snapshot.pipeline, str(partition.partition), exporter.exporter)
            yield (*labels, "exported"), exporter.exported_records
            yield (*labels, "skipped"), exporter.skipped_records


def _state(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for partition in snapshot.partitions:
        for exporter in partition.exporters:
            for state in ExporterState:
                labels = (snapshot.pipeline, str(partition.partition), exporter.exporter, state)
                yield labels, int(exporter.state is state)


def _pauses(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for partition in snapshot.partitions:
        for exporter in partition.exporters:
            if is_held(exporter):
                by = None if exporter.pause is None else exporter.pause.by
                yield (snapshot.pipeline, str(partition.partition), exporter.exporter, by or ""), 1


def _export_duration(snapshot: EngineSnapshot) -> Iterable[Sample]:
    total: dict[str, HistogramSnapshot] = {}
    for partition in snapshot.partitions:
        for exporter in partition.exporters:
            name, one = exporter.exporter, exporter.export_duration
            total[name] = added(total[name], one) if name in total else one
    for name, histogram in total.items():
        yield (snapshot.pipeline, name), histogram


BACKLOG: Metric[EngineSnapshot] = Metric(
    name="penstock_exporting_backlog_records",
    kind=Kind.GAUGE,
    unit=Unit.RECORDS,
    labels=(PIPELINE, PARTITION),
    help="Records not yet acknowledged by every exporter: last written position minus the lowest "
    "acknowledged one. Absent without exporters.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.backlog_records),
)
EXPORTER_BACKLOG: Metric[EngineSnapshot] = Metric(
    name="penstock_exporter_backlog_records",
    kind=Kind.GAUGE,
    unit=Unit.RECORDS,
    labels=(PIPELINE, PARTITION, EXPORTER),
    help="Records that this exporter has not yet acknowledged.",
    combine=Combine.OWNER,
    read=per_exporter(lambda e: e.backlog_records),
)
OLDEST_UNEXPORTED: Metric[EngineSnapshot] = Metric(
    name="penstock_oldest_unexported_record_timestamp_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE, PARTITION),
    help="Unix time at which the oldest record not yet acknowledged by every exporter was written; the time "
    "of the snapshot when there is none. The age of that record at the scrape is timestamp() of this minus this; "
    "time() minus this also counts the time since the scrape, when there is none too.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: seconds_or_none(p.oldest_unexported_wall_ns)),
)
EXPORTER_OLDEST_UNEXPORTED: Metric[EngineSnapshot] = Metric(
    name="penstock_exporter_oldest_unexported_record_timestamp_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE, PARTITION, EXPORTER),
    help="Unix time at which the oldest record not yet acknowledged by this exporter was written; the time "
    "of the snapshot when there is none. The age of that record at the scrape is timestamp() of this minus this.",
    combine=Combine.OWNER,
    read=per_exporter(lambda e: seconds_or_none(e.oldest_unexported_wall_ns)),
)
LAST_ACKNOWLEDGED_POSITION: Metric[EngineSnapshot] = Metric(
    name="penstock_exporter_last_acknowledged_position",
    kind=Kind.GAUGE,
    unit=Unit.POSITION,
    labels=(PIPELINE, PARTITION, EXPORTER),
    help="Position up to which this exporter has acknowledged; one below the oldest record at first.",
    combine=Combine.OWNER,
    read=per_exporter(lambda e: e.acknowledged_position),
)
EXPORTED: Metric[EngineSnapshot] = Metric(
    name="penstock_exported_records_total",
    kind=Kind.COUNTER,
    unit=Unit.RECORDS,
    labels=(PIPELINE, PARTITION, EXPORTER, ACTION),
    help="Records that this exporter handed to the outside, or skipped because its filter leaves them out.",
    combine=Combine.OWNER,
    read=_exported,
)
EXPORTER_ERRORS: Metric[EngineSnapshot] = Metric(
    name="penstock_exporter_errors_total",
    kind=Kind.COUNTER,
    unit=Unit.ERRORS,
    labels=(PIPELINE, PARTITION, EXPORTER),
    help="Calls of this exporter that failed.",
    combine=Combine.OWNER,
    read=own(per_exporter(lambda e: e.errors)),
)
EXPORTER_RETRIES: Metric[EngineSnapshot] = Metric(
    name="penstock_exporter_retries_total",
    kind=Kind.COUNTER,
    unit=Unit.NONE,
    labels=(PIPELINE, PARTITION, EXPORTER),
    help="Times that records were handed to this exporter again after a failure.",
    combine=Combine.OWNER,
    read=own(per_exporter(lambda e: e.retries)),
)
EXPORTER_STATES: Metric[EngineSnapshot] = Metric(
    name="penstock_exporter_state",
    kind=Kind.STATE_SET,
    unit=Unit.NONE,
    labels=(PIPELINE, PARTITION, EXPORTER, EXPORTER_STATE),
    help="1 for what this exporter is doing, 0 for the other states.",
    combine=Combine.OWNER,
    read=_state,
)
EXPORTER_PAUSE: Metric[EngineSnapshot] = Metric(
    name="penstock_exporter_pause_info",
    kind=Kind.INFO,
    unit=Unit.NONE,
    labels=(PIPELINE, PARTITION, EXPORTER, BY),
    help="1 while somebody holds this exporter, and who. Absent while nobody does.",
    combine=Combine.OWNER,
    read=_pauses,
)
EXPORTER_PAUSED_SINCE: Metric[EngineSnapshot] = Metric(
    name="penstock_exporter_paused_timestamp_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE, PARTITION, EXPORTER),
    help="Unix time at which somebody paused this exporter. Absent while nobody holds it.",
    combine=Combine.OWNER,
    read=per_exporter(lambda e: None if e.pause is None else seconds_or_none(e.pause.since_wall_ns)),
)
EXPORT_DURATION: Metric[EngineSnapshot] = Metric(
    name="penstock_export_duration_seconds",
    kind=Kind.HISTOGRAM,
    unit=Unit.SECONDS,
    labels=(PIPELINE, EXPORTER),
    help="Time that one call of this exporter takes, whether it succeeds or fails.",
    combine=Combine.SUM,
    read=own(_export_duration),
    buckets=LATENCY_BOUNDS_SECONDS,
)

METRICS: tuple[Metric[EngineSnapshot], ...] = (
    BACKLOG,
    EXPORTER_BACKLOG,
    OLDEST_UNEXPORTED,
    EXPORTER_OLDEST_UNEXPORTED,
    LAST_ACKNOWLEDGED_POSITION,
    EXPORTED,
    EXPORTER_ERRORS,
    EXPORTER_RETRIES,
    EXPORTER_STATES,
    EXPORTER_PAUSE,
    EXPORTER_PAUSED_SINCE,
    EXPORT_DURATION,
)
