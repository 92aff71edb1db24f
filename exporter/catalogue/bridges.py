"""Bridges: which other engine a pipeline runs in, and how the looks at it go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from engine.core.snapshot import BridgeSnapshot, EngineSnapshot
from exporter.catalogue.labels import BRIDGE, LOOK_ERROR, ORIGIN_ID, ORIGIN_STATE, ORIGIN_VERSION, PIPELINE
from exporter.catalogue.metric import Combine, Kind, Label, Metric, Sample, Stability, Unit
from exporter.catalogue.reading import Number, seconds_or_none


def _origin(snapshot: EngineSnapshot) -> Iterable[Sample]:
    origin = snapshot.origin
    if origin is not None:
        yield (snapshot.pipeline, origin.bridge, origin.id, origin.version), 1


def _of_bridge(
    name: str,
    help: str,
    value: Callable[[BridgeSnapshot], Number | None],
    *,
    combine: Combine,
    kind: Kind = Kind.GAUGE,
    unit: Unit = Unit.NONE,
) -> Metric[EngineSnapshot]:
    """One series, of the bridge itself."""

    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        number = None if snapshot.bridge is None else value(snapshot.bridge)
        if number is not None:
            yield (snapshot.pipeline,), number

    return Metric(
        name=name,
        kind=kind,
        unit=unit,
        labels=(PIPELINE,),
        help=help,
        combine=combine,
        read=read,
        stability=Stability.EXPERIMENTAL,
    )


def _counts(
    name: str,
    help: str,
    counts: Callable[[BridgeSnapshot], Mapping[str, int]],
    *,
    by: Label,
    kind: Kind = Kind.GAUGE,
    unit: Unit = Unit.NONE,
) -> Metric[EngineSnapshot]:
    """One series for each value of a label, of the bridge itself."""

    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        if snapshot.bridge is not None:
            for value, count in counts(snapshot.bridge).items():
                yield (snapshot.pipeline, value), count

    return Metric(
        name=name,
        kind=kind,
        unit=unit,
        labels=(PIPELINE, by),
        help=help,
        combine=Combine.SUM,
        read=read,
        stability=Stability.EXPERIMENTAL,
    )


METRICS: tuple[Metric[EngineSnapshot], ...] = (
    Metric(
        name="penstock_bridged_info",
        kind=Kind.INFO,
        unit=Unit.NONE,
        labels=(PIPELINE, BRIDGE, ORIGIN_ID, ORIGIN_VERSION),
        help="Always 1; through which kind of bridge a pipeline is seen, its id in the other engine (of Flink: the id "
        "of the job), and the version of that. Absent for pipelines of Penstock.",
        combine=Combine.LAST,
        read=_origin,
        stability=Stability.EXPERIMENTAL,
    ),
    _of_bridge(
        "penstock_bridge_up",
        "1 if the last look at the other engine succeeded, else 0; while it is 0 nothing is shown of its pipelines. "
        "Absent before the first look.",
        lambda bridge: None if bridge.is_up is None else int(bridge.is_up),
        combine=Combine.MIN,
    ),
    _of_bridge(
        "penstock_bridge_looks_total",
        "Looks at the other engine.",
        lambda bridge: bridge.looks,
        combine=Combine.SUM,
        kind=Kind.COUNTER,
    ),
    _counts(
        "penstock_bridge_errors_total",
        "Answers that the other engine did not give, by the reason. What stands on one of them alone is unknown until "
        "the next look.",
        lambda bridge: bridge.errors,
        by=LOOK_ERROR,
        kind=Kind.COUNTER,
        unit=Unit.ERRORS,
    ),
    _of_bridge(
        "penstock_bridge_success_timestamp_seconds",
        "Unix time of the last look that succeeded. Absent before the first.",
        lambda bridge: seconds_or_none(bridge.succeeded_wall_ns),
        combine=Combine.MIN,
        unit=Unit.SECONDS,
    ),
    _of_bridge(
        "penstock_bridge_last_look_seconds",
        "How long the last look took. Absent before the first.",
        lambda bridge: seconds_or_none(bridge.look_ns),
        combine=Combine.MAX,
        unit=Unit.SECONDS,
    ),
    _counts(
        "penstock_bridge_jobs",
        "Jobs that the other engine lists, by its own word for their state. Absent while it does not answer.",
        lambda bridge: bridge.jobs,
        by=ORIGIN_STATE,
    ),
    _of_bridge(
        "penstock_bridge_omitted_jobs",
        "Running jobs, or threads of a process, that are not looked at, because there are more of them, or more "
        "subtasks, than a bridge takes.",
        lambda bridge: bridge.omitted,
        combine=Combine.SUM,
    ),
    _of_bridge(
        "penstock_bridge_config_drifted",
        "1 while the partitions of the other engine have limits that differ, else 0. Absent where it has none.",
        lambda bridge: None if bridge.drifted is None else int(bridge.drifted),
        combine=Combine.MAX,
    ),
)
