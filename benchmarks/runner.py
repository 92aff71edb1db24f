"""Runs benchmarks one after the other, shows how far they are, and gathers what they say."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import table
from benchmarks.conditions import conditions, versions
from benchmarks.goals import GOALS
from benchmarks.study import Pace, Report, Study

# What a run without names takes: in the order of the table, and those behind measure no goal.
NAMES = (
    *("append", "gate", "channels", "flights", "workers", "sampler", "scrape", "cells", "gateway", "hour"),
    *("restart", "control", "hammer", "throttled", "tracing"),
)
# Only by name: each takes minutes.
LONG = ("retry_after", "hostile_json")


def imported(name: str) -> Study:
    study: Study = importlib.import_module(f"benchmarks.{name}")
    return study


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run has found: the tables of each benchmark, and the table of all goals."""

    heading: str
    versions: Mapping[str, str]
    reports: Mapping[str, Report]
    rows: Sequence[table.Row]
    seconds: Mapping[str, float]

    @property
    def markdown(self) -> str:
        peers = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{self.heading}; {peers}.\n\n{table.markdown(self.rows)}\n\n{table.summary(self.rows)}.\n"

    @property
    def document(self) -> dict[str, object]:
        return {
            "conditions": self.heading,
            "versions": dict(self.versions),
            "seconds": {name: round(seconds, 1) for name, seconds in self.seconds.items()},
            "goals": [row.document for row in self.rows],
            "tables": {name: report.text for name, report in self.reports.items()},
        }


def measured(
    names: Sequence[str], *, quick: bool, console: Console, study: Callable[[str], Study] = imported
) -> Outcome:
    """Runs them all. One that fails does not end the run; its goals say what it failed of."""
    reports: dict[str, Report] = {}
    failures: dict[str, str] = {}
    seconds: dict[str, float] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        whole = bars.add_task("benchmarks", total=len(names))
        one = bars.add_task("", total=None)

        for name in names:

            def progressed(what: str, done: int, of: int, name: str = name) -> None:
                bars.update(one, description=f"{name} {what}".strip(), completed=done, total=of)

            bars.reset(one, description=name, total=None)
            began = time.monotonic()
            try:
                reports[name] = study(name).run(Pace(quick=quick, progressed=progressed))
            except Exception as error:
                failures[name] = f"{type(error).__name__}: {error}".splitlines()[0]
                console.print_exception()
            seconds[name] = time.monotonic() - began
            if name in reports:
                console.print(f"{reports[name].text}\n", markup=False, highlight=False, soft_wrap=True)
            bars.advance(whole)
    return Outcome(
        heading=conditions() + (", quick" if quick else ""),
        versions=versions(),
        reports=reports,
        rows=table.rows(GOALS, reports, failures),
        seconds=seconds,
    )


def show(outcome: Outcome, console: Console, *, json_file: Path | None, markdown_file: Path | None) -> None:
    """The table at the end, and the files that were asked for."""
    console.print(table.for_terminal(outcome.rows))
    console.print(outcome.heading, markup=False, highlight=False, soft_wrap=True)
    console.print(", ".join(f"{name} {version}" for name, version in outcome.versions.items()), highlight=False)
    if json_file:
        json_file.write_text(json.dumps(outcome.document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if markdown_file:
        markdown_file.write_text(outcome.markdown, encoding="utf-8")
