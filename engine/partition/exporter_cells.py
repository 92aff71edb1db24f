"""What a partition knows of its record exporters: where each began, what it has acknowledged, how it fares."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from engine.core.measures import Histogram
from engine.core.pause import Pause
from engine.core.snapshot import ExporterSnapshot, ExporterState
from engine.core.unit import Acknowledgement, Recovered

log = logging.getLogger("penstock.partition")


class ExporterCell:
    """What is known of one record exporter on this partition. Its task's thread writes all but `position`."""

    __slots__ = (
        "duration",
        "errors",
        "exported",
        "last_error",
        "last_error_wall_ns",
        "name",
        "pace_per_second",
        "pause",
        "position",
        "retries",
        "skipped",
        "state",
    )

    def __init__(self, name: str, position: int, pace_per_second: float | None) -> None:
        self.name = name
        # Guarded by the partition's lock.
        self.position = position
        self.state = ExporterState.EXPORTING
        self.exported = 0
        self.skipped = 0
        self.errors = 0
        self.retries = 0
        self.last_error: str | None = None
        self.last_error_wall_ns: int | None = None
        self.duration = Histogram()
        # Records per second at most; None is no limit. May be set from any thread.
        self.pace_per_second = pace_per_second
        # May be set from any thread.
        self.pause: Pause | None = None

    def snapshot(self, position: int, written: int, oldest_unexported_wall_ns: int | None) -> ExporterSnapshot:
        """`position` and `written` as they were at one moment."""
        return ExporterSnapshot(
            exporter=self.name,
            state=self.state,
            acknowledged_position=position,
            backlog_records=written - position,
            oldest_unexported_wall_ns=oldest_unexported_wall_ns,
            exported_records=self.exported,
            skipped_records=self.skipped,
            errors=self.errors,
            retries=self.retries,
            last_error=self.last_error,
            last_error_wall_ns=self.last_error_wall_ns,
            export_duration=self.duration.snapshot(),
            pause=self.pause,
        )


class ExporterCells:
    """The exporters of one partition. They are added before anything runs; after that the partition's lock is held
    around every call but `snapshots`.

    Positions count at once when they are acknowledged, and for retention once they are stored, which is later.
    """

    def __init__(self, partition: int, recovered: Recovered, names: Collection[str]) -> None:
        self._partition = partition
        self._recovered = recovered
        self._stored = {name: known.position for name, known in recovered.acknowledged.items() if name in names}
        self.by_name: dict[str, ExporterCell] = {}

    # -- before anything runs ---

    def add(self, name: str, *, from_end: bool, pace_per_second: float | None) -> Acknowledgement:
        """Gives an exporter its place: where it stood, else the oldest retained record (or the end)."""
        recovered = self._recovered
        known = recovered.acknowledged.get(name)
        if known is not None and known.position < recovered.oldest_position - 1:
            # It was configured, then not, then again: what lies between is gone.
            log.warning(
                "exporter %s on partition %d stood at position %d and goes on at %d: what lies between is not kept",
                name,
                self._partition,
                known.position,
                recovered.oldest_position,
            )
            known = Acknowledgement(name, recovered.oldest_position - 1, known.cursor)
        if known is None:
            start = recovered.last_position if from_end else recovered.oldest_position - 1
            known = Acknowledgement(name, start, None)
        self.by_name[name] = ExporterCell(name, known.position, pace_per_second)
        return known

    def warn_of_removed(self) -> None:
        """Says which exporters of earlier runs are not configured any more: they hold nothing back."""
        for name in sorted(set(self._recovered.acknowledged) - set(self.by_name)):
            log.warning(
                "exporter %s is no longer configured: partition %d keeps no records for it and counts no backlog",
                name,
                self._partition,
            )

    # -- under the partition's lock ---

    def acknowledged(self, acknowledgement: Acknowledgement) -> None:
        cell = self.by_name[acknowledgement.exporter]
        assert acknowledgement.position >= cell.position, "acknowledged positions never go back"
        cell.position = acknowledgement.position

    def stored(self, acknowledged: Mapping[str, Acknowledgement]) -> None:
        """These are committed: no crash takes them back."""
        for name, acknowledgement in acknowledged.items():
            self._stored[name] = acknowledgement.position

    def lowest(self) -> int | None:
        """The lowest acknowledged position; None without exporters."""
        return min((cell.position for cell in self.by_name.values()), default=None)

    def stored_positions(self) -> list[int | None]:
        """Of each exporter; None for one of which none is stored."""
        return [self._stored.get(name) for name in self.by_name]

    def positions(self) -> dict[str, int]:
        return {name: cell.position for name, cell in self.by_name.items()}

    # -- for any thread ---

    def snapshots(
        self, positions: Mapping[str, int], written: int, oldest_unexported: Callable[[int], int | None]
    ) -> tuple[ExporterSnapshot, ...]:
        """From `positions` and `written` of one moment; `oldest_unexported` is the wall time behind a position."""
        return tuple(
            cell.snapshot(positions[name], written, oldest_unexported(positions[name]))
            for name, cell in self.by_name.items()
        )
