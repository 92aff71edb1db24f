"""Bridges: which other engine a pipeline runs in, and how the looks at it go."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.core.snapshot import BridgeSnapshot, EngineSnapshot
from exporter.catalogue.labels import BRIDGE, LOOK_ERROR, LOOK_ERRORS, ORIGIN_ID, ORIGIN_STATE, ORIGIN_VERSION, PIPELINE
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Stability, Unit
from exporter.catalogue.reading import Number, Read, seconds_or_none


def _of_bridge(value: Callable[[BridgeSnapshot], Number | None]) -> Read:
    """One series, of the bridge itself."""

    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        if snapshot.bridge is not None:
            number = value(snapshot.bridge)
            if number is not None:
                yield (snapshot.pipeline,), number

    return read


def _origin(snapshot: EngineSnapshot) -> Iterable[Sample]:
    origin = snapshot.origin
    if origin is not None:
        yield (snapshot.pipeline, origin.bridge, origin.id, origin.version), 1


def _errors(snapshot: EngineSnapshot) -> Iterable[Sample]:
    if snapshot.bridge is not None:
        for reason in LOOK_ERRORS:
            yield (snapshot.pipeline, reason), snapshot.bridge.errors.get(reason, 0)


def _jobs(snapshot: EngineSnapshot) -> Iterable[Sample]:
    if snapshot.bridge is not None:
        for state, jobs in snapshot.bridge.jobs.items():
            yield (snapshot.pipeline, state), jobs


ORIGIN: Metric[EngineSnapshot] = Metric(
    name="penstock_bridged_info",
    kind=Kind.INFO,
    unit=Unit.NONE,
    labels=(PIPELINE, BRIDGE, ORIGIN_ID, ORIGIN_VERSION),
    help="Always 1; through which kind of bridge a pipeline is seen, its id in the other engine (of Flink: the id of "
    "the job), and the version of that. Absent for pipelines of Penstock.",
    combine=Combine.LAST,
    read=_origin,
    stability=Stability.EXPERIMENTAL,
)
UP: Metric[EngineSnapshot] = Metric(
    name="penstock_bridge_up",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="1 if the last look at the other engine succeeded, else 0; while it is 0 nothing is shown of its pipelines. "
    "Absent before the first look.",
    combine=Combine.MIN,
    read=_of_bridge(lambda bridge: None if bridge.is_up is None else int(bridge.is_up)),
    stability=Stability.EXPERIMENTAL,
)
LOOKS: Metric[EngineSnapshot] = Metric(
    name="penstock_bridge_looks_total",
    kind=Kind.COUNTER,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Looks at the other engine.",
    combine=Combine.SUM,
    read=_of_bridge(lambda bridge: bridge.looks),
    stability=Stability.EXPERIMENTAL,
)
ERRORS: Metric[EngineSnapshot] = Metric(
    name="penstock_bridge_errors_total",
    kind=Kind.COUNTER,
    unit=Unit.ERRORS,
    labels=(PIPELINE, LOOK_ERROR),
    help="Answers that the other engine did not give, by the reason. What stands on one of them alone is unknown until "
    "the next look.",
    combine=Combine.SUM,
    read=_errors,
    stability=Stability.EXPERIMENTAL,
)
SUCCEEDED: Metric[EngineSnapshot] = Metric(
    name="penstock_bridge_success_timestamp_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="Unix time of the last look that succeeded. Absent before the first.",
    combine=Combine.MIN,
    read=_of_bridge(lambda bridge: seconds_or_none(bridge.succeeded_wall_ns)),
    stability=Stability.EXPERIMENTAL,
)
LOOK_SECONDS: Metric[EngineSnapshot] = Metric(
    name="penstock_bridge_last_look_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="How long the last look took. Absent before the first.",
    combine=Combine.MAX,
    read=_of_bridge(lambda bridge: seconds_or_none(bridge.look_ns)),
    stability=Stability.EXPERIMENTAL,
)
JOBS: Metric[EngineSnapshot] = Metric(
    name="penstock_bridge_jobs",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, ORIGIN_STATE),
    help="Jobs that the other engine lists, by its own word for their state. Absent while it does not answer.",
    combine=Combine.SUM,
    read=_jobs,
    stability=Stability.EXPERIMENTAL,
)
OMITTED: Metric[EngineSnapshot] = Metric(
    name="penstock_bridge_omitted_jobs",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Running jobs that are not looked at, because there are more of them, or more subtasks, than a bridge takes.",
    combine=Combine.SUM,
    read=_of_bridge(lambda bridge: bridge.omitted),
    stability=Stability.EXPERIMENTAL,
)

DRIFTED: Metric[EngineSnapshot] = Metric(
    name="penstock_bridge_config_drifted",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="1 while the partitions of the other engine have limits that differ, else 0. Absent where it has none.",
    combine=Combine.MAX,
    read=_of_bridge(lambda bridge: None if bridge.drifted is None else int(bridge.drifted)),
    stability=Stability.EXPERIMENTAL,
)

METRICS: tuple[Metric[EngineSnapshot], ...] = (
    ORIGIN,
    UP,
    LOOKS,
    ERRORS,
    SUCCEEDED,
    LOOK_SECONDS,
    JOBS,
    OMITTED,
    DRIFTED,
)
