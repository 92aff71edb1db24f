"""The limits as `/api/flow-control` shows them: what is configured, what is set by hand, what comes of it now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from engine.core.snapshot import EngineSnapshot, FlowSnapshot, PartitionSnapshot
from exporter.door import NS_PER_SECOND, EngineDoor, FlowControlSettings, Override, flow_control_document
from exporter.management.flow_control.limits import Outcome

Json = dict[str, Any]


def limits_state(engine: EngineDoor, partitions: Collection[int] | None) -> Json:
    """Times are seconds since the epoch, durations seconds, rates records per second; null is *unknown* or *none*."""
    settings, overrides = engine.flow_settings(), engine.flow_overrides()
    snapshot = engine.snapshot()
    seen = {partition.partition: partition for partition in snapshot.partitions}
    # Where several instances share the pipeline, the one that has each partition.
    shared = snapshot.instances
    owners = {} if shared is None else {n: one.name for one in shared.instances for n in one.partitions}
    return {
        "configured": flow_control_document(engine.configured_flow_settings),
        "partitions": {
            str(number): {
                "settings": flow_control_document(settings[number]),
                "override": _override(overrides.get(number)),
                "effective": _effective(seen[number], snapshot) if number in seen else None,
                **({} if shared is None else {"owner": owners.get(number)}),
            }
            for number in sorted(settings)
            if partitions is None or number in partitions
        },
    }


def changes(outcome: Outcome) -> Json:
    """By partition, each value that is another one after: its JSON pointer, from what, to what."""
    return {
        str(number): _differences(outcome.before[number], outcome.after[number]) for number in sorted(outcome.before)
    }


def _override(override: Override | None) -> Json | None:
    if override is None:
        return None
    until_ns = override.until_wall_ns
    return {
        "since": override.since_wall_ns / NS_PER_SECOND,
        "until": None if until_ns is None else until_ns / NS_PER_SECOND,
        "by": override.by,
    }


def _effective(partition: PartitionSnapshot, snapshot: EngineSnapshot) -> Json:
    flow = partition.flow
    return {
        "writeLimit": flow.write_limit_per_second,
        "writeLimitMax": flow.write_limit_max_per_second,
        "rampUpRate": flow.ramp_up_rate_per_second,
        "throttled": flow.throttled,
        "throttledSeconds": flow.throttled_ns / NS_PER_SECOND,
        "throttleFactor": flow.throttle_factor,
        "reason": flow.reason,
        "backlog": partition.backlog_records,
        "acceptableBacklog": flow.acceptable_backlog_records,
        "exportingRate": flow.exporting_rate_per_second,
        "writeRate": flow.write_rate_per_second,
        "load": flow.partition_load_ratio,
        "requestLimit": flow.request_limit,
        "requestsInFlight": flow.requests_in_flight,
        "waitingWriters": flow.waiting_writers,
        "nextFreeSeconds": _next_free_seconds(flow, snapshot.taken_monotonic_ns),
    }


def _next_free_seconds(flow: FlowSnapshot, now_ns: int) -> float | None:
    """In how long the write limit grants again; 0 while it does, None without a limit and while it grants nothing."""
    return None if flow.next_free_ns is None else max(0, flow.next_free_ns - now_ns) / NS_PER_SECOND


def _differences(before: FlowControlSettings, after: FlowControlSettings) -> list[Json]:
    old, new = (dict(_leaves("", flow_control_document(settings))) for settings in (before, after))
    return [
        {"pointer": pointer, "from": old.get(pointer), "to": new.get(pointer)}
        for pointer in dict.fromkeys([*old, *new])
        if old.get(pointer) != new.get(pointer)
    ]


def _leaves(pointer: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{pointer}/{key}", inner)
    elif value is not None:
        yield pointer, value
