"""The limits of a running pipeline as a table, and what a change of them did as lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from penstock.cli.folded_table import FoldedTable


def limits(answer: Any) -> RenderableType:
    """A row for each partition; below it why, where there is a reason, and what was set by hand."""
    partitions: Mapping[str, Any] = answer["partitions"]
    if not partitions:
        return Text("the pipeline has not started yet")
    table = FoldedTable()
    table.add_columns("partition", "limit/s", "of", "backlog", "acceptable", "exported/s", "written/s", justify="right")
    table.add_columns("in flight", "waiting", justify="right")
    table.add_columns("state")
    notes: list[RenderableType] = []
    for number, partition in partitions.items():
        now = partition["effective"]
        if now is None:
            table.add_row(number)
            continue
        table.add_row(
            number,
            _number(now["writeLimit"]),
            _number(now["writeLimitMax"]),
            _number(now["backlog"]),
            _number(now["acceptableBacklog"]),
            _number(now["exportingRate"]),
            _number(now["writeRate"]),
            _in_flight(now),
            _number(now["waitingWriters"]),
            _state(now, partition["override"]),
        )
        notes.append(Text(f"{number}: {now['reason']}", style="dim"))
        notes += [Text(f"{number}: {line}") for line in _by_hand(partition, answer["configured"])]
    return Group(table, Text(""), *notes)


def changes(answer: Any) -> Iterator[str]:
    """What a change did to each partition, or would do."""
    dry = answer["dryRun"]
    for number, changed in answer["changes"].items():
        until = "" if dry else _until(answer["partitions"][number]["override"])
        for change in changed:
            key = change["pointer"].removeprefix("/").replace("/", ".")
            old, new = _value(change["from"]), _value(change["to"])
            yield f"partition {number}: {key} {'would become' if dry else 'is now'} {new}, was {old}{until}"
        if not changed:
            yield f"partition {number}: nothing {'would change' if dry else 'changed'}{until}"


def _state(now: Mapping[str, Any], override: object) -> Text:
    text = Text()
    if now["throttled"]:
        text.append("throttled", style="black on yellow")
    elif now["writeLimit"] is None:
        text.append("not limited")
    elif now["rampUpRate"] is not None and now["rampUpRate"] < now["writeLimit"]:
        text.append(f"ramping up, {_number(now['rampUpRate'])}/s")
    else:
        text.append("open", style="green")
    if override is not None:
        text.append(", set by hand", style="magenta")
    return text


def _by_hand(partition: Mapping[str, Any], configured: Mapping[str, Any]) -> Iterator[str]:
    override = partition["override"]
    if override is None:
        return
    by = f" by {override['by']}" if override["by"] else ""
    yield f"set by hand{by} at {_clock(override['since'])}{_until(override)}:"
    here, there = dict(_leaves("", partition["settings"])), dict(_leaves("", configured))
    for key in dict.fromkeys([*there, *here]):
        if here.get(key) != there.get(key):
            yield f"  {key} {_value(here.get(key))}, configured {_value(there.get(key))}"


def _leaves(above: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{above}.{key}" if above else key, inner)
    else:
        yield above, value


def _in_flight(now: Mapping[str, Any]) -> str:
    if now["requestLimit"] is None:
        return "–"
    return f"{_number(now['requestsInFlight'])} of {_number(now['requestLimit'])}"


def _until(override: Mapping[str, Any] | None) -> str:
    return "" if override is None or override["until"] is None else f", until {_clock(override['until'])}"


def _clock(seconds: float) -> str:
    """The reader's own time, with the day where it is not today."""
    moment = datetime.fromtimestamp(seconds).astimezone()
    today = datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M:%S")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _value(value: object) -> str:
    match value:
        case None:
            return "not set"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
