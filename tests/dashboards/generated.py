"""The boards as they stand in the generated files, and ways to walk through them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dashboards.build import GENERATED

Json = dict[str, Any]

DASHBOARDS: dict[str, Json] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((GENERATED / "grafana").rglob("*.json"))
}
# Those of one kind of bridge, in a folder of their own.
BRIDGED = {path.stem for path in (GENERATED / "grafana/Bridges").glob("*.json")}


def opened(dashboard: Json) -> Iterator[Json]:
    """Headings and panels, top to bottom, as they are with every heading unfolded."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def panels() -> Iterator[tuple[str, Json]]:
    """Every panel with the uid of its board, rows left out."""
    for uid, dashboard in DASHBOARDS.items():
        for panel in opened(dashboard):
            if panel["type"] != "row":
                yield uid, panel


def named(panel: tuple[str, Json]) -> str:
    """How a test over a panel is called."""
    return f"{panel[0]}: {panel[1]['title']}"


PANELS = list(panels())


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression of every board, annotations included, with where it stands."""
    for uid, panel in PANELS:
        for target in panel["targets"]:
            yield f"{uid}: {panel['title']}", target["expr"]
    for uid, dashboard in DASHBOARDS.items():
        for annotation in dashboard["annotations"]["list"]:
            yield f"{uid}: annotation {annotation['name']}", annotation["expr"]


EXPRESSIONS = list(expressions())
