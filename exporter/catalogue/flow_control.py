"""The gate of each partition: what was admitted and refused, the limits, and the throttle behind them."""

from __future__ import annotations

from collections.abc import Iterable

from engine.core.snapshot import EngineSnapshot, Outcome
from exporter.catalogue.labels import BY, OUTCOME, PARTITION, PIPELINE, SOURCE
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Unit
from exporter.catalogue.reading import own, per_partition, seconds, seconds_or_none
from exporter.door import WriteSource


def _writes(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for partition in snapshot.partitions:
        number, writes = str(partition.partition), partition.flow.writes
        for source in WriteSource:
            for outcome in Outcome:
                yield (snapshot.pipeline, number, source, outcome), writes.get((source, outcome), 0)


def _set_by_hand(snapshot: EngineSnapshot) -> Iterable[Sample]:
    for partition in snapshot.partitions:
        if partition.by_hand is not None:
            yield (snapshot.pipeline, str(partition.partition), partition.by_hand.by or ""), 1


WRITES: Metric[EngineSnapshot] = Metric(
    name="penstock_writes_total",
    kind=Kind.COUNTER,
    unit=Unit.RECORDS,
    labels=(PIPELINE, PARTITION, SOURCE, OUTCOME),
    help="Records that asked to be written, by who wrote them and by what became of it.",
    combine=Combine.OWNER,
    read=_writes,
)
WRITE_RATE_LIMIT: Metric[EngineSnapshot] = Metric(
    name="penstock_write_rate_limit_records_per_second",
    kind=Kind.GAUGE,
    unit=Unit.RECORDS_PER_SECOND,
    labels=(PIPELINE, PARTITION),
    help="Write limit that the throttle allows now, leaving a ramp-up aside; absent while disabled.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.flow.write_limit_per_second),
)
WRITE_RATE_LIMIT_MAX: Metric[EngineSnapshot] = Metric(
    name="penstock_write_rate_limit_max_records_per_second",
    kind=Kind.GAUGE,
    unit=Unit.RECORDS_PER_SECOND,
    labels=(PIPELINE, PARTITION),
    help="Write limit as configured, which the throttle never exceeds; absent while disabled.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.flow.write_limit_max_per_second),
)
RAMP_UP_RATE: Metric[EngineSnapshot] = Metric(
    name="penstock_ramp_up_rate_records_per_second",
    kind=Kind.GAUGE,
    unit=Unit.RECORDS_PER_SECOND,
    labels=(PIPELINE, PARTITION),
    help="Momentary write rate that the ramp-up allows; absent when no ramp-up is running.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.flow.ramp_up_rate_per_second),
)
THROTTLED: Metric[EngineSnapshot] = Metric(
    name="penstock_throttled",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, PARTITION),
    help="1 while the throttle holds the write limit below the configured one, else 0.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: int(p.flow.throttled)),
)
THROTTLED_SECONDS: Metric[EngineSnapshot] = Metric(
    name="penstock_throttled_seconds_total",
    kind=Kind.COUNTER,
    unit=Unit.SECONDS,
    labels=(PIPELINE, PARTITION),
    help="Time spent throttled, the running episode included.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: seconds(p.flow.throttled_ns)),
)
THROTTLES: Metric[EngineSnapshot] = Metric(
    name="penstock_throttles_total",
    kind=Kind.COUNTER,
    unit=Unit.NONE,
    labels=(PIPELINE, PARTITION),
    help="Throttles that have begun, one that is running included: none is too short to be counted.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.flow.throttles),
)
THROTTLE_START: Metric[EngineSnapshot] = Metric(
    name="penstock_throttle_start_timestamp_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE, PARTITION),
    help="Unix time at which the last throttle began, whether or not it is over. Absent before the first.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: seconds_or_none(p.flow.throttle_start_wall_ns)),
)
THROTTLE_FACTOR: Metric[EngineSnapshot] = Metric(
    name="penstock_throttle_factor",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, PARTITION),
    help="Acceptable backlog divided by the exporting backlog at the last decision; "
    "below 2 the limit follows the exporting rate. Absent while throttling is disabled.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.flow.throttle_factor),
)
ACCEPTABLE_BACKLOG: Metric[EngineSnapshot] = Metric(
    name="penstock_acceptable_backlog_records",
    kind=Kind.GAUGE,
    unit=Unit.RECORDS,
    labels=(PIPELINE, PARTITION),
    help="Exporting backlog at which the throttle aims, as configured; absent while throttling is disabled.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.flow.acceptable_backlog_records),
)
EXPORTING_RATE: Metric[EngineSnapshot] = Metric(
    name="penstock_exporting_rate_records_per_second",
    kind=Kind.GAUGE,
    unit=Unit.RECORDS_PER_SECOND,
    labels=(PIPELINE, PARTITION),
    help="Rate of acknowledged records as the throttle sees it: the mean over the last five minutes, or over "
    "the configured measurementWindow. Absent before the first two observations.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.flow.exporting_rate_per_second),
)
PARTITION_LOAD: Metric[EngineSnapshot] = Metric(
    name="penstock_partition_load_ratio",
    kind=Kind.GAUGE,
    unit=Unit.RATIO,
    labels=(PIPELINE, PARTITION),
    help="Rate of accepted records divided by the configured write limit, 0 to 1; absent while disabled.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.flow.partition_load_ratio),
)
REQUEST_LIMIT: Metric[EngineSnapshot] = Metric(
    name="penstock_request_limit",
    kind=Kind.GAUGE,
    unit=Unit.REQUESTS,
    labels=(PIPELINE, PARTITION),
    help="User commands that may be in flight at once, as the adaptive limit stands; absent while disabled.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.flow.request_limit),
)
REQUESTS_IN_FLIGHT: Metric[EngineSnapshot] = Metric(
    name="penstock_requests_in_flight",
    kind=Kind.GAUGE,
    unit=Unit.REQUESTS,
    labels=(PIPELINE, PARTITION),
    help="User commands that were accepted and are not yet processed.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: p.flow.requests_in_flight),
)
WAITING_WRITERS: Metric[EngineSnapshot] = Metric(
    name="penstock_waiting_writers",
    kind=Kind.GAUGE,
    unit=Unit.WRITERS,
    labels=(PIPELINE, PARTITION),
    help="Writers that wait for a limit at this moment.",
    combine=Combine.OWNER,
    read=own(per_partition(lambda p: p.flow.waiting_writers)),
)
CONFIG_OVERRIDDEN: Metric[EngineSnapshot] = Metric(
    name="penstock_config_overridden",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, PARTITION),
    help="1 while limits set by hand stand in place of the configured ones, else 0.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: int(p.flow.overridden)),
)
LIMITS_SET_BY_HAND: Metric[EngineSnapshot] = Metric(
    name="penstock_limits_set_by_hand_info",
    kind=Kind.INFO,
    unit=Unit.NONE,
    labels=(PIPELINE, PARTITION, BY),
    help="1 while limits set by hand stand in place of the configured ones, and who set them. Absent while none do.",
    combine=Combine.OWNER,
    read=_set_by_hand,
)
LIMITS_SET_UNTIL: Metric[EngineSnapshot] = Metric(
    name="penstock_limits_set_by_hand_until_timestamp_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE, PARTITION),
    help="Unix time at which the configured limits come back by themselves. Absent while these hold, and where "
    "somebody has to bring them back.",
    combine=Combine.OWNER,
    read=per_partition(lambda p: None if p.by_hand is None else seconds_or_none(p.by_hand.until_wall_ns)),
)

METRICS: tuple[Metric[EngineSnapshot], ...] = (
    WRITES,
    WRITE_RATE_LIMIT,
    WRITE_RATE_LIMIT_MAX,
    RAMP_UP_RATE,
    THROTTLED,
    THROTTLED_SECONDS,
    THROTTLES,
    THROTTLE_START,
    THROTTLE_FACTOR,
    ACCEPTABLE_BACKLOG,
    EXPORTING_RATE,
    PARTITION_LOAD,
    REQUEST_LIMIT,
    REQUESTS_IN_FLIGHT,
    WAITING_WRITERS,
    CONFIG_OVERRIDDEN,
    LIMITS_SET_BY_HAND,
    LIMITS_SET_UNTIL,
)
