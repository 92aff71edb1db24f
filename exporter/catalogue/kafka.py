"""The cluster that keeps the log, as the partitions of this instance see it; nothing of it where the log is local."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from engine.core.snapshot import ClusterSnapshot, EngineSnapshot
from exporter.catalogue.labels import FENCED_REASON, PARTITION, PIPELINE, TRANSACTION_OUTCOME
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Unit
from exporter.catalogue.reading import per_partition
from exporter.door import LATENCY_BOUNDS_SECONDS


def _counts(counts: Callable[[ClusterSnapshot], Mapping[str, int]]) -> Callable[[EngineSnapshot], Iterable[Sample]]:
    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        for partition in snapshot.partitions:
            if partition.cluster is not None:
                for name, count in counts(partition.cluster).items():
                    yield (snapshot.pipeline, str(partition.partition), name), count

    return read


def _commit_duration(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for partition in snapshot.partitions:
        if partition.cluster is not None:
            yield (snapshot.pipeline, str(partition.partition)), partition.cluster.commit_duration


UP: Metric[EngineSnapshot] = Metric(
    name="penstock_kafka_up",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, PARTITION),
    help="1 while a broker answers the partition, 0 since none could be reached.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: None if p.cluster is None else int(p.cluster.is_up)),
)
COMMIT_DURATION: Metric[EngineSnapshot] = Metric(
    name="penstock_kafka_commit_duration_seconds",
    kind=Kind.HISTOGRAM,
    unit=Unit.SECONDS,
    labels=(PIPELINE, PARTITION),
    help="Time that a transaction took that came about, from its first message to its end.",
    combine=Combine.OWNER,
    read=_commit_duration,
    buckets=LATENCY_BOUNDS_SECONDS,
)
TRANSACTIONS: Metric[EngineSnapshot] = Metric(
    name="penstock_kafka_transactions_total",
    kind=Kind.COUNTER,
    unit=Unit.TRANSACTIONS,
    labels=(PIPELINE, PARTITION, TRANSACTION_OUTCOME),
    help="Transactions, by what was heard of their end; one of unknown outcome is looked for by the next epoch.",
    combine=Combine.OWNER,
    read=_counts(lambda cluster: cluster.transactions),
)
FENCED: Metric[EngineSnapshot] = Metric(
    name="penstock_kafka_fenced_total",
    kind=Kind.COUNTER,
    unit=Unit.ERRORS,
    labels=(PIPELINE, PARTITION, FENCED_REASON),
    help="Times that Kafka took the right to write: another instance has it, or a transaction took too long.",
    combine=Combine.OWNER,
    read=_counts(lambda cluster: cluster.fenced),
)
RESTORE_DURATION: Metric[EngineSnapshot] = Metric(
    name="penstock_restore_duration_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE, PARTITION),
    help="How long opening the partition took, until all of its state was read.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: None if p.cluster is None else p.cluster.restore_seconds),
)

METRICS: tuple[Metric[EngineSnapshot], ...] = (UP, COMMIT_DURATION, TRANSACTIONS, FENCED, RESTORE_DURATION)
