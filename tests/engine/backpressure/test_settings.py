from __future__ import annotations

import pytest

from engine.backpressure.settings import BackPressureMode, BackPressureSettings
from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import SettingError


def test_the_defaults_are_the_documented_ones_and_the_sampler_always_runs() -> None:
    settings = BackPressureSettings()
    assert settings.mode is BackPressureMode.CONTINUOUS
    assert settings.num_samples == 100
    assert settings.delay_between_samples_ns == 50 * NS_PER_MS
    assert settings.refresh_interval_ns == 60 * NS_PER_SECOND
    assert settings.cleanup_interval_ns == 600 * NS_PER_SECOND


@pytest.mark.parametrize(
    ("field", "good", "bad", "text"),
    [
        ("num_samples", 1, 0, "num-samples must be at least 1, not 0"),
        ("num_samples", 1, -1, "num-samples must be at least 1, not -1"),
        ("delay_between_samples_ns", 1, 0, "delay-between-samples must be longer than 0, not 0s"),
        ("delay_between_samples_ns", 1, -NS_PER_MS, "delay-between-samples must be longer than 0, not -1ms"),
        ("refresh_interval_ns", 0, -NS_PER_SECOND, "refresh-interval must be 0 or longer, not -1s"),
        ("cleanup_interval_ns", 0, -NS_PER_SECOND, "cleanup-interval must be 0 or longer, not -1s"),
    ],
)
def test_a_value_outside_its_bound_is_refused_with_the_key_and_the_rule(
    field: str, good: int, bad: int, text: str
) -> None:
    assert getattr(BackPressureSettings(**{field: good}), field) == good  # type: ignore[arg-type]
    with pytest.raises(SettingError) as raised:
        BackPressureSettings(**{field: bad})  # type: ignore[arg-type]
    assert str(raised.value) == text
