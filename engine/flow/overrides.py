"""Settings set by hand: in place of the configured ones, since when, until when, and by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.core.clock import Clock
from engine.flow.settings import FlowControlSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """The whole settings of a partition as somebody set them at run time. Plain data, so that it can be stored."""

    settings: FlowControlSettings
    since_wall_ns: int
    # When the configured settings come back by themselves; None: when somebody brings them back.
    until_wall_ns: int | None = None
    by: str | None = None

    def is_void(self, configured: FlowControlSettings, wall_ns: int) -> bool:
        """Whether it is over already, or says what is configured: as good as none."""
        return self.settings == configured or (self.until_wall_ns is not None and self.until_wall_ns <= wall_ns)


def set_by_hand(
    settings: Mapping[int, FlowControlSettings], *, wall_ns: int, ttl_ns: int | None, by: str | None
) -> dict[int, Override]:
    """By partition: from now on, until `ttl_ns` have passed."""
    until_ns = None if ttl_ns is None else wall_ns + ttl_ns
    return {
        number: Override(settings=wanted, since_wall_ns=wall_ns, until_wall_ns=until_ns, by=by)
        for number, wanted in settings.items()
    }


class SettingsInForce:
    """The configured settings of one partition, and what was set by hand over them. One caller at a time.

    Invariant: there is an override ⇔ the settings in force are not the configured ones. What is left of its time is
    measured on monotonic time, so that a jump of the wall clock neither ends nor prolongs it.
    """

    def __init__(self, clock: Clock, configured: FlowControlSettings) -> None:
        self._clock = clock
        self.configured = configured
        self.override: Override | None = None
        self._ends_ns: int | None = None

    @property
    def settings(self) -> FlowControlSettings:
        return self.configured if self.override is None else self.override.settings

    @property
    def is_over(self) -> bool:
        """Whether the time of the override has passed: it is to be taken away."""
        return self._ends_ns is not None and self._clock.monotonic_ns() >= self._ends_ns

    def put(self, override: Override | None) -> None:
        """Sets or, with None, takes away. What is void is as good as None."""
        self.override = self._ends_ns = None
        wall_ns = self._clock.wall_ns()
        if override is None or override.is_void(self.configured, wall_ns):
            return
        if override.until_wall_ns is not None:
            self._ends_ns = self._clock.monotonic_ns() + override.until_wall_ns - wall_ns
        self.override = override
