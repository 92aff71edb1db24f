"""All workers of an engine, as its door asks them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from engine.backpressure.flames import FlameGraph
from engine.core.errors import ConfigurationError, NotReadyError
from engine.core.pause import Pause
from engine.core.snapshot import EngineSnapshot, VertexBackPressure
from engine.flow.episodes import Episode
from engine.flow.events import LimitChanged
from engine.flow.overrides import Override
from engine.flow.request.limit import RequestLimiterState
from engine.runtime.merging import back_pressure_of_all
from engine.workers.by_hand import ByHand
from engine.workers.crew import Crew
from engine.workers.roll_call import RollCall

# How long a change of limits waits until it is in force; a worker that is busier than that has it a little later.
_CHANGE_SECONDS = 10.0


class Workers:
    """Implements `Owners`: asks those who are there, and puts together what they say and what was last known."""

    def __init__(self, crew: Crew, by_hand: ByHand, roll_call: RollCall) -> None:
        self._crew = crew
        self._by_hand = by_hand
        self._roll_call = roll_call

    @property
    def numbers(self) -> Collection[int]:
        return sorted(self._crew.owners)

    @property
    def exporters(self) -> Collection[str]:
        return () if self._crew.outline is None else self._crew.outline.exporters

    def snapshots(self) -> list[EngineSnapshot]:
        """Of each worker; of one that is dead or silent, what was last known."""
        return self._roll_call.snapshots()

    # -- what is set by hand ---

    def overrides(self) -> Mapping[int, Override | None]:
        kept = self._by_hand.standing().overrides
        known: dict[int, Override | None] = {number: kept.get(number) for number in self.numbers}
        # The workers know when the time of one is over.
        return known | self._roll_call.by_partition("flow_overrides")

    def override(self, overrides: Mapping[int, Override | None], *, by: str | None) -> None:
        concerned = [seat for seat in self._crew.seats if not overrides.keys().isdisjoint(seat.share.partitions)]
        away = [str(seat.number) for seat in concerned if not seat.is_open]
        if away:
            raise NotReadyError(f"worker {', '.join(away)} is away and is started again; no limit was changed")
        answers = self._roll_call.answers(self._by_hand.override(overrides, by=by), _CHANGE_SECONDS)
        if len(answers) < len(concerned) or not all(answers):
            raise NotReadyError("not all workers have confirmed the change; the others take it when they are back")

    def pause(self, exporter: str, pause: Pause | None) -> None:
        self._roll_call.answers(self._by_hand.pause(exporter, pause))

    def pace(self, exporter: str, records_per_second: float | None) -> None:
        self._roll_call.answers(self._by_hand.pace(exporter, records_per_second))

    # -- what they tell ---

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        return dict.fromkeys(self.numbers, None) | self._roll_call.by_partition("request_limiter_states")

    def episodes(self) -> Iterable[Episode]:
        self._roll_call.take_histories()
        return (episode for seat in self._crew.seats for episode in seat.episodes)

    def limit_changes(self) -> Iterable[LimitChanged]:
        self._roll_call.take_histories()
        return (change for seat in self._crew.seats for change in seat.limit_changes)

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        self._roll_call.of_all("look_at_back_pressure", vertex_id)
        for seen in back_pressure_of_all(self.snapshots()):
            if seen.vertex_id == vertex_id:
                return seen
        raise ConfigurationError(f"there is no vertex {vertex_id!r}")

    def flame_graph(self, vertex_id: str) -> FlameGraph | None:
        """None: stacks stay in the workers."""
        if not any(vertex.vertex_id == vertex_id for known in self.snapshots() for vertex in known.vertices):
            raise ConfigurationError(f"there is no vertex {vertex_id!r}")
        return None

    def sample_back_pressure(self, vertex_id: str) -> bool:
        return any(self._roll_call.of_all("sample_back_pressure", vertex_id))
