"""What happened between two snapshots, as events for who watches: a pure comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.core.snapshot import EngineSnapshot, PartitionSnapshot


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is otherwise than it was. `name` is the SSE event, `facts` its JSON object."""

    name: str
    facts: dict[str, object]


def changes(before: EngineSnapshot, now: EngineSnapshot) -> Iterator[Change]:
    """All of them, the engine's first."""
    if now.state is not before.state:
        yield Change("engine", {"state": now.state, "failure": now.failure})
    earlier = {partition.partition: partition for partition in before.partitions}
    for partition in now.partitions:
        known = earlier.get(partition.partition)
        if known is not None:
            yield from _of_partition(known, partition)
    if now.bottleneck != before.bottleneck:
        yield Change("bottleneck", {"task": now.bottleneck})


def _of_partition(before: PartitionSnapshot, now: PartitionSnapshot) -> Iterator[Change]:
    flow, number = now.flow, now.partition
    if flow.throttled is not before.flow.throttled:
        yield Change(
            "throttling",
            {
                "partition": number,
                "throttled": flow.throttled,
                "writeLimitPerSecond": flow.write_limit_per_second,
                "reason": flow.reason,
            },
        )
    configured = (flow.write_limit_max_per_second, flow.overridden)
    if configured != (before.flow.write_limit_max_per_second, before.flow.overridden):
        yield Change(
            "limit",
            {
                "partition": number,
                "writeLimitMaxPerSecond": flow.write_limit_max_per_second,
                "overridden": flow.overridden,
            },
        )
    states = {exporter.exporter: exporter.state for exporter in before.exporters}
    for exporter in now.exporters:
        if exporter.state is not states.get(exporter.exporter, exporter.state):
            yield Change(
                "exporter",
                {
                    "partition": number,
                    "exporter": exporter.exporter,
                    "state": exporter.state,
                    "lastError": exporter.last_error,
                },
            )
