"""The record exporters of a running pipeline as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from penstock.cli.folded_table import FoldedTable

_STYLES = {"exporting": "green", "retrying": "bold red", "paused": "yellow", "closed": "dim"}


def table(answer: Any) -> RenderableType:
    """A row for each exporter and partition; below it what went wrong last."""
    if not answer["exporters"]:
        return Text("the pipeline has no exporters")
    rows = FoldedTable(names=2)
    rows.add_columns("exporter", "partition", "state")
    rows.add_columns("acknowledged", "backlog", "oldest", "exported", "skipped", "errors", justify="right")
    for exporter in answer["exporters"]:
        for part in exporter["partitions"]:
            rows.add_row(
                Text(exporter["exporter"]),
                str(part["partition"]),
                Text(part["state"], style=_STYLES[part["state"]]),
                f"{part['acknowledgedPosition']:,}",
                f"{part['backlog']:,}",
                _age(part),
                f"{part['exportedRecords']:,}",
                f"{part['skippedRecords']:,}",
                f"{part['errors']:,}",
            )
    return Group(rows, *_errors(answer))


def _age(part: Any) -> str:
    if not part["backlog"]:
        return "–"
    seconds = part["oldestUnexportedAgeSeconds"]
    return "?" if seconds is None else f"{seconds:,.1f} s"


def _errors(answer: Any) -> Iterator[RenderableType]:
    for exporter in answer["exporters"]:
        for part in exporter["partitions"]:
            if part["lastError"] is not None:
                ago = answer["takenAt"] - part["lastErrorAt"]
                place = f"{exporter['exporter']} on partition {part['partition']}"
                yield Text(f"{place}, {ago:,.0f} s ago: {part['lastError']}")
