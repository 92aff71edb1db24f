"""Settings of the back pressure monitor: the documented keys of Flink's, under `web.backpressure`, and a mode."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.durations import format_duration
from engine.core.errors import SettingError


class BackPressureMode(StrEnum):
    """Whether the sampler always runs, or only while somebody looks."""

    CONTINUOUS = "continuous"
    ON_DEMAND = "on-demand"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackPressureSettings:
    """How tasks are sampled: `num_samples` stacks, `delay_between_samples_ns` apart, make a ratio."""

    mode: BackPressureMode = BackPressureMode.CONTINUOUS
    num_samples: int = 100
    delay_between_samples_ns: int = 50 * NS_PER_MS
    # On demand: a ratio older than this is sampled anew; 0 samples at every look.
    refresh_interval_ns: int = 60 * NS_PER_SECOND
    # On demand: a ratio nobody looked at for so long is dropped.
    cleanup_interval_ns: int = 600 * NS_PER_SECOND

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise SettingError("num-samples", "must be at least 1", self.num_samples)
        if self.delay_between_samples_ns <= 0:
            raise SettingError(
                "delay-between-samples", "must be longer than 0", format_duration(self.delay_between_samples_ns)
            )
        for field, ns in (
            ("refresh-interval", self.refresh_interval_ns),
            ("cleanup-interval", self.cleanup_interval_ns),
        ):
            if ns < 0:
                raise SettingError(field, "must be 0 or longer", format_duration(ns))
