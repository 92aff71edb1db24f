"""What Grafana does with a query before Prometheus sees it, and with an annotation's answer afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Prometheus answers no query of more points, so Grafana asks for none.
POINTS_MAX = 11_000
_ROUND_STEPS = (1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What the reader looks at, in Unix seconds, and how finely."""

    start: int
    end: int
    step: int
    scrape_interval: int = 5

    @property
    def seconds(self) -> int:
        return self.end - self.start

    @property
    def executed_step(self) -> int:
        """The step asked for, or the next round one at which the points are few enough."""
        return next(step for step in _ROUND_STEPS if step >= self.step and self.seconds / step <= POINTS_MAX)

    def filled_in(self, expression: str) -> str:
        """The expression with macros and variables replaced; every variable is at All."""
        step = self.executed_step
        values = {
            "__interval": f"{step}s",
            "__interval_ms": str(1000 * step),
            "__rate_interval": f"{max(step + self.scrape_interval, 4 * self.scrape_interval)}s",
            "__range": f"{self.seconds}s",
            "__range_s": str(self.seconds),
        }
        return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], ".+"), expression)


def regions(samples: Iterable[tuple[float, float]], step: float) -> list[tuple[float, float]]:
    """Annotation regions: samples above 0 that are at most a step apart belong together."""
    found: list[tuple[float, float]] = []
    for time, value in samples:
        if value <= 0:
            continue
        if found and found[-1][1] + step >= time:
            found[-1] = (found[-1][0], time)
        else:
            found.append((time, time))
    return found
