"""Back pressure of a running pipeline as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from penstock.cli.folded_table import FoldedTable

_STYLES = {"ok": "green", "low": "yellow", "high": "bold red"}


def tasks(answer: Any) -> RenderableType:
    """A row for each subtask, in the order in which records flow; above it the task to blame.

    Above, for a window that is too low for all of it shows the beginning.
    """
    if not answer["tasks"]:
        return Text("the pipeline has not started yet")
    blamed = answer["bottleneck"]
    table = FoldedTable()
    table.add_columns("task")
    table.add_columns("ratio", justify="right")
    table.add_columns("95 %", "level")
    table.add_columns("busy", "idle", "held", justify="right")
    table.add_columns("waits for")
    for task in answer["tasks"]:
        for subtask in task["subtasks"]:
            table.add_row(*_row(task, subtask, blamed))
    return Group(*_notes(answer), Text(""), table)


def _row(task: Mapping[str, Any], subtask: Mapping[str, Any], blamed: Mapping[str, Any] | None) -> Iterator[Text | str]:
    name = task["task"] if task["parallelism"] == 1 else f"{task['task']}/{subtask['subtask']}"
    is_blamed = blamed is not None and blamed["id"] == task["id"] and blamed["subtask"] in (None, subtask["subtask"])
    yield Text(f"{name} ◀", style="bold red") if is_blamed else Text(name)
    sampled = subtask["sampled"]
    if subtask["status"] != "running":
        yield from ("–", Text(subtask["status"], style="dim"), "")
    elif sampled is None:
        yield from ("–", Text(_why_nothing(task), style="dim"), "")
    else:
        yield f"{sampled['ratio']:.2f}"
        yield Text("" if sampled["low"] is None else f"{sampled['low']:.2f}–{sampled['high']:.2f}", style="dim")
        yield Text(sampled["level"].upper(), style=_STYLES[sampled["level"]])
    recent = subtask["recent"]
    if recent is None:
        yield from ("–", "–", "–", "")
        return
    for share in (recent["busy"], recent["idle"], recent["backPressured"]):
        yield f"{share:.0%}"
    reasons = sorted(recent["byReason"].items(), key=lambda item: -item[1])
    yield ", ".join(f"{reason.replace('_', ' ')} {share:.0%}" for reason, share in reasons if share >= 0.005)


def _why_nothing(task: Mapping[str, Any]) -> str:
    sampling = task["sampling"]
    return "" if sampling is None else f"sampling {sampling['taken']}/{sampling['of']}"


def _notes(answer: Mapping[str, Any]) -> Iterator[Text]:
    blamed = answer["bottleneck"]
    if blamed is None:
        yield Text("nobody is held back", style="green")
    else:
        yield Text.assemble(("to blame: ", "bold"), blamed["text"])
    for task in answer["tasks"]:
        if task["problem"]:
            yield Text(f"{task['task']}: {task['problem']}", style="dim")
