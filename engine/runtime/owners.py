"""Who has the partitions of a pipeline open, as the door of an engine asks them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from engine.backpressure.flames import FlameGraph
from engine.core.pause import Pause
from engine.core.snapshot import VertexBackPressure
from engine.flow.episodes import Episode
from engine.flow.events import LimitChanged
from engine.flow.overrides import Override
from engine.flow.request.limit import RequestLimiterState


class Owners(Protocol):
    """This process, its workers, or the instances that share a pipeline: all partitions, wherever they are open.

    Any thread may ask. The door has looked at what it is asked for: the numbers and the names exist, and where it says
    so the engine runs.
    """

    @property
    def numbers(self) -> Collection[int]:
        """The partitions that can be asked about, rising."""
        ...

    @property
    def exporters(self) -> Collection[str]: ...

    # -- what is set by hand ---

    def overrides(self) -> Mapping[int, Override | None]:
        """The limits that somebody set, of each partition; None where the configured ones hold."""
        ...

    def override(self, overrides: Mapping[int, Override | None], *, by: str | None) -> None:
        """Puts limits, or with None the configured ones, into force on all these partitions, and returns when they are.

        Raises `ConfigurationError` and changes nothing, or `NotReadyError` and says what has become of it.
        """
        ...

    def pause(self, exporter: str, pause: Pause | None) -> None:
        """Holds an exporter on all partitions, over restarts too, or lets it go on. Raises as `override`."""
        ...

    def pace(self, exporter: str, records_per_second: float | None) -> None:
        """How fast it hands records over on each partition, for as long as the engine runs; None is no limit."""
        ...

    # -- what they tell ---

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        """Of each partition; None where there is no request limit, or its owner does not answer."""
        ...

    def episodes(self) -> Iterable[Episode]: ...

    def limit_changes(self) -> Iterable[LimitChanged]: ...

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        """Raises `ConfigurationError` for an unknown vertex, as the two below."""
        ...

    def flame_graph(self, vertex_id: str) -> FlameGraph | None:
        """None where the stacks are out of sight."""
        ...

    def sample_back_pressure(self, vertex_id: str) -> bool: ...
