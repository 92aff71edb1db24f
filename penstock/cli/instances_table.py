"""The instances of a running pipeline as two tables."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from engine.core.condition import time_of_day
from penstock.cli.folded_table import FoldedTable

_NS = 1_000_000_000
_STYLES = {"running": "green", "failed": "bold red"}


def table(answer: Any) -> RenderableType:
    """A row for each instance, then one for each partition; below what keeps partitions from running."""
    instances = FoldedTable(names=1)
    instances.add_columns("instance", "since", "partitions", "gateway", "version", "differs")
    for one in answer["instances"]:
        instances.add_row(
            Text(one["name"] + (" (asked)" if one["isMe"] else "")),
            _time(one["startedAt"]),
            ", ".join(map(str, one["partitions"])) or "–",
            one["gateway"] or "–",
            one["version"] or "–",
            Text(", ".join(one["differs"]) or "–", style="yellow" if one["differs"] else ""),
        )
    partitions = FoldedTable(names=1)
    partitions.add_columns("partition", "owner", "state", "since")
    partitions.add_columns("rows left", "about", justify="right")
    for part in answer["partitions"]:
        state = part["state"] or "–"
        left, seconds = part["restoreRemainingRows"], part["restoreSecondsLeft"]
        partitions.add_row(
            str(part["partition"]),
            Text(part["owner"] or "nobody", style="" if part["owner"] else "bold red"),
            Text(state, style=_STYLES.get(state, "yellow")),
            "–" if part["since"] is None else _time(part["since"]),
            "–" if left is None else f"{left:,}",
            "–" if seconds is None else f"{math.ceil(seconds)} s",
        )
    whys = [Text(f"partition {part['partition']}: {part['why']}") for part in answer["partitions"] if part["why"]]
    return Group(instances, Text(), partitions, *([Text(), *whys] if whys else []))


def _time(seconds: float) -> str:
    return time_of_day(int(seconds * _NS))
