"""What flow control does, told: as `internal` records in the partition's log, and as log lines for who is on call."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import assert_never

from engine.core.clock import NS_PER_MS
from engine.core.durations import shown_duration
from engine.flow.document import flow_control_document
from engine.flow.events import FlowEvent, LimitChanged, ThrottlingEnded, ThrottlingStarted
from engine.flow.overrides import Override
from engine.flow.settings import FlowControlSettings

log = logging.getLogger("penstock.partition")


class FlowJournal:
    """Every change of a limit becomes a record; a log line tells of the start and end of a throttle, and of changes
    by half or by hand. One caller at a time.

    `write` stores an `internal` record: its intent, its value. It never raises.
    """

    def __init__(self, partition: int, write: Callable[[str, object], None]) -> None:
        self._partition = partition
        self._write = write
        # The limit that the log last spoke of while throttled.
        self._logged_limit: float | None = None

    def report(self, event: FlowEvent) -> None:
        match event:
            case LimitChanged():
                self._changed(event)
            case ThrottlingStarted():
                log.warning(
                    "partition %d is throttled: limit %s of %s records/s, %s",
                    self._partition,
                    _shown(event.limit_per_second),
                    _shown(event.limit_max_per_second),
                    event.reason,
                )
                self._logged_limit = event.limit_per_second
            case ThrottlingEnded():
                log.warning(
                    "partition %d is no longer throttled after %s: lowest limit %s records/s, highest backlog %d",
                    self._partition,
                    shown_duration(event.episode.throttled_ns),
                    _shown(event.episode.lowest_limit_per_second),
                    event.episode.peak_backlog_records,
                )
                self._logged_limit = None
            case _:
                assert_never(event)

    def overridden(self, override: Override, *, again: bool = False) -> None:
        """Limits were set by hand; `again`: by an earlier run, and they go on."""
        until_ns = override.until_wall_ns
        self._write(
            "limits_overridden",
            {
                "partition": self._partition,
                "by": override.by,
                "since": override.since_wall_ns // NS_PER_MS,
                "until": None if until_ns is None else until_ns // NS_PER_MS,
                "settings": flow_control_document(override.settings),
            },
        )
        log.warning(
            "partition %d: limits %s by hand%s%s: %s",
            self._partition,
            "are still set" if again else "were set",
            f" by {override.by}" if override.by else "",
            "" if until_ns is None else f" for {shown_duration(until_ns - override.since_wall_ns)}",
            _limit(override.settings),
        )

    def reverted(self, settings: FlowControlSettings, *, why: str) -> None:
        """The configured `settings` hold again."""
        self._write(
            "limits_reverted",
            {"partition": self._partition, "why": why, "settings": flow_control_document(settings)},
        )
        log.warning("partition %d: the configured limits hold again, %s: %s", self._partition, why, _limit(settings))

    def _changed(self, event: LimitChanged) -> None:
        new = event.new_limit_per_second
        self._write(
            "limit_changed",
            {
                "partition": self._partition,
                "oldLimit": event.old_limit_per_second,
                "newLimit": new,
                "backlog": event.backlog_records,
                "acceptableBacklog": event.acceptable_backlog_records,
                "factor": event.factor,
                "exportingRate": event.exporting_rate_per_second,
                "reason": event.reason,
            },
        )
        logged = self._logged_limit
        if logged is not None and new is not None and not logged / 2 < new < logged * 2:
            log.warning(
                "partition %d: limit %s records/s, backlog %s", self._partition, _shown(new), event.backlog_records
            )
            self._logged_limit = new


def _shown(limit_per_second: float) -> str:
    """In whole records, but where there are few."""
    return f"{limit_per_second:.0f}" if limit_per_second >= 10 else f"{limit_per_second:.2g}"


def _limit(settings: FlowControlSettings) -> str:
    write, request = settings.write, settings.request
    if write is None or not write.enabled:
        text = "writes are not limited"
    else:
        throttling = f", throttled beyond a backlog of {write.throttling.acceptable_backlog}"
        text = f"{write.limit} records/s{throttling if write.throttling.enabled else ''}"
    return f"{text}; {f'requests limited by {request.algorithm}' if request.enabled else 'requests are not limited'}"
