"""The part of an engine's door behind which another engine has nothing: limits, record exporters, rejects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.core.errors import ConfigurationError
from engine.flow.episodes import Episode
from engine.flow.overrides import Override
from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import FlowControlSettings

_NO_FLOW_CONTROL = "what is only watched has no flow control here"


class WithoutFlowControl:
    """What is only watched: nothing of it can be changed from here."""

    @property
    def configured_flow_settings(self) -> FlowControlSettings:
        return FlowControlSettings()

    def flow_settings(self) -> Mapping[int, FlowControlSettings]:
        return {}

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        return {}

    def flow_overrides(self) -> Mapping[int, Override | None]:
        return {}

    def throttling_episodes(self) -> tuple[Episode, ...]:
        return ()

    def apply_flow_control(
        self, settings: Mapping[int, FlowControlSettings], *, ttl_ns: int | None = None, by: str | None = None
    ) -> None:
        raise ConfigurationError(_NO_FLOW_CONTROL)

    def revert_flow_control(self, partitions: Iterable[int] | None = None, *, by: str | None = None) -> None:
        raise ConfigurationError(_NO_FLOW_CONTROL)

    def pause_exporter(self, name: str, *, paused: bool, soft: bool = False, by: str | None = None) -> None:
        raise ConfigurationError(f"there is no exporter {name!r}")

    def rejects(self, task: str, most: int) -> Sequence[Mapping[str, Any]]:
        raise ConfigurationError(f"there are no rejects of {task!r}")

    def replay_rejects(self, task: str) -> int:
        raise ConfigurationError(f"there are no rejects of {task!r}")

    def drop_rejects(self, task: str) -> int:
        raise ConfigurationError(f"there are no rejects of {task!r}")
