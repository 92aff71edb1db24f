"""The cluster that keeps the log, as the partitions of this instance see it; nothing of it where the log is local."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from engine.core.snapshot import BrokerSnapshot, ClusterSnapshot, EngineSnapshot
from exporter.catalogue.labels import BROKER, FENCED_REASON, PARTITION, PIPELINE, TRANSACTION_OUTCOME
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Unit
from exporter.catalogue.reading import Read, per_partition
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


def _restore_remaining(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for partition in snapshot.belonging:
        if partition.cluster is not None:
            yield (snapshot.pipeline, str(partition.partition)), partition.cluster.restore_remaining_rows


def _per_broker(value: Callable[[BrokerSnapshot], float | None]) -> Read:
    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        for partition in snapshot.partitions:
            for number, broker in ({} if partition.cluster is None else partition.cluster.brokers).items():
                seen = value(broker)
                if seen is not None:
                    yield (snapshot.pipeline, str(partition.partition), str(number)), seen

    return read


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
RESTORE_REMAINING: Metric[EngineSnapshot] = Metric(
    name="penstock_restore_remaining_rows",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, PARTITION),
    help="Rows of state that are still to be read while the partition is being opened, marks of transactions "
    "included; then 0.",
    combine=Combine.OWNER,
    read=_restore_remaining,
)
BROKER_RTT: Metric[EngineSnapshot] = Metric(
    name="penstock_kafka_broker_rtt_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE, PARTITION, BROKER),
    help="Mean time from a request of the partition's writer to the answer of this broker over the last five seconds, "
    "waiting for copies on other brokers included. Absent while it was asked for nothing.",
    combine=Combine.OWNER,
    read=_per_broker(lambda broker: broker.rtt_seconds),
)
BROKER_THROTTLE: Metric[EngineSnapshot] = Metric(
    name="penstock_kafka_broker_throttle_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE, PARTITION, BROKER),
    help="Mean of the times that this broker had the partition's writer wait because of a quota over the last five "
    "seconds, 0 while it did not. Absent while it was asked for nothing.",
    combine=Combine.OWNER,
    read=_per_broker(lambda broker: broker.throttle_seconds),
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

METRICS: tuple[Metric[EngineSnapshot], ...] = (
    UP,
    COMMIT_DURATION,
    TRANSACTIONS,
    FENCED,
    RESTORE_DURATION,
    RESTORE_REMAINING,
    BROKER_RTT,
    BROKER_THROTTLE,
)
