"""One partition of Zeebe's, from the metrics of its leader, as a partition of ours would show itself."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from engine.core.clock import NS_PER_SECOND
from engine.core.measures import AGE_BOUNDS_SECONDS, LATENCY_BOUNDS_SECONDS
from engine.core.records import WriteSource
from engine.core.snapshot import (
    ExporterSnapshot,
    ExporterState,
    FlowSnapshot,
    HistogramSnapshot,
    Outcome,
    PartitionSnapshot,
    PartitionState,
)
from engine.flow.settings import WriteLimitSettings
from penstock.bridges.zeebe_http.series import Series

# Role 3 is the leader; a former leader's gauges go on to stand.
LEADER = 3
_SOURCES = {
    "userCommand": WriteSource.USER_COMMAND,
    "processingResult": WriteSource.PROCESSING_RESULT,
    "interPartition": WriteSource.INTER_PARTITION,
    "scheduled": WriteSource.SCHEDULED,
    "internal": WriteSource.INTERNAL,
}
_OUTCOMES = {
    "accepted": Outcome.ACCEPTED,
    "writeRateLimitExhausted": Outcome.WRITE_RATE_LIMIT_EXHAUSTED,
    "requestLimitExhausted": Outcome.REQUEST_LIMIT_EXHAUSTED,
}
_STATES = {0: ExporterState.EXPORTING, 1: ExporterState.PAUSED, 2: ExporterState.PAUSED, 3: ExporterState.CLOSED}
# As many looks back the age of the backlog can be told.
_COMMITTED_MAX = 2000


@dataclass(frozen=True, slots=True)
class At:
    """When it was looked at."""

    wall_ns: int
    monotonic_ns: int


class ZeebePartition:
    """Remembers what only several looks tell: since when it is throttled, and when a position was written."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._committed: deque[tuple[int, int]] = deque(maxlen=_COMMITTED_MAX)
        # Of each exporter where it was at the last look, and how far it has come since the first.
        self._came: dict[str, tuple[int, int]] = {}
        self._looked_ns: int | None = None
        self._throttled_ns = 0
        self._throttles = 0
        self._throttled_since_wall_ns: int | None = None
        self._was_throttled = False
        self._refused: tuple[int, int | None] = (0, None)

    def look(self, series: Series, write: WriteLimitSettings | None, at: At, *, overridden: bool) -> PartitionSnapshot:
        name = str(self.number)
        committed = series.one("zeebe_log_appender_last_committed_position", partition=name)
        written = int(committed or 0)
        if committed is not None and (not self._committed or self._committed[-1][1] < written):
            self._committed.append((at.wall_ns, written))
        names = self._exporters(series)
        exporters = tuple(self._exporter(series, one, written, at, alone=len(names) == 1) for one in names)
        acknowledged = [exporter.acknowledged_position for exporter in exporters]
        lowest = min(acknowledged, default=None)
        flow = self._flow(series, write, at, overridden=overridden)
        processed = series.one("zeebe_stream_processor_last_processed_position", partition=name)
        nothing = HistogramSnapshot(
            bounds=LATENCY_BOUNDS_SECONDS, counts=(0,) * (len(LATENCY_BOUNDS_SECONDS) + 1), sum=0.0
        )
        return PartitionSnapshot(
            partition=self.number,
            state=PartitionState.RUNNING,
            last_written_position=written,
            last_processed_position=None if processed is None else int(processed),
            lowest_acknowledged_position=lowest,
            backlog_records=None if lowest is None or committed is None else max(0, written - lowest),
            oldest_unexported_wall_ns=None if lowest is None else self._written_at(lowest, written, at),
            flow=flow,
            exporters=exporters,
            append_duration=nothing,
            command_duration=nothing,
            processing_duration=nothing,
            end_to_end_duration=HistogramSnapshot(
                bounds=AGE_BOUNDS_SECONDS, counts=(0,) * (len(AGE_BOUNDS_SECONDS) + 1), sum=0.0
            ),
            append_failures={},
            outbox_records=0,
            disk_free_bytes=None,
        )

    def _exporters(self, series: Series) -> list[str]:
        found = series.of("zeebe_exporter_last_updated_exported_position", partition=str(self.number))
        return sorted({labels.get("exporter") or labels.get("exporterId") or "exporter" for labels, _ in found})

    def _exporter(self, series: Series, exporter: str, written: int, at: At, *, alone: bool) -> ExporterSnapshot:
        position = int(self._of_exporter(series, "zeebe_exporter_last_updated_exported_position", exporter) or 0)
        # The state is of the partition in some versions, and of each exporter in others.
        state = self._of_exporter(series, "zeebe_exporter_state", exporter)
        exported, skipped = self._events(series) if alone else (self._come(exporter, position), 0)
        return ExporterSnapshot(
            exporter=exporter,
            state=_STATES.get(int(state or 0), ExporterState.EXPORTING),
            acknowledged_position=position,
            backlog_records=max(0, written - position),
            oldest_unexported_wall_ns=self._written_at(position, written, at),
            exported_records=exported,
            skipped_records=skipped,
            errors=0,
            retries=0,
            last_error=None,
            export_duration=HistogramSnapshot(
                bounds=LATENCY_BOUNDS_SECONDS, counts=(0,) * (len(LATENCY_BOUNDS_SECONDS) + 1), sum=0.0
            ),
        )

    def _events(self, series: Series) -> tuple[int, int]:
        """Exported and skipped, of all exporters together: whose they are is not said."""
        found = list(series.of("zeebe_exporter_events_total", partition=str(self.number)))
        exported, skipped = (
            sum(value for labels, value in found if labels.get("action") == action)
            for action in ("exported", "skipped")
        )
        return int(exported), int(skipped)

    def _come(self, exporter: str, position: int) -> int:
        """By how many records since the first look; what it skipped is among them."""
        before, come = self._came.get(exporter, (position, 0))
        come += max(0, position - before)
        self._came[exporter] = (position, come)
        return come

    def _of_exporter(self, series: Series, name: str, exporter: str) -> float | None:
        found = list(series.of(name, partition=str(self.number)))
        own = [value for labels, value in found if exporter in (labels.get("exporter"), labels.get("exporterId"))]
        return max(own or [value for _, value in found], default=None)

    def _written_at(self, position: int, written: int, at: At) -> int | None:
        """When what stands behind a position was written, exact to one look; None if that was before the first."""
        if position >= written:
            return at.wall_ns
        before: int | None = None
        for wall_ns, committed in self._committed:
            if committed > position:
                # At the first look everything may be of any age.
                return None if before is None else wall_ns
            before = wall_ns
        return None

    def _flow(self, series: Series, write: WriteLimitSettings | None, at: At, *, overridden: bool) -> FlowSnapshot:
        name = str(self.number)

        def gauge(*names: str) -> float | None:
            return series.one(*names, partition=name)

        writes: dict[tuple[WriteSource, Outcome], int] = {}
        for labels, value in series.of("zeebe_flow_control_total", "zeebe_flow_control_outcome_total", partition=name):
            key = (_SOURCES.get(labels.get("context", "")), _OUTCOMES.get(labels.get("outcome", "")))
            if key[0] is not None and key[1] is not None:
                writes[key[0], key[1]] = writes.get((key[0], key[1]), 0) + int(value)
        is_limited = write is not None and write.enabled
        # Some versions leave both at 0 while throttling is off.
        limit = gauge("zeebe_flow_control_write_rate_limit") or None
        most = gauge("zeebe_flow_control_write_rate_maximum") or None
        if most is None and is_limited and write is not None:
            most = limit = float(write.limit)
        throttled = limit is not None and most is not None and limit < most
        self._count(at, throttled=throttled)
        refused = sum(count for (_, outcome), count in writes.items() if outcome is not Outcome.ACCEPTED)
        if refused > self._refused[0] and self._looked_ns is not None:
            self._refused = (refused, at.monotonic_ns)
        else:
            self._refused = (refused, self._refused[1])
        self._looked_ns = at.monotonic_ns
        load = gauge("zeebe_flow_control_partition_load")
        request_limit = gauge("zeebe_backpressure_requests_limit")
        throttling = None if write is None or not write.throttling.enabled else write.throttling
        return FlowSnapshot(
            writes=writes,
            write_limit_per_second=limit,
            write_limit_max_per_second=most,
            ramp_up_rate_per_second=None,
            throttled=throttled,
            throttled_ns=self._throttled_ns,
            throttle_factor=None,
            acceptable_backlog_records=None if throttling is None else throttling.acceptable_backlog,
            exporting_rate_per_second=gauge("zeebe_flow_control_exporting_rate"),
            write_rate_per_second=None,
            partition_load_ratio=None if load is None or load < 0 else load / 100,
            request_limit=None if not request_limit else int(request_limit),
            requests_in_flight=int(gauge("zeebe_backpressure_inflight_requests_count") or 0),
            waiting_writers=0,
            next_free_ns=None,
            reason="the exporting backlog is above what is acceptable" if throttled else "as Zeebe says",
            overridden=overridden,
            throttles=self._throttles,
            throttle_start_wall_ns=self._throttled_since_wall_ns,
            refused_ns=self._refused[1],
        )

    def _count(self, at: At, *, throttled: bool) -> None:
        """Finer than the looks nobody can know it: the time between two of them counts as what the later one saw."""
        if throttled and self._looked_ns is not None:
            self._throttled_ns += at.monotonic_ns - self._looked_ns
        if throttled and not self._was_throttled:
            self._throttles += 1
            self._throttled_since_wall_ns = at.wall_ns
        self._was_throttled = throttled


def seconds_of(value: object) -> int:
    """A duration of the endpoint's answers: a number of seconds."""
    return round(float(value) * NS_PER_SECOND) if isinstance(value, int | float) else 0
