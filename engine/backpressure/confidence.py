"""How far the ratio of a few samples may lie from the truth."""

from __future__ import annotations

from math import sqrt

# Two-sided 95 %.
_Z = 1.959964


def wilson_interval(matching: int, samples: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share of which `matching` of `samples` independent looks were seen.

    It stays inside 0 to 1 and is not empty at the ends, where the textbook interval is; without samples it is all of
    0 to 1. Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    assert 0 <= matching <= samples
    if samples == 0:
        return 0.0, 1.0
    share = matching / samples
    square = _Z * _Z / samples
    centre = (share + square / 2) / (1 + square)
    half = _Z * sqrt(share * (1 - share) / samples + square / (4 * samples)) / (1 + square)
    # The ends are exact where rounding would miss them by a hair: the interval holds the share.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
