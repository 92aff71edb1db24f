"""The partitions that are open in this process, as the door of their engine asks them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from threading import Lock

from engine.backpressure.flames import FlameGraph
from engine.backpressure.monitor import BackPressureMonitor
from engine.core.errors import ConfigurationError
from engine.core.pause import Pause
from engine.core.snapshot import VertexBackPressure
from engine.exporting.task import ExportingTask
from engine.flow.episodes import Episode
from engine.flow.events import LimitChanged
from engine.flow.overrides import Override
from engine.flow.request.limit import RequestLimiterState
from engine.partition.partition import Partition
from engine.runtime.kept import Kept


class OwnPartitions:
    """Implements `Owners`: tells partitions and exporters itself, after what outlives the run was kept.

    What cannot be kept is not done by half: it is kept before anything changes.
    """

    def __init__(self, numbers: Sequence[int], partitions: Mapping[int, Partition], kept: Kept) -> None:
        """`partitions` is filled while they are opened."""
        self.numbers = numbers
        self._partitions = partitions
        self._kept = kept
        self._exporters: Mapping[str, Sequence[ExportingTask]] = {}
        self._monitor: BackPressureMonitor | None = None
        # Held while something is set.
        self._setting = Lock()
        # Of all exporters that somebody holds, those of earlier runs included. Guarded by _setting.
        self._pauses: Mapping[str, Pause] = {}

    def wired(self, exporters: Mapping[str, Sequence[ExportingTask]]) -> None:
        """These stand and do not run yet; who was held before is held again."""
        self._exporters = exporters
        self.hold(self._kept.pauses())

    def watched(self, monitor: BackPressureMonitor) -> None:
        self._monitor = monitor

    # -- what is set by hand ---

    @property
    def exporters(self) -> Collection[str]:
        return self._exporters.keys()

    def overrides(self) -> Mapping[int, Override | None]:
        return {number: partition.in_force.override for number, partition in self._partitions.items()}

    def override(self, overrides: Mapping[int, Override | None], *, by: str | None) -> None:
        with self._setting:
            after = {**self.overrides(), **overrides}
            self._kept.keep_overrides({number: kept for number, kept in after.items() if kept is not None})
            for number, override in overrides.items():
                self._partitions[number].override(override, by=by)

    def pause(self, exporter: str, pause: Pause | None) -> None:
        with self._setting:
            after = {**self._pauses, exporter: pause}
            pauses = {name: kept for name, kept in after.items() if kept is not None}
            self._kept.keep_pauses(pauses)
            self._hold(pauses)

    def hold(self, pauses: Mapping[str, Pause]) -> None:
        """Exactly these exporters are held from now on; that is kept already."""
        with self._setting:
            self._hold(pauses)

    def _hold(self, pauses: Mapping[str, Pause]) -> None:
        before, self._pauses = self._pauses, pauses
        for name, tasks in self._exporters.items():
            if pauses.get(name) != before.get(name):
                for task in tasks:
                    task.set_pause(pauses.get(name))

    def pace(self, exporter: str, records_per_second: float | None) -> None:
        for task in self._exporters[exporter]:
            task.set_pace(records_per_second)

    # -- what they tell ---

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        return {number: partition.gate.request_limiter_state() for number, partition in self._partitions.items()}

    def episodes(self) -> Iterable[Episode]:
        return (episode for partition in self._partitions.values() for episode in partition.gate.episodes())

    def limit_changes(self) -> Iterable[LimitChanged]:
        return (change for partition in self._partitions.values() for change in partition.gate.limit_changes())

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        return self._started_monitor().look_at(vertex_id)

    def flame_graph(self, vertex_id: str) -> FlameGraph | None:
        return self._started_monitor().flame_graph(vertex_id)

    def sample_back_pressure(self, vertex_id: str) -> bool:
        return self._started_monitor().sample(vertex_id)

    def _started_monitor(self) -> BackPressureMonitor:
        if self._monitor is None:
            raise ConfigurationError("the engine has not started")
        return self._monitor
