"""By which power a cost grows: the slope of a straight line through its points on two logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

# Less than this above what was expected is the noise of a machine, not growth.
TOLERANCE = 0.15


@dataclass(frozen=True, slots=True)
class Growth:
    """cost ≈ constant · size^exponent. `steepest` is the exponent between the two neighbours where it is highest."""

    exponent: float
    steepest: float
    # The size at which that steepest step ends.
    steepest_at: float

    def is_within(self, expected: float) -> bool:
        return self.exponent <= expected + TOLERANCE


def growth(points: Mapping[float, float]) -> Growth:
    """Least squares over (log size, log cost). Needs two sizes or more, all sizes and costs above 0."""
    assert len(points) >= 2, "a slope needs two points"
    assert all(size > 0 and cost > 0 for size, cost in points.items()), "logarithms need more than 0"
    logs = sorted((math.log(size), math.log(cost)) for size, cost in points.items())
    mean_size = sum(size for size, _ in logs) / len(logs)
    mean_cost = sum(cost for _, cost in logs) / len(logs)
    spread = sum((size - mean_size) ** 2 for size, _ in logs)
    exponent = sum((size - mean_size) * (cost - mean_cost) for size, cost in logs) / spread
    steps = [
        ((cost - before_cost) / (size - before_size), math.exp(size))
        for (before_size, before_cost), (size, cost) in pairwise(logs)
    ]
    steepest, at = max(steps)
    return Growth(exponent, steepest, at)
