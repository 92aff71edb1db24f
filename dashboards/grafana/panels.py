"""Panels, kind by kind, in the JSON of Grafana 12 and 13."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import Any

from grafanalib import core

from dashboards.board import Row
from dashboards.colours import Colour
from dashboards.grafana import fields
from dashboards.grid import Place
from dashboards.panel import (
    Column,
    Gauge,
    Heatmap,
    Panel,
    Stat,
    StateTimeline,
    Step,
    Table,
    TimeSeries,
)
from dashboards.units import Display

# Neighbours stand under one another only if their axes are equally wide.
AXIS_WIDTH = 80


class Corrected:
    """A panel of grafanalib with parts of its JSON put in place of what the library has for them.

    It stands where the library expects a panel: the dashboard asks it for `to_json_data`.
    """

    def __init__(self, panel: Any, json: dict[str, object]) -> None:
        self._panel = panel
        self._json = json

    def to_json_data(self) -> dict[str, object]:
        made: dict[str, object] = {**self._panel.to_json_data(), **self._json}
        return made


class Plain(Corrected):
    """A panel of which the library knows no more than what all panels have."""

    def to_json_data(self) -> dict[str, object]:
        made: dict[str, object] = {**self._panel.panel_json({}), **self._json}
        return made


def row(row: Row, place: Place) -> Corrected:
    """A heading. Its panels follow it: they are only kept inside while it is folded."""
    return Corrected(
        core.RowPanel(id=row.id, title=row.title, collapsed=row.folded, gridPos=_grid_pos(place)),
        dict.fromkeys(("fieldConfig", "links", "maxDataPoints", "targets", "transformations", "transparent")),
    )


@singledispatch
def panel(panel: Panel, place: Place) -> Corrected:
    """The panel at its place. Each kind is registered below."""
    raise TypeError(f"no way to draw a {type(panel).__name__} at {place}")


def _grid_pos(place: Place) -> Any:
    return core.GridPos(h=place.h, w=place.w, x=place.x, y=place.y)


def _common(panel: Panel, place: Place, **queries: bool) -> dict[str, Any]:
    return {
        "id": panel.id,
        "title": panel.title,
        "description": panel.description,
        "dataSource": fields.datasource(),
        "gridPos": _grid_pos(place),
        "targets": fields.targets(panel, **queries),
        # The library's 100 points would swallow whatever is shorter than a hundredth of the range.
        "maxDataPoints": None,
    }


def _defaults(panel: Panel, colour: dict[str, object], custom: dict[str, object] | None = None) -> dict[str, object]:
    return {
        "color": colour,
        "custom": custom,
        "decimals": panel.decimals,
        "mappings": fields.mappings(panel.words),
        "max": panel.max,
        "min": panel.min,
        "noValue": panel.no_value,
        "thresholds": fields.thresholds(panel.steps),
        "unit": panel.shown_unit.value,
    }


_BY_THRESHOLD: dict[str, object] = {"mode": "thresholds"}


@panel.register
def _time_series(panel: TimeSeries, place: Place) -> Corrected:
    custom: dict[str, object] = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1 if panel.stacked else 2,
        "lineStyle": {"fill": "solid"},
        "fillOpacity": panel.fill,
        "gradientMode": "none",
        "showPoints": "never",
        "pointSize": 5,
        "spanNulls": False,
        "insertNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "axisPlacement": "auto",
        "axisLabel": "",
        "axisColorMode": "text",
        "axisWidth": AXIS_WIDTH,
        # A logarithmic axis has a line for every digit.
        "axisGridShow": False if panel.logarithmic else None,
        "axisSoftMin": panel.soft_min,
        "axisSoftMax": panel.soft_max,
        "scaleDistribution": {"type": "log", "log": 10} if panel.logarithmic else {"type": "linear"},
        "thresholdsStyle": {"mode": panel.steps_drawn},
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
    }
    legend: dict[str, object] = {
        "showLegend": True,
        "displayMode": "table",
        "placement": "right" if panel.legend_at_right else "bottom",
        "calcs": list(panel.legend_values),
    }
    colour: dict[str, object] = {"mode": "shades", "fixedColor": Colour.FIRST.value}
    return Corrected(
        core.TimeSeries(**_common(panel, place), repeat=core.Repeat(direction="h", variable=panel.repeat)),
        {
            "fieldConfig": {"defaults": _defaults(panel, colour, custom), "overrides": fields.overrides(panel)},
            "options": {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
            "maxPerRow": 4 if panel.repeat else None,
        },
    )


def _reduced() -> dict[str, object]:
    """A series is shown as its last value; the mean, which the library takes, was true at no time."""
    return {"calcs": ["lastNotNull"], "fields": "", "values": False}


@panel.register
def _stat(panel: Stat, place: Place) -> Corrected:
    return Corrected(
        core.Stat(**_common(panel, place)),
        {
            "fieldConfig": {"defaults": _defaults(panel, _BY_THRESHOLD), "overrides": fields.overrides(panel)},
            "options": {
                "colorMode": "background",
                "graphMode": "area" if panel.sparkline else "none",
                "justifyMode": "center",
                "orientation": "auto",
                "reduceOptions": _reduced(),
                "showPercentChange": False,
                "textMode": "name" if panel.name_only else "value_and_name" if panel.with_name else "auto",
                "wideLayout": True,
            },
        },
    )


@panel.register
def _gauge(panel: Gauge, place: Place) -> Corrected:
    # The library's gauge writes its options where Grafana does not look for them.
    return Plain(
        core.Panel(**_common(panel, place)),
        {
            "type": "gauge",
            "fieldConfig": {"defaults": _defaults(panel, _BY_THRESHOLD), "overrides": fields.overrides(panel)},
            "options": {
                "minVizHeight": 75,
                "minVizWidth": 75,
                "orientation": "auto",
                "reduceOptions": _reduced(),
                "showThresholdLabels": False,
                "showThresholdMarkers": True,
                "sizing": "auto",
            },
        },
    )


@panel.register
def _state_timeline(panel: StateTimeline, place: Place) -> Corrected:
    custom: dict[str, object] = {
        "fillOpacity": 80,
        "lineWidth": 0,
        "axisPlacement": "auto",
        # So that its time stands above the time of the panels below.
        "axisWidth": AXIS_WIDTH,
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
    }
    return Corrected(
        core.StateTimeline(**_common(panel, place)),
        {
            "fieldConfig": {"defaults": _defaults(panel, _BY_THRESHOLD, custom), "overrides": fields.overrides(panel)},
            "options": {
                "alignValue": "left",
                "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
                "mergeValues": True,
                "perPage": 20,
                "rowHeight": panel.row_height,
                "showValue": "never",
                "tooltip": {"mode": "single", "sort": "none"},
            },
        },
    )


@panel.register
def _heatmap(panel: Heatmap, place: Place) -> Corrected:
    # The library's heatmap is the one of AngularJS, which Grafana no longer has.
    return Plain(
        core.Panel(**_common(panel, place, heatmap=True)),
        {
            "type": "heatmap",
            "fieldConfig": {
                "defaults": {
                    "custom": {
                        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
                        "scaleDistribution": {"type": "linear"},
                    },
                    "unit": panel.shown_unit.value,
                },
                "overrides": [],
            },
            "options": {
                "calculate": False,
                "cellGap": 1,
                "cellValues": {"unit": Display.EVENTS_PER_SECOND.value},
                "color": {
                    "mode": "scheme",
                    "scheme": "Blues",
                    "exponent": 0.5,
                    "fill": "dark-blue",
                    "reverse": False,
                    "scale": "exponential",
                    "steps": 64,
                },
                "exemplars": {"color": "rgba(255,0,255,0.7)"},
                "filterValues": {"le": 1e-9},
                "legend": {"show": True},
                "rowsFrame": {"layout": "auto"},
                "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": False},
                "yAxis": {"axisPlacement": "left", "axisWidth": AXIS_WIDTH, "reverse": False, "unit": "s"},
            },
        },
    )


@panel.register
def _table(panel: Table, place: Place) -> Corrected:
    values = {f"Value #{ref}": column for ref, column in zip(fields.refs(panel), panel.columns, strict=True)}
    titles = {name: column.title for name, column in {**panel.rows, **values}.items()}
    hidden = [name for name, column in values.items() if column.hidden]
    shown = [column for column in panel.columns if not column.hidden]
    # Every query answers with its own table; joined, they are one, with the labels of the rows as its first columns.
    transformations: list[dict[str, object]] = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True, **dict.fromkeys(hidden, True)},
                "includeByName": {},
                "indexByName": {name: index for index, name in enumerate(titles)},
                "renameByName": titles,
            },
        },
    ]
    sorted_by = [{"displayName": panel.sorted_by, "desc": True}] if panel.sorted_by else []
    defaults = _defaults(panel, _BY_THRESHOLD, {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False})
    return Corrected(
        # The library's table writes a few keys that the table of today ignores, and one of them as a tuple.
        Plain(core.Panel(**_common(panel, place, table=True)), {"type": "table"}),
        {
            "fieldConfig": {
                "defaults": defaults,
                "overrides": [*map(_label, panel.rows.values()), *map(_column, shown)],
            },
            "options": {"cellHeight": "sm", "showHeader": True, "sortBy": sorted_by},
            "transformations": transformations,
        },
    )


def _label(column: Column) -> dict[str, object]:
    return _column(replace(column, unit=column.unit or Display.TEXT))


def _column(column: Column) -> dict[str, object]:
    properties: dict[str, object] = {}
    if column.unit is not None:
        properties["unit"] = column.unit.value
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.width is not None:
        properties["custom.width"] = column.width
    if column.no_value is not None:
        properties["noValue"] = column.no_value
    if column.words:
        properties["mappings"] = fields.mappings(column.words)
    if column.steps:
        properties["thresholds"] = fields.thresholds(column.steps)
    if column.steps or column.words:
        properties["custom.cellOptions"] = {"type": "color-text"}
    if not column.steps:
        properties["thresholds"] = fields.thresholds((Step(None, Colour.QUIET),))
    return {
        "matcher": {"id": "byName", "options": column.title},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }
