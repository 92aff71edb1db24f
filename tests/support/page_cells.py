"""What the web page has to show of an answer of the API, cell by cell, written a second time and in another language.

Each function takes documents of the API and gives rows of texts; `cells` and its like read the same from a page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.support.browser import Browser

Json = Mapping[str, Any]
UNKNOWN = "–"
SOURCES = {
    "acceptedUserCommandPerSecond": "User commands",
    "acceptedProcessingResultPerSecond": "Processing results",
    "acceptedInterPartitionPerSecond": "Inter-partition",
    "acceptedScheduledPerSecond": "Scheduled",
    "acceptedInternalPerSecond": "Internal",
}


# -- reading a page ---


def cells(browser: Browser, rows: str) -> list[list[str]]:
    """The texts of all cells of the table rows that the CSS selector finds."""
    found = f"[...document.querySelectorAll({json.dumps(rows)})]"
    return list(browser.evaluate(f"{found}.map((row) => [...row.cells].map((cell) => cell.textContent))"))


def numbers(browser: Browser) -> dict[str, str]:
    """The four numbers above the chart, by their ids."""
    found = "[...document.querySelectorAll('#numbers dd')].map((each) => [each.id, each.textContent])"
    return dict(browser.evaluate(found))


def nodes(browser: Browser) -> dict[str, list[str]]:
    """The job graph: name, both lines, badge and colour of each node by its id (`flow-control` and `log` by name)."""
    return dict(
        browser.evaluate("""
        [...document.querySelectorAll(".node")].map((node) => [
          node.dataset.task ?? node.getAttribute("class").split(" ")[1],
          [...[...node.querySelectorAll("text:not(.reading)")].map((text) => text.textContent),
           node.dataset.task ? node.querySelector("rect").getAttribute("fill") : ""],
        ])""")
    )


def edge_rates(browser: Browser) -> dict[tuple[str, str], str]:
    """What stands on each edge, by the ids of its ends."""
    found = browser.evaluate("""
        [...document.querySelectorAll(".edge-rate")].map((edge) =>
          [edge.dataset.from, edge.dataset.to, edge.textContent])""")
    return {(source, target): text for source, target, text in found}


# -- what they have to be ---


def graph_nodes(state: Json, history: Json) -> dict[str, list[str]]:
    """Of `/api/back-pressure` and `/api/history`."""
    blamed = state["bottleneck"]
    told = {task["id"]: _task_node(task, blamed is not None and blamed["id"] == task["id"]) for task in state["tasks"]}
    lowest = _worst(history, "writeLimitPerSecond", "writeLimitMaxPerSecond", sign=1)
    lines = ["no write limit", ""]
    if lowest is not None:
        number, limit, highest = lowest
        lines = [f"limit {rate(limit)}{_on(number, history)}", f"at most {rate(highest)}"]
    gate = blamed is not None and blamed["id"] is None and blamed["task"] == "flow-control"
    count = len(history["partitions"])
    told["flow-control"] = ["flow control", *lines, _badge(gate), ""]
    longest = _worst(history, "backlogRecords", "acceptableBacklogRecords", sign=-1)
    waiting = UNKNOWN if longest is None else f"{whole(longest[1])}{_on(longest[0], history)}"
    log = [f"{count} {'partition' if count == 1 else 'partitions'}", f"backlog {waiting}"]
    told["log"] = ["log", *log, "", ""]
    if history.get("gateway") is not None:
        count = history["gateway"]["connections"]
        told["gateway"] = [
            "gateway",
            "records over HTTP",
            "1 connection" if count == 1 else f"{whole(count)} connections",
            "",
            "",
        ]
    return told


def graph_rates(edges: Iterable[tuple[str, str]], history: Json) -> dict[tuple[str, str], str]:
    """Of `/api/history`, for the edges with these ends."""
    vertices = {vertex["id"]: vertex["columns"] for vertex in history["vertices"]}

    def flow(source: str, target: str) -> float | None:
        if source == "gateway":
            by_gateway: float | None = history["gateway"]["recordsPerSecond"]
            return by_gateway
        if source == "flow-control":
            return _recent(_summed(history, "acceptedPerSecond"))
        of, column = (target, "recordsInPerSecond") if source == "log" else (source, "recordsOutPerSecond")
        return _recent(vertices[of][column])

    return {(source, target): rate(flow(source, target)) for source, target in edges}


def number_texts(history: Json) -> dict[str, str]:
    """The four numbers for all partitions: backlog and limit of the worst, the exporting rate of all together."""
    exporting = _now(history, "exportingRatePerSecond")
    several = len(history["partitions"]) > 1
    throttled = [partition["partition"] for partition in history["partitions"] if partition["columns"]["throttled"][-1]]
    which = f", partition{'s' if len(throttled) > 1 else ''} {', '.join(map(str, throttled))}" if several else ""
    return {
        "backlog": _of_worst(history, "backlogRecords", "acceptableBacklogRecords", "records", "acceptable", sign=-1),
        "limit": _of_worst(history, "writeLimitPerSecond", "writeLimitMaxPerSecond", "records/s", "at most", sign=1),
        "rate": _number(exporting, "records/s in all" if several else "records/s", None, ""),
        "throttle": f"throttled{which}" if throttled else "not throttled",
    }


def _of_worst(history: Json, name: str, bound: str, unit: str, of_bound: str, *, sign: int) -> str:
    """Of the partition with the smallest share of its bound (`sign` 1), or the largest (-1), and which that is."""
    found = _worst(history, name, bound, sign=sign)
    if found is None:
        return _number(None, unit, None, of_bound)
    number, value, most = found
    where = f" on partition {number}" if len(history["partitions"]) > 1 else ""
    return _number(value, unit, most, of_bound) + where


def _worst(history: Json, name: str, bound: str, *, sign: int) -> tuple[int, float, float | None] | None:
    """Number, value and bound of the partition with the smallest share of its bound (`sign` 1), or the largest (-1)."""
    found = [
        (sign * (value / most if most else value), partition["partition"], value, most)
        for partition in history["partitions"]
        for value, most in [(partition["columns"][name][-1], partition["columns"][bound][-1])]
        if value is not None
    ]
    return min(found)[1:] if found else None


def _on(number: int, history: Json) -> str:
    return f" on {number}" if len(history["partitions"]) > 1 else ""


def partition_rows(limits: Json, history: Json) -> list[list[str]]:
    """Of `/api/flow-control` and `/api/history`."""
    columns = {str(partition["partition"]): partition["columns"] for partition in history["partitions"]}
    return [
        _partition_row(number, partition["effective"], columns.get(number, {}))
        for number, partition in limits["partitions"].items()
    ]


def episode_rows(told: Json) -> list[list[str]]:
    """Of `/api/throttling/episodes`."""
    rows = [
        [
            str(episode["partition"]),
            time_of_day(episode["start"]),
            "goes on" if episode["end"] is None else time_of_day(episode["end"]),
            duration(episode["throttledSeconds"]),
            rate(episode["lowestLimit"]),
            whole(episode["peakBacklog"]),
            episode["reason"],
        ]
        for episode in reversed(told["episodes"][-20:])
    ]
    return rows or [["none so far"]]


def task_rows(state: Json) -> list[list[str]]:
    """Of `/api/back-pressure`: a row a task."""
    blamed = state["bottleneck"] and state["bottleneck"]["id"]
    return [
        [
            task["task"],
            task["kind"].replace("_", " "),
            str(task["parallelism"]),
            _level(task["level"]) + ("bottleneck" if task["id"] == blamed else ""),
        ]
        for task in state["tasks"]
    ]


def subtask_rows(task: Json) -> list[list[str]]:
    """Of one task of `/api/back-pressure`."""
    return [_subtask_row(subtask) for subtask in task["subtasks"]]


def measured(task: Json, state: Json) -> str:
    return "-" if task["sampledAt"] is None else f"{duration(state['takenAt'] - task['sampledAt'])} ago"


def exporter_rows(before: Json, now: Json) -> list[list[str]]:
    """Of two answers of `/api/exporters`, in order; without the button of the first row."""
    earlier = {
        (exporter["exporter"], part["partition"]): part["acknowledgedPosition"]
        for exporter in before["exporters"]
        for part in exporter["partitions"]
    }
    seconds = now["takenAt"] - before["takenAt"]
    rows = []
    for exporter in now["exporters"]:
        for i, part in enumerate(exporter["partitions"]):
            grown = part["acknowledgedPosition"] - earlier[exporter["exporter"], part["partition"]]
            failed = UNKNOWN
            if part["lastError"] is not None:
                failed = f"{time_of_day(part['lastErrorAt'])}: {part['lastError']}"
            row = [
                str(part["partition"]),
                part["state"],
                f"{whole(part['acknowledgedPosition'])} of {whole(part['lastWrittenPosition'])}",
                whole(part["backlog"]),
                UNKNOWN if part["backlog"] == 0 else duration(part["oldestUnexportedAgeSeconds"]),
                rate(grown / seconds if seconds > 0 else None),
                f"{whole(part['errors'])}, {whole(part['retries'])} retries",
                failed,
            ]
            paused = any(each["pause"] is not None for each in exporter["partitions"])
            rows.append([exporter["exporter"], *row, "Resume" if paused else "Pause"] if i == 0 else row)
    return rows


# -- words ---


def whole(value: float | None) -> str:
    return UNKNOWN if value is None else f"{_rounded(value, 0):,}"


def rate(value: float | None) -> str:
    return UNKNOWN if value is None else f"{whole(value)}/s"


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{int(share * 100 + 0.5)}%"


def ratio(share: float | None) -> str:
    return UNKNOWN if share is None else f"{_rounded(share, 2)}"


def time_of_day(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    return datetime.fromtimestamp(int(seconds * 1000) // 1000, UTC).strftime("%H:%M:%S")


def duration(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    if 0 < seconds < 1:
        return f"{int(seconds * 1000 + 0.5)}ms"
    s = int(max(0, seconds))
    if s < 60:
        return f"{s}s"
    return f"{s // 60}m {s % 60}s" if s < 3600 else f"{s // 3600}h {s % 3600 // 60}m"


def _rounded(value: float, decimals: int) -> Decimal:
    """Halves away from zero, decided on the exact value, as browsers round."""
    return Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def _now(history: Json, name: str) -> float | None:
    summed = _summed(history, name)
    return summed[-1] if summed else None


def _summed(history: Json, name: str) -> list[float | None]:
    """Over all partitions, moment by moment."""
    rows = zip(*(partition["columns"][name] for partition in history["partitions"]), strict=True)
    known = [[value for value in row if value is not None] for row in rows]
    return [sum(values) if values else None for values in known]


def _recent(column: Sequence[float | None]) -> float | None:
    """The mean of the last ten samples, as far as they are known."""
    known = [value for value in column[-10:] if value is not None]
    return sum(known) / len(known) if known else None


def _number(value: float | None, unit: str, bound: float | None, of_bound: str) -> str:
    if value is None:
        return UNKNOWN
    return f"{whole(value)} {unit}" + ("" if bound is None else f", {of_bound} {whole(bound)}")


def _badge(blamed: bool) -> str:
    return "▼ bottleneck" if blamed else ""


def _level(level: str | None) -> str:
    return "-" if level is None else level.upper()


def _task_node(task: Json, blamed: bool) -> list[str]:
    recent = [subtask["recent"] for subtask in task["subtasks"] if subtask["recent"] is not None]
    held = max((each["backPressured"] for each in recent), default=None)
    busy = max((each["busy"] for each in recent), default=None)
    shown = [
        f"{name} (max): {'N/A' if value is None else percent(value)}"
        for name, value in (("Backpressured", held), ("Busy", busy))
    ]
    name = task["task"] if len(task["task"]) <= 20 else f"{task['task'][:19]}…"
    return [name, *shown, _badge(blamed), _colour(busy or 0, held or 0)]


def _colour(busy: float, held: float) -> str:
    """From blue towards red by the busy share, and from there towards grey by the share held back."""
    channels = []
    for idle, red, grey in ((0x5D, 0xEE, 0x88), (0xB1, 0x64, 0x88), (0xFF, 0x64, 0x88)):
        shares = [min(int(share * 100 + 0.5), 100) for share in (busy, held)]
        worked = int(idle + (red - idle) * shares[0] / 100 + 0.5)
        channels.append(int(worked + (grey - worked) * shares[1] / 100 + 0.5))
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def _partition_row(number: str, effective: Json | None, columns: Mapping[str, Sequence[float | None]]) -> list[str]:
    if effective is None:
        return [number, "not running"]
    now = {name: column[-1] if column else None for name, column in columns.items()}
    limit = now["writeLimitPerSecond"]
    return [
        number,
        "none" if limit is None else f"{rate(limit)} of {rate(now['writeLimitMaxPerSecond'])}",
        rate(now["exportingRatePerSecond"]),
        rate(_recent(columns["acceptedPerSecond"])) + _by_source(columns),
        _of_bound(now["backlogRecords"], now["acceptableBacklogRecords"]),
        _of_bound(now["requestsInFlight"], now["requestLimit"]),
        whole(now["waitingWriters"]),
        effective["reason"],
    ]


def _of_bound(value: float | None, bound: float | None) -> str:
    return whole(value) if bound is None else f"{whole(value)} of {whole(bound)}"


def _by_source(columns: Mapping[str, Sequence[float | None]]) -> str:
    """Of who has written in these fifteen minutes, what he wrote in the last ten seconds."""
    said = ""
    for name, label in SOURCES.items():
        if any(value for value in columns.get(name, ())):
            said += f"{label} {rate(_recent(columns[name]))}"
    return said


def _subtask_row(subtask: Json) -> list[str]:
    sampled, recent = subtask["sampled"], subtask["recent"]
    reasons = sorted((recent or {}).get("byReason", {}).items(), key=lambda item: -item[1])
    blocked = subtask["longestBlocked"]
    last = [
        ", ".join(f"{reason.replace('_', ' ')} {percent(share)}" for reason, share in reasons) or "-",
        duration(blocked) if blocked > 0 else "-",
    ]
    if sampled is None:
        return [str(subtask["subtask"]), "-", "-", "N/A", *last, subtask["status"].replace("_", " ")]
    shares = " / ".join(percent(sampled[name]) for name in ("ratio", "idleRatio", "busyRatio"))
    interval = f"{ratio(sampled['low'])} to {ratio(sampled['high'])}"
    return [str(subtask["subtask"]), ratio(sampled["ratio"]), interval, shares, *last, _level(sampled["level"])]
