"""Durations for people."""

from __future__ import annotations

import pytest

from engine.core.durations import shown_duration


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (849_600_000, "850ms"),
        (400_000, "0s"),
        (1_000_000_000, "1s"),
        (49_442_000_000, "49.4s"),
        (59_990_000_000, "60s"),
        (133_400_000_000, "2m13s"),
        (-2_500_000_000, "-2.5s"),
        (100_790_000_000_000, "1d4h"),
    ],
)
def test_what_people_are_shown_has_few_digits(ns: int, text: str) -> None:
    assert shown_duration(ns) == text
