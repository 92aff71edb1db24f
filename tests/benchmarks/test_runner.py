"""The runner of the benchmarks: what is selected, what is gathered, what the table of goals says."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks import table
from benchmarks.__main__ import ALONE, arguments
from benchmarks.conditions import Spread, ratios
from benchmarks.goals import GOALS, Goal
from benchmarks.runner import NAMES, Outcome, measured, show
from benchmarks.study import Pace, Report

FLOOR = Goal("fast", "ours ÷ theirs", "at least", 2, "one")
CEILING = Goal("lean", "memory", "at most", 150, "two", "MB")


class Saying:
    """A benchmark that has its samples at hand."""

    def __init__(self, report: Report | Exception) -> None:
        self._report = report

    def run(self, pace: Pace) -> Report:
        if isinstance(self._report, Exception):
            raise self._report
        list(pace.repetitions(3, 1, "looking"))
        return self._report


def silent() -> Console:
    return Console(file=io.StringIO(), width=160)


def outcome_of(report: Report | Exception, name: str = "cells") -> Outcome:
    return measured([name], quick=True, console=silent(), study=lambda _: Saying(report))


def test_a_ratio_is_paired_repetition_by_repetition() -> None:
    assert ratios([2, 30, 8], [1, 10, 2]).values == (2, 3, 4)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=9))
def test_the_median_lies_within_the_range_that_is_shown(values: list[float]) -> None:
    spread = Spread.of(values)
    assert min(values) <= spread.median <= max(values)
    assert spread.text().startswith(f"{spread.median:.2f} [{min(values):.2f}..")


@pytest.mark.parametrize(
    ("goal", "samples", "verdict"),
    [
        (FLOOR, (1.0, 2.0, 9.0), "met"),
        (FLOOR, (1.9, 1.0, 9.0), "missed"),
        (CEILING, (150.0,), "met"),
        (CEILING, (151.0, 152.0, 1.0), "missed"),
        (CEILING, (), "not run"),
    ],
)
def test_the_median_decides_whether_a_goal_is_met(goal: Goal, samples: tuple[float, ...], verdict: str) -> None:
    assert table.Row(goal, samples).verdict == verdict


def test_every_goal_has_a_row_whatever_was_run() -> None:
    found = table.rows((FLOOR, CEILING), {"one": Report("", {"fast": [3.0]})}, {})
    assert [(row.goal.name, row.verdict) for row in found] == [("fast", "met"), ("lean", "not run")]


def test_a_goal_without_samples_says_why() -> None:
    reports = {"one": Report("", missing={"fast": "the peer is not installed"}), "two": Report("")}
    assert [row.verdict for row in table.rows((FLOOR, CEILING), reports, {})] == [
        "the peer is not installed",
        "not measured",
    ]
    failed = table.rows((FLOOR,), {}, {"one": "OSError: no disk"})
    assert failed[0].verdict == "failed: OSError: no disk"
    assert failed[0].is_met is None


def test_the_table_shows_goal_median_range_and_number() -> None:
    text = table.markdown([table.Row(CEILING, (149.0, 151.0, 160.0)), table.Row(FLOOR, (2.5,))])
    assert text.splitlines()[2:] == [
        "| memory | ≤ 150 MB | 151 [149..160] MB | 3 | **missed** |",
        "| ours ÷ theirs | ≥ 2 | 2.50 [2.50..2.50] | 1 | met |",
    ]


def test_goals_have_names_of_their_own_and_a_benchmark_that_exists() -> None:
    names = [goal.name for goal in GOALS]
    assert len(set(names)) == len(names)
    assert {goal.by for goal in GOALS} <= set(NAMES)


def test_all_benchmarks_run_unless_some_are_named() -> None:
    assert arguments([]).names == list(NAMES)
    assert arguments(["gate", "--only", "append", "gate", "--quick"]).names == ["gate", "append"]


def test_a_name_that_there_is_not_ends_with_the_names_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(["--only", "gait"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in (*NAMES, *ALONE))


def test_a_run_gathers_the_samples_of_its_benchmarks() -> None:
    outcome = outcome_of(Report("a table", {"counter": [0.05, 0.3, 0.1]}))
    (row,) = (row for row in outcome.rows if row.goal.name == "counter")
    assert (row.samples, row.verdict) == ((0.05, 0.3, 0.1), "met")
    assert outcome.heading.endswith(", quick")


def test_a_benchmark_that_fails_does_not_end_the_run() -> None:
    outcome = outcome_of(OSError("no disk"))
    assert {row.verdict for row in outcome.rows if row.goal.by == "cells"} == {"failed: OSError: no disk"}


def test_the_files_hold_every_goal(tmp_path: Path) -> None:
    outcome = outcome_of(Report("a table", {"counter": [0.1]}))
    show(outcome, silent(), json_file=tmp_path / "all.json", markdown_file=tmp_path / "all.md")
    document = json.loads((tmp_path / "all.json").read_text())
    assert [goal["name"] for goal in document["goals"]] == [goal.name for goal in GOALS]
    assert document["tables"] == {"cells": "a table"}
    text = (tmp_path / "all.md").read_text()
    assert text.startswith(outcome.heading)
    assert all(goal.what in text for goal in GOALS)


def test_a_quick_pace_takes_fewer_repetitions_and_tells_of_each() -> None:
    told: list[tuple[str, int, int]] = []
    pace = Pace(quick=True, progressed=lambda what, done, of: told.append((what, done, of)))
    assert list(pace.repetitions(9, 2, "batch 1")) == [0, 1]
    assert told == [("batch 1", 0, 2), ("batch 1", 1, 2), ("batch 1", 2, 2)]
