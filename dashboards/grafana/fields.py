"""The small values that every panel shares: thresholds, mappings, colours, overrides, links, targets."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping

from dashboards import throttling
from dashboards.panel import DrillDown, Look, Panel, Query, Step, TimeSeries, Word

DATASOURCE_VARIABLE = "datasource"


def datasource() -> dict[str, str]:
    return {"type": "prometheus", "uid": f"${{{DATASOURCE_VARIABLE}}}"}


def refs(panel: Panel) -> list[str]:
    """The name of each query: A, B, C, in their order."""
    return list(string.ascii_uppercase[: len(panel.queries)])


def targets(panel: Panel, *, table: bool = False, heatmap: bool = False) -> list[dict[str, object]]:
    """The queries of a panel. The band comes first, because what is queried first is drawn first, below the rest."""
    named = list(zip(refs(panel), panel.queries, strict=True))
    if isinstance(panel, TimeSeries) and panel.band:
        named.insert(0, (throttling.BAND_REF, throttling.band_query()))
    format_ = "table" if table else "heatmap" if heatmap else "time_series"
    return [_target(ref, query, format_) for ref, query in named]


def _target(ref: str, query: Query, format_: str) -> dict[str, object]:
    return {
        "refId": ref,
        "datasource": datasource(),
        "expr": query.expression.text,
        "legendFormat": query.legend,
        "format": format_,
        "instant": query.instant,
        "range": not query.instant,
        "exemplar": query.exemplars,
        "editorMode": "code",
    }


def thresholds(steps: Iterable[Step]) -> dict[str, object]:
    return {"mode": "absolute", "steps": [{"color": step.colour.value, "value": step.value} for step in steps]}


def mappings(words: Mapping[int, Word] | None) -> list[dict[str, object]]:
    if not words:
        return []
    options = {
        str(value): {"index": index, "text": word.text, "color": word.colour.value}
        for index, (value, word) in enumerate(sorted(words.items()))
    }
    return [{"type": "value", "options": options}]


def override(ref: str, look: Look) -> dict[str, object]:
    """How the series of the query `ref` differ."""
    properties: dict[str, object] = {}
    if look.colour is not None:
        properties["color"] = {"mode": "shades" if look.shades else "fixed", "fixedColor": look.colour.value}
    if look.dashed:
        properties["custom.lineStyle"] = {"fill": "dash", "dash": [8, 6]}
    if look.width is not None:
        properties["custom.lineWidth"] = look.width
    if look.fill is not None:
        properties["custom.fillOpacity"] = look.fill
    if look.unit is not None:
        properties["unit"] = look.unit.value
    if look.soft_max is not None:
        properties["custom.axisSoftMax"] = look.soft_max
    if look.right_axis:
        properties["custom.axisPlacement"] = "right"
    return {
        "matcher": {"id": "byFrameRefID", "options": ref},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }


def overrides(panel: Panel) -> list[dict[str, object]]:
    looks = [(ref, query.look) for ref, query in zip(refs(panel), panel.queries, strict=True) if query.look]
    own = [override(ref, look) for ref, look in looks]
    return [*throttling.band_overrides(), *own] if isinstance(panel, TimeSeries) and panel.band else own


def data_links(drill_down: DrillDown, variables: Iterable[str]) -> list[dict[str, object]]:
    """Where a click on a series leads, with the range and the choices kept, its labels put in their place."""
    kept = [f"${{{name}:queryparam}}" for name in variables if name not in drill_down.labels]
    narrowed = [f"var-{label}=${{__field.labels.{label}}}" for label in drill_down.labels]
    title = drill_down.board.removeprefix("penstock-").replace("-", " ").capitalize()
    url = f"/d/{drill_down.board}?" + "&".join((*kept, *narrowed, "${__url_time_range}"))
    return [{"title": f"Open {title}", "url": url, "targetBlank": False}]
