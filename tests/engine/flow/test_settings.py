"""Each rule of the flow control settings, on both sides of its bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import SettingError
from engine.flow.settings import (
    AimdSettings,
    FixedSettings,
    FlowControlSettings,
    Gradient2Settings,
    GradientSettings,
    LegacyVegasSettings,
    RequestAlgorithm,
    ThrottlingAlgorithm,
    ThrottlingSettings,
    VegasSettings,
    WriteLimitSettings,
)


def test_the_defaults_are_the_documented_ones_and_everything_is_disabled() -> None:
    settings = FlowControlSettings()
    assert settings.write is None
    assert not settings.request.enabled
    assert (settings.request.use_windowed, settings.request.algorithm) == (True, RequestAlgorithm.AIMD)
    write = WriteLimitSettings()
    assert (write.enabled, write.limit, write.ramp_up_ns) == (False, 1000, 0)
    throttling = write.throttling
    assert (throttling.enabled, throttling.acceptable_backlog, throttling.minimum_limit) == (False, 100_000, 100)
    assert throttling.resolution_ns == 15 * NS_PER_SECOND
    assert throttling.algorithm is ThrottlingAlgorithm.PROPORTIONAL
    assert (throttling.measurement_window_ns, throttling.measurement_resolution_ns) == (
        300 * NS_PER_SECOND,
        10 * NS_PER_SECOND,
    )


_ON = ThrottlingSettings(enabled=True, minimum_limit=100)


@pytest.mark.parametrize(
    ("settings", "field", "allowed", "refused"),
    [
        (lambda v: ThrottlingSettings(acceptable_backlog=v), "acceptableBacklog", 0, -1),
        (lambda v: ThrottlingSettings(minimum_limit=v), "minimumLimit", 0, -1),
        (lambda v: ThrottlingSettings(resolution_ns=v), "resolution", 1, 0),
        (
            lambda v: ThrottlingSettings(measurement_resolution_ns=v, measurement_window_ns=5),
            "measurementResolution",
            1,
            0,
        ),
        (
            lambda v: ThrottlingSettings(measurement_resolution_ns=5, measurement_window_ns=v),
            "measurementWindow",
            6,
            5,
        ),
        (lambda v: WriteLimitSettings(enabled=True, limit=v), "limit", 1, 0),
        (lambda v: WriteLimitSettings(enabled=True, limit=v, throttling=_ON), "throttling.minimumLimit", 100, 99),
        (lambda v: WriteLimitSettings(ramp_up_ns=v), "rampUp", 0, -1),
        (lambda v: AimdSettings(request_timeout_ns=v), "requestTimeout", 1, 0),
        (lambda v: AimdSettings(min_limit=v), "minLimit", 1, 0),
        (lambda v: AimdSettings(initial_limit=v, min_limit=10), "initialLimit", 10, 9),
        (lambda v: AimdSettings(initial_limit=v, max_limit=200), "initialLimit", 200, 201),
        (lambda v: AimdSettings(initial_limit=10, min_limit=10, max_limit=v), "maxLimit", 10, 9),
        (lambda v: AimdSettings(backoff_ratio=v), "backoffRatio", 0.5, 0.49),
        (lambda v: AimdSettings(backoff_ratio=v), "backoffRatio", 0.99, 1.0),
        (lambda v: FixedSettings(limit=v), "limit", 1, 0),
        (lambda v: VegasSettings(alpha=v), "alpha", 1, 0),
        (lambda v: VegasSettings(beta=v), "beta", 1, 0),
        (lambda v: VegasSettings(initial_limit=v), "initialLimit", 1, 0),
        (lambda v: GradientSettings(min_limit=v), "minLimit", 1, 0),
        (lambda v: GradientSettings(initial_limit=v), "initialLimit", 10, 9),
        (lambda v: GradientSettings(rtt_tolerance=v), "rttTolerance", 1.0, 0.99),
        (lambda v: Gradient2Settings(rtt_tolerance=v), "rttTolerance", 1.0, 0.99),
        (lambda v: Gradient2Settings(long_window=v), "longWindow", 1, 0),
        (lambda v: LegacyVegasSettings(initial_limit=v), "initialLimit", 1, 0),
        (lambda v: LegacyVegasSettings(max_concurrency=v), "maxConcurrency", 1024, 1023),
        (lambda v: LegacyVegasSettings(alpha_limit=v, beta_limit=0.5), "alphaLimit", 0.1, 0.0),
        (lambda v: LegacyVegasSettings(alpha_limit=0.5, beta_limit=v), "betaLimit", 0.5, 0.4),
    ],
)
def test_a_bound_is_allowed_and_what_lies_beyond_is_refused_with_its_field(
    settings: Callable[[Any], object], field: str, allowed: float, refused: float
) -> None:
    settings(allowed)
    with pytest.raises(SettingError) as error:
        settings(refused)
    assert error.value.field == field
    assert str(error.value).startswith(f"{field} must ")


def test_a_disabled_write_limit_needs_no_limit() -> None:
    WriteLimitSettings(enabled=False, limit=0)


def test_a_small_limit_needs_no_minimum_while_throttling_is_off() -> None:
    WriteLimitSettings(enabled=True, limit=1)
