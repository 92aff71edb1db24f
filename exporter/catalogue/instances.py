"""Instances that share a pipeline, as this one knows them; nothing of it where there is only one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from engine.core.snapshot import EngineSnapshot, InstancesSnapshot
from exporter.catalogue.labels import CONFIGURATION_HASH, FORWARD_OUTCOME, PIPELINE, REBALANCE_REASON
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Unit

Read = Callable[[EngineSnapshot], Iterable[Sample]]


def _one(value: Callable[[InstancesSnapshot], int]) -> Read:
    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        if snapshot.instances is not None:
            yield (snapshot.pipeline,), value(snapshot.instances)

    return read


def _counts(counts: Callable[[InstancesSnapshot], Mapping[str, int]]) -> Read:
    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        if snapshot.instances is not None:
            for name, count in counts(snapshot.instances).items():
                yield (snapshot.pipeline, name), count

    return read


def _hash(snapshot: EngineSnapshot) -> Iterable[Sample]:
    if snapshot.instances is not None:
        yield (snapshot.pipeline, snapshot.instances.configuration), 1


INSTANCES: Metric[EngineSnapshot] = Metric(
    name="penstock_instances",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Instances of the pipeline that said within the last 15 s that they are there, this one included. All say "
    "the same: take the largest.",
    combine=Combine.MAX,
    read=_one(lambda seen: len(seen.instances)),
)
OWNED: Metric[EngineSnapshot] = Metric(
    name="penstock_partitions_owned",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Partitions that belong to this instance, whether they are open yet or not.",
    combine=Combine.SUM,
    read=_one(lambda seen: len(seen.owned)),
)
WITHOUT_OWNER: Metric[EngineSnapshot] = Metric(
    name="penstock_partitions_without_owner",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Partitions that no instance has open, or is reading the state of, as this one knows it. All say the same: "
    "take the largest.",
    combine=Combine.MAX,
    read=_one(lambda seen: len(seen.without_owner)),
)
DIFFERING: Metric[EngineSnapshot] = Metric(
    name="penstock_instances_differing",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Other instances that run another configuration of the pipeline than this one.",
    combine=Combine.MAX,
    read=_one(lambda seen: sum(bool(instance.differs) for instance in seen.instances)),
)
REBALANCES: Metric[EngineSnapshot] = Metric(
    name="penstock_rebalances_total",
    kind=Kind.COUNTER,
    unit=Unit.NONE,
    labels=(PIPELINE, REBALANCE_REASON),
    help="Partitions that came to this instance (joined), that it gave back (left), and that it lost because it was "
    "not heard for too long (lost).",
    combine=Combine.SUM,
    read=_counts(lambda seen: seen.moves),
)
FORWARDED: Metric[EngineSnapshot] = Metric(
    name="penstock_gateway_forwarded_records_total",
    kind=Kind.COUNTER,
    unit=Unit.RECORDS,
    labels=(PIPELINE, FORWARD_OUTCOME),
    help="Records that came to this instance's gateway and belong to others, by what those said: accepted, refused by "
    "a limit, failed.",
    combine=Combine.SUM,
    read=_counts(lambda seen: seen.forwarded),
)
CONFIGURATION: Metric[EngineSnapshot] = Metric(
    name="penstock_configuration_hash",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, CONFIGURATION_HASH),
    help="1, with a short hash of what this instance runs: the same on all of them, but for the time of a rollout.",
    combine=Combine.LAST,
    read=_hash,
)

METRICS: tuple[Metric[EngineSnapshot], ...] = (
    INSTANCES,
    OWNED,
    WITHOUT_OWNER,
    DIFFERING,
    REBALANCES,
    FORWARDED,
    CONFIGURATION,
)
