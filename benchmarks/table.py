"""The table at the end of a run: every goal, what was measured for it, and whether that is enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks.conditions import Spread
from benchmarks.goals import Goal
from benchmarks.study import Report

HEAD = ("what", "goal", "measured", "n", "verdict")


@dataclass(frozen=True, slots=True)
class Row:
    """A goal and its samples; without samples, why there are none."""

    goal: Goal
    samples: tuple[float, ...] = ()
    missing: str = "not run"

    @property
    def is_met(self) -> bool | None:
        """By the median; None where nothing was measured."""
        return self.goal.is_met_by(Spread.of(self.samples).median) if self.samples else None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "missed", None: self.missing}[self.is_met]

    @property
    def measured(self) -> str:
        if not self.samples:
            return "–"
        spread = Spread.of(self.samples)
        digits = 2 if spread.median < 10 else 1 if spread.median < 100 else 0
        return f"{spread.text(f'{{:.{digits}f}}')}{f' {self.goal.unit}' if self.goal.unit else ''}"

    @property
    def cells(self) -> tuple[str, ...]:
        return self.goal.what, self.goal.text, self.measured, str(len(self.samples)), self.verdict

    @property
    def document(self) -> dict[str, Any]:
        spread = Spread.of(self.samples) if self.samples else None
        return {
            "name": self.goal.name,
            "what": self.goal.what,
            "must_be": self.goal.must_be,
            "bound": self.goal.bound,
            "unit": self.goal.unit,
            "benchmark": self.goal.by,
            "samples": list(self.samples),
            "median": spread.median if spread else None,
            "met": self.is_met,
            "verdict": self.verdict,
        }


def rows(goals: Iterable[Goal], reports: Mapping[str, Report], failures: Mapping[str, str]) -> list[Row]:
    """One row a goal, in order, whether its benchmark ran or not. `failures`: of benchmarks, in a few words."""
    found = []
    for goal in goals:
        report = reports.get(goal.by)
        if goal.by in failures:
            found.append(Row(goal, missing=f"failed: {failures[goal.by]}"))
        elif report is None:
            found.append(Row(goal))
        else:
            samples = tuple(report.samples.get(goal.name, ()))
            found.append(Row(goal, samples, report.missing.get(goal.name, "not measured")))
    return found


def summary(found: Sequence[Row]) -> str:
    met = sum(row.is_met is True for row in found)
    missed = sum(row.is_met is False for row in found)
    return f"{met} met, {missed} missed, {len(found) - met - missed} not measured"


def markdown(found: Sequence[Row]) -> str:
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for row in found:
        verdict = f"**{row.verdict}**" if row.is_met is False else row.verdict
        lines.append(f"| {' | '.join((*row.cells[:-1], verdict))} |")
    return "\n".join(lines)


def for_terminal(found: Sequence[Row]) -> Table:
    table = Table(*HEAD, caption=summary(found))
    for row in found:
        style = {True: "green", False: "red", None: "dim"}[row.is_met]
        table.add_row(*row.cells[:-1], f"[{style}]{row.verdict}[/]")
    return table
