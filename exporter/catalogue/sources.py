"""The sources: how far each is in what it reads, by its own word."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.core.snapshot import EngineSnapshot, InputSnapshot
from exporter.catalogue.labels import PIPELINE, TASK
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Unit
from exporter.catalogue.reading import Number, Read


def _per_source(value: Callable[[InputSnapshot], Number | None]) -> Read:
    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        for task in snapshot.tasks:
            number = None if task.input is None else value(task.input)
            if number is not None:
                yield (snapshot.pipeline, task.task), number

    return read


POSITION: Metric[EngineSnapshot] = Metric(
    name="penstock_source_position_bytes",
    kind=Kind.GAUGE,
    unit=Unit.BYTES,
    labels=(PIPELINE, TASK),
    help="How much of its file a source has read, in bytes of the file as it lies on the disk; of a followed log, of "
    "the file that is open. Absent for a source that cannot say it.",
    combine=Combine.OWNER,
    read=_per_source(lambda known: known.position_bytes),
)
SIZE: Metric[EngineSnapshot] = Metric(
    name="penstock_source_size_bytes",
    kind=Kind.GAUGE,
    unit=Unit.BYTES,
    labels=(PIPELINE, TASK),
    help="How long the file of a source is. Absent for what has no end: a pipe, a followed log.",
    combine=Combine.OWNER,
    read=_per_source(lambda known: known.size_bytes),
)
LAG: Metric[EngineSnapshot] = Metric(
    name="penstock_source_lag_bytes",
    kind=Kind.GAUGE,
    unit=Unit.BYTES,
    labels=(PIPELINE, TASK),
    help="How far behind the end of its file a followed log is read. Absent for what is not followed.",
    combine=Combine.OWNER,
    read=_per_source(lambda known: known.lag_bytes),
)
LAG_RECORDS: Metric[EngineSnapshot] = Metric(
    name="penstock_source_lag_records",
    kind=Kind.GAUGE,
    unit=Unit.RECORDS,
    labels=(PIPELINE, TASK),
    help="How many offsets of its topic's partition a Kafka source has before it, up to the end of what is committed, "
    "as of a few seconds ago; marks of transactions count. Absent for what is no topic, and while no broker says it.",
    combine=Combine.OWNER,
    read=_per_source(lambda known: known.lag_records),
)
OFFSET: Metric[EngineSnapshot] = Metric(
    name="penstock_source_offset",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, TASK),
    help="The number of the last line that a source has handed on, over all runs.",
    combine=Combine.OWNER,
    read=_per_source(lambda known: known.offset),
)

METRICS: tuple[Metric[EngineSnapshot], ...] = (POSITION, SIZE, LAG, LAG_RECORDS, OFFSET)
