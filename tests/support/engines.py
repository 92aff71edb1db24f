"""An engine that is none: says what it was told to say, and keeps what it was asked to change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import ConfigurationError
from engine.core.snapshot import EngineSnapshot, VertexBackPressure
from engine.flow.episodes import Episode
from engine.flow.overrides import Override
from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import FlowControlSettings
from tests.support.snapshots import busy_snapshot

# When whatever is set by hand is set.
WALL_NS = 1_700_000_000 * NS_PER_SECOND


class FakeEngine:
    """Stands in for an engine at the exporter's door (`exporter.door.EngineDoor`)."""

    def __init__(
        self,
        snapshot: EngineSnapshot | None = None,
        *,
        settings: Mapping[int, FlowControlSettings] | None = None,
        limiters: Mapping[int, RequestLimiterState | None] | None = None,
    ) -> None:
        self.told = snapshot or busy_snapshot()
        self.settings = dict(settings or {1: FlowControlSettings(), 2: FlowControlSettings()})
        self.limiters = dict(limiters or {})
        # Every change that was asked for, the last one last.
        self.applied: list[tuple[Mapping[int, FlowControlSettings], int | None]] = []
        self.reverted: list[tuple[int, ...]] = []
        self.configured = FlowControlSettings()
        self.overrides: dict[int, Override | None] = {}
        self.episodes: tuple[Episode, ...] = ()
        # Vertices whose back pressure was looked at, and asked to be measured.
        self.looked_at: list[str] = []
        self.sampled: list[str] = []
        # Exporters and whether they were paused (or let go on).
        self.paused: list[tuple[str, bool]] = []
        self.softly: list[str] = []
        # Raised instead of answering, where one is set.
        self.snapshot_error: Exception | None = None
        self.apply_error: Exception | None = None

    def snapshot(self) -> EngineSnapshot:
        if self.snapshot_error is not None:
            raise self.snapshot_error
        return self.told

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        self.looked_at.append(vertex_id)
        for vertex in self.told.back_pressure:
            if vertex.vertex_id == vertex_id:
                return vertex
        raise ConfigurationError(f"there is no task with the id {vertex_id!r}")

    def sample_back_pressure(self, vertex_id: str) -> bool:
        self.sampled.append(vertex_id)
        return self.sampled.count(vertex_id) == 1

    def pause_exporter(self, name: str, *, paused: bool, soft: bool = False, by: str | None = None) -> None:
        self.paused.append((name, paused))
        self.softly += [name] if soft else []

    def rejects(self, task: str, most: int) -> Sequence[Mapping[str, Any]]:
        return [{"task": task, "value": n} for n in range(min(most, 3))]

    def replay_rejects(self, task: str) -> int:
        return 3

    def drop_rejects(self, task: str) -> int:
        return 3

    def flow_settings(self) -> Mapping[int, FlowControlSettings]:
        return dict(self.settings)

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        return {partition: self.limiters.get(partition) for partition in self.settings}

    @property
    def configured_flow_settings(self) -> FlowControlSettings:
        return self.configured

    def flow_overrides(self) -> Mapping[int, Override | None]:
        return {partition: self.overrides.get(partition) for partition in self.settings}

    def apply_flow_control(
        self, settings: Mapping[int, FlowControlSettings], *, ttl_ns: int | None = None, by: str | None = None
    ) -> None:
        if self.apply_error is not None:
            raise self.apply_error
        self.applied.append((dict(settings), ttl_ns))
        self.settings.update(settings)
        for number, wanted in settings.items():
            until_ns = None if ttl_ns is None else WALL_NS + ttl_ns
            self.overrides[number] = Override(settings=wanted, since_wall_ns=WALL_NS, until_wall_ns=until_ns, by=by)

    def revert_flow_control(self, partitions: Iterable[int] | None = None, *, by: str | None = None) -> None:
        if self.apply_error is not None:
            raise self.apply_error
        numbers = tuple(self.settings if partitions is None else partitions)
        self.reverted.append(numbers)
        for number in numbers:
            self.settings[number] = self.configured
            self.overrides[number] = None

    def throttling_episodes(self) -> tuple[Episode, ...]:
        return self.episodes


class FakeEngines(FakeEngine):
    """Several of them behind one door; it is the first itself."""

    def __init__(self, snapshot: EngineSnapshot, *others: EngineSnapshot) -> None:
        super().__init__(snapshot)
        self.others = [FakeEngine(other) for other in others]

    def engines(self) -> tuple[FakeEngine, ...]:
        return (self, *self.others)
