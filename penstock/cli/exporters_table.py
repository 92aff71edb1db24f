"""The record exporters of a running pipeline as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_STYLES = {"exporting": "green", "retrying": "bold red", "paused": "yellow", "closed": "dim"}


def table(answer: Any) -> RenderableType:
    """A row for each exporter and partition; below it what went wrong last."""
    if not answer["exporters"]:
        return Text("the pipeline has no exporters")
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("exporter", "partition", "state"):
        rows.add_column(heading, no_wrap=True)
    for heading in ("acknowledged", "backlog", "oldest", "exported", "skipped", "errors"):
        rows.add_column(heading, justify="right", no_wrap=True)
    for exporter in answer["exporters"]:
        for part in exporter["partitions"]:
            rows.add_row(
                Text(exporter["exporter"]),
                str(part["partition"]),
                Text(part["state"], style=_STYLES[part["state"]]),
                f"{part['acknowledgedPosition']:,}",
                f"{part['backlog']:,}",
                f"{part['oldestUnexportedAgeSeconds']:,.1f} s" if part["backlog"] else "–",
                f"{part['exportedRecords']:,}",
                f"{part['skippedRecords']:,}",
                f"{part['errors']:,}",
            )
    return Group(rows, *_errors(answer))


def _errors(answer: Any) -> Iterator[RenderableType]:
    for exporter in answer["exporters"]:
        for part in exporter["partitions"]:
            if part["lastError"] is not None:
                ago = answer["takenAt"] - part["lastErrorAt"]
                place = f"{exporter['exporter']} on partition {part['partition']}"
                yield Text(f"{place}, {ago:,.0f} s ago: {part['lastError']}")
