"""Counters never go back: what the dead processes of a worker counted is added to what the living one counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from engine.core.snapshot import (
    EngineSnapshot,
    ExporterSnapshot,
    FlowSnapshot,
    HistogramSnapshot,
    PartitionSnapshot,
    PartitionState,
    SampleBasis,
    SamplerSnapshot,
    TaskSnapshot,
    TaskStatus,
)

T = TypeVar("T")

# The fields that count from the start of a process, by class: numbers, numbers by key, histograms, and what has such
# fields itself. Everything else says how things are now.
_COUNTED: Mapping[type, tuple[str, ...]] = {
    PartitionSnapshot: (
        "flow",
        "append_duration",
        "command_duration",
        "processing_duration",
        "end_to_end_duration",
        "append_failures",
    ),
    FlowSnapshot: ("writes", "throttled_ns", "throttles"),
    ExporterSnapshot: ("exported_records", "skipped_records", "errors", "retries", "export_duration"),
    TaskSnapshot: (
        "busy_ns",
        "idle_ns",
        "back_pressured_ns",
        "records_in",
        "records_out",
        "rejected",
        "blocked_by_channel_ns",
        "sample_basis",
    ),
    SampleBasis: ("by_stack", "by_transitions", "discarded", "disagreements"),
    SamplerSnapshot: ("ticks", "missed", "lateness_ns"),
    HistogramSnapshot: ("counts", "sum"),
}
# The highest of them counts.
_HIGHEST: Mapping[type, tuple[str, ...]] = {
    TaskSnapshot: ("longest_blocked_ns",),
    SamplerSnapshot: ("lateness_max_ns",),
}


def added(one: T, other: T) -> T:
    """The snapshot `other`, with what `one` counted added to its counters."""
    values: dict[str, Any] = {
        name: _sum(getattr(one, name), getattr(other, name)) for name in _COUNTED.get(type(other), ())
    }
    for name in _HIGHEST.get(type(other), ()):
        values[name] = max(getattr(one, name), getattr(other, name))
    # Any: which classes these are stands in the tables above.
    whole: Any = other
    changed: T = dataclasses.replace(whole, **values)
    return changed


def _sum(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return one if other is None else other
    if isinstance(other, Mapping):
        return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
    if isinstance(other, tuple):
        longer, shorter = (one, other) if len(one) > len(other) else (other, one)
        padded = shorter + (0,) * (len(longer) - len(shorter))
        return tuple(a + b for a, b in zip(longer, padded, strict=True))
    if dataclasses.is_dataclass(other):
        return added(one, other)
    return one + other


class CounterBook:
    """The counters of one worker over the lives of all its processes. One caller at a time."""

    def __init__(self) -> None:
        # Of the processes that are dead, all together.
        self._before: EngineSnapshot | None = None
        # The newest of the living one, as it came.
        self._newest: EngineSnapshot | None = None

    def take(self, snapshot: EngineSnapshot) -> EngineSnapshot:
        """What a worker says of itself, with all that was counted before."""
        self._newest = snapshot
        return snapshot if self._before is None else _continued(self._before, snapshot)

    @property
    def newest(self) -> EngineSnapshot | None:
        """What the living process last said; None before it said anything."""
        return self._newest

    @property
    def total(self) -> EngineSnapshot | None:
        """What was last known, whether or not a process lives."""
        return self._before if self._newest is None else self.take(self._newest)

    def process_ended(self) -> None:
        """The next snapshot is of a new process, which counts from 0."""
        total = self.total
        if total is not None:
            self._before, self._newest = _at_rest(total), None


def _continued(before: EngineSnapshot, now: EngineSnapshot) -> EngineSnapshot:
    partitions = {partition.partition: partition for partition in before.partitions}
    tasks = {(task.vertex_id, task.subtask): task for task in before.tasks}
    return dataclasses.replace(
        now,
        partitions=tuple(
            _partition(partitions[partition.partition], partition) if partition.partition in partitions else partition
            for partition in now.partitions
        ),
        tasks=tuple(
            added(tasks[task.vertex_id, task.subtask], task) if (task.vertex_id, task.subtask) in tasks else task
            for task in now.tasks
        ),
        sampler=_sum(before.sampler, now.sampler),
        observed=_sum(before.observed, now.observed),
    )


def _partition(before: PartitionSnapshot, now: PartitionSnapshot) -> PartitionSnapshot:
    exporters = {exporter.exporter: exporter for exporter in before.exporters}
    return dataclasses.replace(
        added(before, now),
        exporters=tuple(
            added(exporters[exporter.exporter], exporter) if exporter.exporter in exporters else exporter
            for exporter in now.exporters
        ),
    )


def _at_rest(snapshot: EngineSnapshot) -> EngineSnapshot:
    """What is left to say of a process that is dead: positions and counters stay, nothing is on its way.

    Its throttle died with it: the next one begins anew.
    """
    return dataclasses.replace(
        snapshot,
        partitions=tuple(
            dataclasses.replace(
                partition,
                state=PartitionState.OPENING,
                flow=dataclasses.replace(
                    partition.flow,
                    write_limit_per_second=partition.flow.write_limit_max_per_second,
                    throttled=False,
                    throttle_factor=None,
                    refused_ns=None,
                    reason="its worker is away and is started again",
                    requests_in_flight=0,
                    waiting_writers=0,
                ),
            )
            for partition in snapshot.partitions
        ),
        tasks=tuple(
            dataclasses.replace(
                task,
                status=TaskStatus.CREATED,
                state="idle",
                buffers_in_use=None if task.buffers_in_use is None else 0,
                back_pressure=None,
                recent=None,
            )
            for task in snapshot.tasks
        ),
    )


def observed_of_all(observed: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    """What became of what the observers of all workers were told."""
    together: Mapping[str, int] = {}
    for one in observed:
        together = _sum(together, one)
    return together


def sampler_of_all(samplers: Iterable[SamplerSnapshot | None]) -> SamplerSnapshot | None:
    """The samplers of all workers as one."""
    together: SamplerSnapshot | None = None
    for sampler in samplers:
        together = _sum(together, sampler)
    return together
