"""The ways in which a metric walks a snapshot. A value of None is unknown, and leaves its series out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce

from engine.core.snapshot import (
    EngineSnapshot,
    Exemplar,
    ExporterSnapshot,
    HistogramSnapshot,
    PartitionSnapshot,
    TaskSnapshot,
)
from exporter.catalogue.metric import Sample
from exporter.door import NS_PER_SECOND

Number = int | float
Read = Callable[[EngineSnapshot], Iterable[Sample]]


def seconds(ns: int) -> float:
    return ns / NS_PER_SECOND


def seconds_or_none(ns: int | None) -> float | None:
    return None if ns is None else ns / NS_PER_SECOND


def per_partition(value: Callable[[PartitionSnapshot], Number | None]) -> Read:
    """One series a partition."""

    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        for partition in snapshot.partitions:
            number = value(partition)
            if number is not None:
                yield (snapshot.pipeline, str(partition.partition)), number

    return read


def per_exporter(value: Callable[[ExporterSnapshot], Number | None]) -> Read:
    """One series a partition and record exporter."""

    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        for partition in snapshot.partitions:
            for exporter in partition.exporters:
                number = value(exporter)
                if number is not None:
                    yield (snapshot.pipeline, str(partition.partition), exporter.exporter), number

    return read


def per_subtask(value: Callable[[TaskSnapshot], Number | None]) -> Read:
    """One series a subtask."""

    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        for task in snapshot.tasks:
            number = value(task)
            if number is not None:
                yield (snapshot.pipeline, task.task, str(task.subtask)), number

    return read


def own(read: Read) -> Read:
    """What is measured in this engine alone: of another one's pipeline it is not known."""
    return lambda snapshot: read(snapshot) if snapshot.origin is None else ()


def over_partitions(value: Callable[[PartitionSnapshot], HistogramSnapshot]) -> Read:
    """One histogram for the pipeline: those of its partitions added up."""

    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        histograms = [value(partition) for partition in (*snapshot.partitions, *snapshot.departed)]
        if histograms:
            yield (snapshot.pipeline,), reduce(added, histograms)

    return read


def added(one: HistogramSnapshot, other: HistogramSnapshot) -> HistogramSnapshot:
    """Both distributions together. They must have the same bounds."""
    if one.bounds != other.bounds:
        raise ValueError(f"histograms with the bounds {one.bounds} and {other.bounds} cannot be added")
    return HistogramSnapshot(
        bounds=one.bounds,
        counts=tuple(map(int.__add__, one.counts, other.counts)),
        sum=one.sum + other.sum,
        exemplars=_newest(one.exemplars, other.exemplars),
    )


def _newest(one: tuple[Exemplar | None, ...], other: tuple[Exemplar | None, ...]) -> tuple[Exemplar | None, ...]:
    if not (one and other):
        return one or other
    return tuple(
        max((exemplar for exemplar in pair if exemplar is not None), key=lambda known: known.wall_ns, default=None)
        for pair in zip(one, other, strict=True)
    )
