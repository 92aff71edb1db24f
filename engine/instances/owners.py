"""The instances that share a pipeline, as the door of one of them asks them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from engine.backpressure.flames import FlameGraph, of_all
from engine.core.clock import Clock
from engine.core.errors import ConfigurationError
from engine.core.pause import Pause
from engine.core.snapshot import VertexBackPressure, VertexSnapshot
from engine.flow.episodes import Episode
from engine.flow.events import LimitChanged
from engine.flow.overrides import Override
from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import FlowControlSettings
from engine.instances.board import Board
from engine.instances.by_hand import ByHand
from engine.instances.roster import Roster
from engine.pipeline import PipelineDescription
from engine.runtime.merging import vertex_of_all


class Instances:
    """Implements `Owners`: changes reach all partitions, wherever they are; what is told is of those that are here."""

    def __init__(
        self,
        pipeline: PipelineDescription,
        configured: FlowControlSettings,
        clock: Clock,
        board: Board,
        roster: Roster,
        by_hand: ByHand,
    ) -> None:
        self.numbers = range(1, pipeline.partitions + 1)
        self.exporters: Collection[str] = [exporter.name for exporter in pipeline.exporters]
        self._configured = configured
        self._clock = clock
        self._board = board
        self._roster = roster
        self._by_hand = by_hand
        # The graph of the pipeline, once it is drawn.
        self.vertices: tuple[VertexSnapshot, ...] = ()

    # -- what is set by hand ---

    def overrides(self) -> Mapping[int, Override | None]:
        now_ns, said = self._clock.wall_ns(), self._board.overrides()
        return {
            number: None if override is None or override.is_void(self._configured, now_ns) else override
            for number in self.numbers
            for override in (said.get(number),)
        }

    def override(self, overrides: Mapping[int, Override | None], *, by: str | None) -> None:
        self._by_hand.override(overrides)

    def pause(self, exporter: str, pause: Pause | None) -> None:
        self._by_hand.pause(exporter, pause)

    def pace(self, exporter: str, records_per_second: float | None) -> None:
        """On the partitions that are here."""
        self._by_hand.pace(exporter, records_per_second)

    # -- what they tell ---

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        here = {tenant.number: tenant.partition.gate.request_limiter_state() for tenant in self._roster.tenants()}
        return {number: here.get(number) for number in self.numbers}

    def episodes(self) -> Iterable[Episode]:
        """Of partitions while they were here."""
        return self._roster.episodes()

    def limit_changes(self) -> Iterable[LimitChanged]:
        """Of partitions while they were here."""
        return self._roster.limit_changes()

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        self._check(vertex_id)
        said = [tenant.look_at_back_pressure(vertex_id) for tenant in self._roster.tenants()]
        if not said:
            return VertexBackPressure(
                vertex_id=vertex_id,
                is_fresh=False,
                level=None,
                sampled_wall_ns=None,
                subtasks={},
                sampling=None,
                problem="no partition is open here",
            )
        return vertex_of_all(said)

    def flame_graph(self, vertex_id: str) -> FlameGraph | None:
        """Of the partitions that are here, whose tasks are looked at by themselves; None without any."""
        self._check(vertex_id)
        found = [tenant.flame_graph(vertex_id) for tenant in self._roster.tenants()]
        known = [graph for graph in found if graph is not None]
        return of_all(known) if known else None

    def sample_back_pressure(self, vertex_id: str) -> bool:
        self._check(vertex_id)
        # Of all of them, whatever the first says.
        begun = [tenant.sample_back_pressure(vertex_id) for tenant in self._roster.tenants()]
        return any(begun)

    def _check(self, vertex_id: str) -> None:
        if all(vertex.vertex_id != vertex_id for vertex in self.vertices):
            raise ConfigurationError(f"there is no vertex {vertex_id!r}")
