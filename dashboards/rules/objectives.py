"""What is promised, and the alerts that say when the promise is being broken too fast.

A budget is the share of 30 days that may go wrong. An alert fires when it is used up much faster than evenly, seen
over a long window, and still is, seen over a short one: it comes soon, ends soon, and does not fire for a blip.
Source: the workbook on site reliability engineering of Google (2018), chapter 5, "multiwindow, multi-burn-rate".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dashboards.promql import Expression
from dashboards.rules.rule import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """The budget is used up `factor` times too fast over both windows."""

    long: str
    short: str
    factor: float


# 2 % of the budget within an hour, 5 % within six: somebody gets up. 10 % within three days: a ticket.
BURNS = {
    Severity.PAGE: (Burn(long="1h", short="5m", factor=14.4), Burn(long="6h", short="30m", factor=6)),
    Severity.TICKET: (Burn(long="3d", short="6h", factor=1),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A share that must stay below its budget. `share(window)` is what it was over that window."""

    budget: float
    share: Callable[[str], Expression]

    def burning(self, severity: Severity) -> Expression:
        """The share over the longest window of those that burn too fast, so that the alert can say it."""
        conditions = [self._condition(burn) for burn in BURNS[severity]]
        burning = conditions[0]
        for condition in conditions[1:]:
            burning = burning.otherwise(condition)
        return burning

    def _condition(self, burn: Burn) -> Expression:
        bound = f"{burn.factor * self.budget:g}"
        return self.share(burn.long).above(bound).only_where(self.share(burn.short).above(bound))
