"""Settings of flow control: frozen, checked at construction, in the engine's own units.

Key names, defaults and rules are the documented ones of Zeebe's flow control; a broken rule raises
`SettingError` with the field as users write it, so that every border can point at the place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.durations import format_duration
from engine.core.errors import SettingError


def _require(holds: bool, field: str, rule: str, value: object) -> None:
    if not holds:
        raise SettingError(field, rule, value)


class ThrottlingAlgorithm(StrEnum):
    """How the throttle follows the exporting backlog."""

    PROPORTIONAL = "proportional"
    ADAPTIVE = "adaptive"


class RequestAlgorithm(StrEnum):
    """How the number of user commands in flight is limited."""

    AIMD = "aimd"
    FIXED = "fixed"
    VEGAS = "vegas"
    GRADIENT = "gradient"
    GRADIENT2 = "gradient2"
    LEGACY_VEGAS = "legacy_vegas"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottlingSettings:
    """`write.throttling`: how the write limit follows the exporting backlog."""

    enabled: bool = False
    acceptable_backlog: int = 100_000
    minimum_limit: int = 100
    resolution_ns: int = 15 * NS_PER_SECOND
    algorithm: ThrottlingAlgorithm = ThrottlingAlgorithm.PROPORTIONAL
    measurement_window_ns: int = 300 * NS_PER_SECOND
    measurement_resolution_ns: int = 10 * NS_PER_SECOND

    def __post_init__(self) -> None:
        _require(self.acceptable_backlog >= 0, "acceptableBacklog", "must be 0 or more", self.acceptable_backlog)
        _require(self.minimum_limit >= 0, "minimumLimit", "must be 0 or more", self.minimum_limit)
        _require(self.resolution_ns > 0, "resolution", "must be longer than 0", format_duration(self.resolution_ns))
        _require(
            self.measurement_resolution_ns > 0,
            "measurementResolution",
            "must be longer than 0",
            format_duration(self.measurement_resolution_ns),
        )
        _require(
            self.measurement_window_ns > self.measurement_resolution_ns,
            "measurementWindow",
            f"must be longer than measurementResolution ({format_duration(self.measurement_resolution_ns)})",
            format_duration(self.measurement_window_ns),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteLimitSettings:
    """`write`: the static limit in records per second, its ramp-up, and the throttle."""

    enabled: bool = False
    limit: int = 1000
    ramp_up_ns: int = 0
    throttling: ThrottlingSettings = field(default_factory=ThrottlingSettings)

    def __post_init__(self) -> None:
        if self.enabled:
            _require(self.limit > 0, "limit", "must be greater than 0 when the write limit is enabled", self.limit)
        _require(self.ramp_up_ns >= 0, "rampUp", "must be 0 or longer", format_duration(self.ramp_up_ns))
        # While the throttle is off its minimum says nothing, and a small limit needs no other key besides.
        if self.enabled and self.throttling.enabled:
            _require(
                self.throttling.minimum_limit <= self.limit,
                "throttling.minimumLimit",
                f"must not exceed limit ({self.limit})",
                self.throttling.minimum_limit,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AimdSettings:
    """`request.aimd`: additive increase, multiplicative decrease."""

    request_timeout_ns: int = 200 * NS_PER_MS
    initial_limit: int = 100
    min_limit: int = 1
    max_limit: int = 1000
    backoff_ratio: float = 0.9

    def __post_init__(self) -> None:
        _require(
            self.request_timeout_ns > 0,
            "requestTimeout",
            "must be longer than 0",
            format_duration(self.request_timeout_ns),
        )
        _require(self.min_limit > 0, "minLimit", "must be greater than 0", self.min_limit)
        _require(
            self.max_limit >= self.min_limit,
            "maxLimit",
            f"must not be below minLimit ({self.min_limit})",
            self.max_limit,
        )
        _require(
            self.min_limit <= self.initial_limit <= self.max_limit,
            "initialLimit",
            f"must lie between minLimit ({self.min_limit}) and maxLimit ({self.max_limit})",
            self.initial_limit,
        )
        _require(0.5 <= self.backoff_ratio < 1, "backoffRatio", "must be at least 0.5 and below 1", self.backoff_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedSettings:
    """`request.fixed`: a constant limit."""

    limit: int = 20

    def __post_init__(self) -> None:
        _require(self.limit > 0, "limit", "must be greater than 0", self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class VegasSettings:
    """`request.vegas`: keeps the estimated queue between alpha and beta."""

    alpha: int = 3
    beta: int = 6
    initial_limit: int = 20

    def __post_init__(self) -> None:
        _require(self.alpha > 0, "alpha", "must be greater than 0", self.alpha)
        _require(self.beta > 0, "beta", "must be greater than 0", self.beta)
        _require(self.initial_limit > 0, "initialLimit", "must be greater than 0", self.initial_limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientSettings:
    """`request.gradient`: follows the ratio of the shortest to the present round trip."""

    min_limit: int = 10
    initial_limit: int = 20
    rtt_tolerance: float = 2.0

    def __post_init__(self) -> None:
        _require(self.min_limit > 0, "minLimit", "must be greater than 0", self.min_limit)
        _require(
            self.initial_limit >= self.min_limit,
            "initialLimit",
            f"must not be below minLimit ({self.min_limit})",
            self.initial_limit,
        )
        _require(self.rtt_tolerance >= 1.0, "rttTolerance", "must be at least 1", self.rtt_tolerance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient2Settings(GradientSettings):
    """`request.gradient2`: follows the ratio of the long-term to the present round trip."""

    long_window: int = 600

    def __post_init__(self) -> None:
        # Named: a slotted dataclass is a new class, and a bare super() would still see the old one.
        GradientSettings.__post_init__(self)
        _require(self.long_window > 0, "longWindow", "must be greater than 0", self.long_window)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyVegasSettings:
    """`request.legacyVegas`: the first Vegas, with bounds as shares of the limit."""

    initial_limit: int = 1024
    max_concurrency: int = 32768
    alpha_limit: float = 0.7
    beta_limit: float = 0.95

    def __post_init__(self) -> None:
        _require(self.initial_limit > 0, "initialLimit", "must be greater than 0", self.initial_limit)
        _require(
            self.max_concurrency >= self.initial_limit,
            "maxConcurrency",
            f"must not be below initialLimit ({self.initial_limit})",
            self.max_concurrency,
        )
        _require(self.alpha_limit > 0, "alphaLimit", "must be greater than 0", self.alpha_limit)
        _require(
            self.beta_limit >= self.alpha_limit,
            "betaLimit",
            f"must not be below alphaLimit ({self.alpha_limit})",
            self.beta_limit,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimitSettings:
    """`request`: the adaptive limit on user commands in flight."""

    enabled: bool = False
    use_windowed: bool = True
    algorithm: RequestAlgorithm = RequestAlgorithm.AIMD
    aimd: AimdSettings = field(default_factory=AimdSettings)
    fixed: FixedSettings = field(default_factory=FixedSettings)
    vegas: VegasSettings = field(default_factory=VegasSettings)
    gradient: GradientSettings = field(default_factory=GradientSettings)
    gradient2: Gradient2Settings = field(default_factory=Gradient2Settings)
    legacy_vegas: LegacyVegasSettings = field(default_factory=LegacyVegasSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowControlSettings:
    """All of flow control for one partition. `write` is None until it was configured or posted."""

    write: WriteLimitSettings | None = None
    request: RequestLimitSettings = field(default_factory=RequestLimitSettings)
    # Whether what is set by hand at run time outlives a restart.
    persist_overrides: bool = False
