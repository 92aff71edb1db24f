"""The tasks: what each subtask spends its time on, how hard it is pushed back, and who is to blame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from engine.core.snapshot import BlockReason, EngineSnapshot, RejectsSnapshot, SamplerSnapshot
from exporter.catalogue.labels import (
    BACK_PRESSURE_LEVELS,
    BASIS,
    BLOCK_REASON,
    CULPRIT,
    FLOW_CONTROL_TASK,
    LEVEL,
    OUTSIDE_TASK,
    PIPELINE,
    REJECTION_REASON,
    SUBTASK,
    TASK,
    WAITED_FOR,
)
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Unit
from exporter.catalogue.reading import Number, Read, per_subtask, seconds, seconds_or_none


def _back_pressure_level(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for task in snapshot.tasks:
        if task.back_pressure is not None:
            for level in BACK_PRESSURE_LEVELS:
                labels = (snapshot.pipeline, task.task, str(task.subtask), level)
                yield labels, int(task.back_pressure.level == level)


def _looks(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for task in snapshot.tasks:
        basis = task.sample_basis
        if basis is not None:
            labels = (snapshot.pipeline, task.task, str(task.subtask))
            yield (*labels, "stack"), basis.by_stack
            yield (*labels, "transitions"), basis.by_transitions
            yield (*labels, "discarded"), basis.discarded


def _of_sampler(value: Callable[[SamplerSnapshot], Number]) -> Read:
    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        if snapshot.sampler is not None:
            yield (snapshot.pipeline,), value(snapshot.sampler)

    return read


def _back_pressured_seconds(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for task in snapshot.tasks:
        for reason in BlockReason:
            # What is only watched knows no more than it says.
            if reason in task.back_pressured_ns:
                labels = (snapshot.pipeline, task.task, str(task.subtask), reason)
                yield labels, seconds(task.back_pressured_ns[reason])


def _rejected(snapshot: EngineSnapshot) -> Iterable[Sample]:
    # By task, not by subtask: which of its instances met the bad record says nothing.
    total: Counter[tuple[str, str]] = Counter()
    for task in snapshot.tasks:
        for reason, records in task.rejected.items():
            total[task.task, reason] += records
    for (name, reason), records in total.items():
        yield (snapshot.pipeline, name, reason), records


def _rejects(value: Callable[[RejectsSnapshot], Number | None], without: Number | None) -> Read:
    """For each task that may set something aside; `without` is what stands for one that has not."""

    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        if snapshot.origin is not None:
            # Whether another engine sets anything aside is not known.
            return
        kept = {one.task: one for one in snapshot.rejects}
        for name in dict.fromkeys((*(vertex.task for vertex in snapshot.vertices), *kept)):
            number = value(kept[name]) if name in kept else without
            if number is not None:
                yield (snapshot.pipeline, name), number

    return read


def _bottleneck(snapshot: EngineSnapshot) -> Iterable[Sample]:
    if not snapshot.vertices and snapshot.origin is not None:
        return
    # Another engine's partitions have a gate of their own.
    other = FLOW_CONTROL_TASK if snapshot.origin is None or snapshot.partitions else OUTSIDE_TASK
    for name in (*(vertex.task for vertex in snapshot.vertices), other):
        yield (snapshot.pipeline, name), int(name == snapshot.bottleneck)


def _waits(snapshot: EngineSnapshot) -> Iterable[Sample]:
    """Along each edge, because a task waits for one that it hands on to."""
    if snapshot.waits is None:
        return
    names = {vertex.vertex_id: vertex.task for vertex in snapshot.vertices}
    waits = set(snapshot.waits)
    # Two edges between the same two tasks are one.
    for task, by in dict.fromkeys((names[edge.source_id], names[edge.target_id]) for edge in snapshot.edges):
        yield (snapshot.pipeline, task, by), int((task, by) in waits)


def _busy_skew(snapshot: EngineSnapshot) -> Iterable[Sample]:
    by_task: dict[str, list[float]] = {}
    for task in snapshot.tasks:
        if task.back_pressure is not None and task.back_pressure.busy_ratio is not None:
            by_task.setdefault(task.task, []).append(task.back_pressure.busy_ratio)
    for name, busy in by_task.items():
        total = sum(busy)
        if len(busy) > 1 and total > 0:
            yield (snapshot.pipeline, name), max(busy) * len(busy) / total


BACK_PRESSURE_RATIO: Metric[EngineSnapshot] = Metric(
    name="penstock_back_pressure_ratio",
    kind=Kind.GAUGE,
    unit=Unit.RATIO,
    labels=(PIPELINE, TASK, SUBTASK),
    help="Share of the stack samples, 0 to 1, that found the subtask held back by those behind it. Absent "
    "before the first sample.",
    combine=Combine.OWNER,
    read=per_subtask(lambda t: None if t.back_pressure is None else t.back_pressure.ratio),
)
BACK_PRESSURE_LEVEL: Metric[EngineSnapshot] = Metric(
    name="penstock_back_pressure_level",
    kind=Kind.STATE_SET,
    unit=Unit.NONE,
    labels=(PIPELINE, TASK, SUBTASK, LEVEL),
    help="1 for the level of the back pressure ratio: ok up to 0.10, low up to 0.5, high above. Absent "
    "before the first sample.",
    combine=Combine.OWNER,
    read=_back_pressure_level,
)
BACK_PRESSURE_SAMPLES: Metric[EngineSnapshot] = Metric(
    name="penstock_back_pressure_samples",
    kind=Kind.GAUGE,
    unit=Unit.SAMPLES,
    labels=(PIPELINE, TASK, SUBTASK),
    help="Stack samples on which the back pressure ratio rests. Absent before the first sample.",
    combine=Combine.OWNER,
    read=per_subtask(lambda t: None if t.back_pressure is None else t.back_pressure.samples),
)
BACK_PRESSURE_SAMPLED: Metric[EngineSnapshot] = Metric(
    name="penstock_back_pressure_sampled_timestamp_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE, TASK, SUBTASK),
    help="Unix time of the newest sample on which the back pressure ratio rests. Absent before the first sample.",
    combine=Combine.OWNER,
    read=per_subtask(lambda t: None if t.back_pressure is None else seconds_or_none(t.back_pressure.sampled_wall_ns)),
)
BACK_PRESSURE_LOOKS: Metric[EngineSnapshot] = Metric(
    name="penstock_back_pressure_looks_total",
    kind=Kind.COUNTER,
    unit=Unit.SAMPLES,
    labels=(PIPELINE, TASK, SUBTASK, BASIS),
    help="Looks at the subtask, by what decided them: its stack; the record of its transitions, because its state had "
    "changed between the deadline and the look; or nothing, because the look came too late.",
    combine=Combine.OWNER,
    read=_looks,
)
BACK_PRESSURE_DISAGREEMENTS: Metric[EngineSnapshot] = Metric(
    name="penstock_back_pressure_disagreements_total",
    kind=Kind.COUNTER,
    unit=Unit.SAMPLES,
    labels=(PIPELINE, TASK, SUBTASK),
    help="Looks at which the stack and the timer said different things of the same moment.",
    combine=Combine.OWNER,
    read=per_subtask(lambda t: None if t.sample_basis is None else t.sample_basis.disagreements),
)
SAMPLER_TICKS: Metric[EngineSnapshot] = Metric(
    name="penstock_sampler_ticks_total",
    kind=Kind.COUNTER,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Deadlines at which the sampler looked at the stacks.",
    combine=Combine.SUM,
    read=_of_sampler(lambda sampler: sampler.ticks),
)
SAMPLER_MISSED: Metric[EngineSnapshot] = Metric(
    name="penstock_sampler_missed_ticks_total",
    kind=Kind.COUNTER,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Deadlines that the sampler gave up because it came far too late.",
    combine=Combine.SUM,
    read=_of_sampler(lambda sampler: sampler.missed),
)
SAMPLER_LATENESS: Metric[EngineSnapshot] = Metric(
    name="penstock_sampler_lateness_seconds_total",
    kind=Kind.COUNTER,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="How long after its deadlines the sampler looked, added up; by ticks it is the mean lateness.",
    combine=Combine.SUM,
    read=_of_sampler(lambda sampler: seconds(sampler.lateness_ns)),
)
SAMPLER_LATENESS_MAX: Metric[EngineSnapshot] = Metric(
    name="penstock_sampler_lateness_max_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="The longest time after a deadline at which the sampler looked, since the start.",
    combine=Combine.MAX,
    read=_of_sampler(lambda sampler: seconds(sampler.lateness_max_ns)),
)
BUSY_SECONDS: Metric[EngineSnapshot] = Metric(
    name="penstock_task_busy_seconds_total",
    kind=Kind.COUNTER,
    unit=Unit.SECONDS,
    labels=(PIPELINE, TASK, SUBTASK),
    help="Time the subtask worked; busy, idle and back-pressured time together grow by one second a second.",
    combine=Combine.OWNER,
    read=per_subtask(lambda t: seconds_or_none(t.busy_ns)),
)
IDLE_SECONDS: Metric[EngineSnapshot] = Metric(
    name="penstock_task_idle_seconds_total",
    kind=Kind.COUNTER,
    unit=Unit.SECONDS,
    labels=(PIPELINE, TASK, SUBTASK),
    help="Time the subtask had nothing to do.",
    combine=Combine.OWNER,
    read=per_subtask(lambda t: seconds_or_none(t.idle_ns)),
)
BACK_PRESSURED_SECONDS: Metric[EngineSnapshot] = Metric(
    name="penstock_task_back_pressured_seconds_total",
    kind=Kind.COUNTER,
    unit=Unit.SECONDS,
    labels=(PIPELINE, TASK, SUBTASK, BLOCK_REASON),
    help="Time the subtask could not hand on its output, by what held it back.",
    combine=Combine.OWNER,
    read=_back_pressured_seconds,
)
RECORDS_IN: Metric[EngineSnapshot] = Metric(
    name="penstock_task_records_in_total",
    kind=Kind.COUNTER,
    unit=Unit.RECORDS,
    labels=(PIPELINE, TASK, SUBTASK),
    help="Records the subtask received; a source, the values it read.",
    combine=Combine.OWNER,
    read=per_subtask(lambda t: t.records_in),
)
RECORDS_OUT: Metric[EngineSnapshot] = Metric(
    name="penstock_task_records_out_total",
    kind=Kind.COUNTER,
    unit=Unit.RECORDS,
    labels=(PIPELINE, TASK, SUBTASK),
    help="Records the subtask handed on.",
    combine=Combine.OWNER,
    read=per_subtask(lambda t: t.records_out),
)
BUFFERS_IN_USE: Metric[EngineSnapshot] = Metric(
    name="penstock_buffers_in_use",
    kind=Kind.GAUGE,
    unit=Unit.BUFFERS,
    labels=(PIPELINE, TASK, SUBTASK),
    help="Output buffers of the subtask that are filled or on their way; absent for a task without.",
    combine=Combine.OWNER,
    read=per_subtask(lambda t: t.buffers_in_use),
)
BUFFERS: Metric[EngineSnapshot] = Metric(
    name="penstock_buffers",
    kind=Kind.GAUGE,
    unit=Unit.BUFFERS,
    labels=(PIPELINE, TASK, SUBTASK),
    help="Output buffers the subtask has; when all are in use it is held back. Absent for a task without.",
    combine=Combine.OWNER,
    read=per_subtask(lambda t: t.buffers),
)
REJECTED: Metric[EngineSnapshot] = Metric(
    name="penstock_rejected_records_total",
    kind=Kind.COUNTER,
    unit=Unit.RECORDS,
    labels=(PIPELINE, TASK, REJECTION_REASON),
    help="Records that a task could not take and put aside into its file of rejects; of a processor's a rejection "
    "record stands in the log besides.",
    combine=Combine.SUM,
    read=_rejected,
)
REJECTS: Metric[EngineSnapshot] = Metric(
    name="penstock_rejects",
    kind=Kind.GAUGE,
    unit=Unit.RECORDS,
    labels=(PIPELINE, TASK),
    help="Values that this task has set aside and that are still kept in DATA/rejects, of earlier runs too; a value "
    "without a key counts under the task key.",
    combine=Combine.MAX,
    read=_rejects(lambda one: one.count, 0),
)
OLDEST_REJECT: Metric[EngineSnapshot] = Metric(
    name="penstock_oldest_reject_timestamp_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE, TASK),
    help="Unix time at which the oldest value that this task has set aside and that is still kept was; "
    "absent without any.",
    combine=Combine.MIN,
    read=_rejects(lambda one: seconds_or_none(one.oldest_wall_ns), None),
)
BUSY_SKEW: Metric[EngineSnapshot] = Metric(
    name="penstock_task_busy_skew_ratio",
    kind=Kind.GAUGE,
    unit=Unit.RATIO,
    labels=(PIPELINE, TASK),
    help="How much busier the busiest subtask of a task is than the mean of them: 1 where all work alike. Absent for a "
    "task of one subtask, and while none works.",
    combine=Combine.MAX,
    read=_busy_skew,
)
WAITS: Metric[EngineSnapshot] = Metric(
    name="penstock_held_back_by",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, TASK, WAITED_FOR),
    help="1 while the task is held back and waits for the task `by`, to which it hands on, else 0. For pipelines that "
    "are seen through a bridge.",
    combine=Combine.MAX,
    read=_waits,
)
BOTTLENECK: Metric[EngineSnapshot] = Metric(
    name="penstock_bottleneck",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, CULPRIT),
    help="1 for the task to blame while something is held back, else 0; at most one at a time.",
    combine=Combine.MAX,
    read=_bottleneck,
)

METRICS: tuple[Metric[EngineSnapshot], ...] = (
    BACK_PRESSURE_RATIO,
    BACK_PRESSURE_LEVEL,
    BACK_PRESSURE_SAMPLES,
    BACK_PRESSURE_SAMPLED,
    BACK_PRESSURE_LOOKS,
    BACK_PRESSURE_DISAGREEMENTS,
    SAMPLER_TICKS,
    SAMPLER_MISSED,
    SAMPLER_LATENESS,
    SAMPLER_LATENESS_MAX,
    BUSY_SECONDS,
    IDLE_SECONDS,
    BACK_PRESSURED_SECONDS,
    RECORDS_IN,
    RECORDS_OUT,
    BUFFERS_IN_USE,
    BUFFERS,
    REJECTED,
    REJECTS,
    OLDEST_REJECT,
    BUSY_SKEW,
    WAITS,
    BOTTLENECK,
)
