"""A whole dashboard as Grafana reads it."""

from __future__ import annotations

import json

from grafanalib import core
from grafanalib._gen import DashboardEncoder

from dashboards import throttling
from dashboards.board import Board, Row
from dashboards.events import EVENTS
from dashboards.grafana import fields, panels
from dashboards.grafana.json_tree import Json, without_nulls
from dashboards.grafana.variables import names, variables
from dashboards.panel import Gauge, Panel, Stat, Table, TimeSeries
from dashboards.places import BRIDGES_TAG, TAG
from dashboards.vocabulary import PENSTOCK, Vocabulary

# What Grafana 12 writes. The library's 12 would be carried over from Grafana 4, with losses.
SCHEMA_VERSION = 41
SHARED_CROSSHAIR = 1

# What the library writes and Grafana no longer reads.
_DEAD_DASHBOARD_KEYS = ("__inputs", "gnetId", "hideControls", "rows", "sharedCrosshair", "style")
_DEAD_PANEL_KEYS = (
    "cacheTimeout",
    "editable",
    "error",
    "height",
    "hideTimeOverride",
    "interval",
    "minSpan",
    "span",
    "timeFrom",
    "timeShift",
)


def dashboard(board: Board, vocabulary: Vocabulary = PENSTOCK) -> dict[str, Json]:
    """The board as plain JSON, in the names of `vocabulary`. The same board gives the same JSON, in any process."""
    board = vocabulary.shown(board)
    built = core.Dashboard(
        uid=board.uid.value,
        title=board.title,
        description=board.answers,
        tags=[TAG if board.bridge is None else BRIDGES_TAG],
        schemaVersion=SCHEMA_VERSION,
        editable=False,
        graphTooltip=SHARED_CROSSHAIR,
        timezone="browser",
        time=core.Time(board.time_from, "now"),
        refresh="10s",
        version=0,
        links=[_links("Penstock", TAG), _links("Bridges", BRIDGES_TAG, folded=True)],
        annotations=core.Annotations(list=_annotations(board, vocabulary)),
        templating=core.Templating(list=variables(_expressions(board), board.bridge)),
        panels=[
            panels.row(thing, place) if isinstance(thing, Row) else panels.panel(thing, place)
            for thing, place in board.placed()
        ],
    )
    tree = json.loads(json.dumps(built.to_json_data(), cls=DashboardEncoder))
    for key in _DEAD_DASHBOARD_KEYS:
        tree.pop(key, None)
    # The library lists ranges for a menu that is gone.
    del tree["timepicker"]["time_options"]
    drawn = _folded([_linked(_live(panel), board) for panel in tree["panels"]])
    pruned = _in_names_of(vocabulary, without_nulls({**tree, "panels": drawn}))
    assert isinstance(pruned, dict)
    return pruned


def written(board: Board) -> str:
    """The text of the file."""
    return json.dumps(dashboard(board), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def _in_names_of(vocabulary: Vocabulary, tree: Json, key: str = "") -> Json:
    """The same with every expression, legend and link in the names of `vocabulary`."""
    match tree:
        case dict():
            return {name: _in_names_of(vocabulary, value, name) for name, value in tree.items()}
        case list():
            return [_in_names_of(vocabulary, item, key) for item in tree]
        case str() if key in ("expr", "definition", "query"):
            return vocabulary.expression(tree)
        case str() if key == "legendFormat":
            return vocabulary.legend(tree)
        case str() if key == "url":
            return vocabulary.link(tree)
        case _:
            return tree


def _links(title: str, tag: str, *, folded: bool = False) -> core.DashboardLink:
    return core.DashboardLink(
        type="dashboards",
        title=title,
        tags=[tag],
        asDropdown=folded,
        keepTime=True,
        includeVars=True,
        targetBlank=False,
    )


def _expressions(board: Board) -> list[str]:
    own = [query.expression.text for panel in board.panels() for query in panel.queries]
    return [*own, throttling.band_query().expression.text] if board.has_throttles else own


def _annotations(board: Board, vocabulary: Vocabulary) -> list[dict[str, object]]:
    datasource = fields.datasource()
    marks = [throttling.mark(event, datasource) for event in EVENTS if vocabulary.knows(event.expression.text)]
    return [throttling.annotation(datasource, _shading_themselves(board)), *marks] if board.has_throttles else marks


def _shading_themselves(board: Board) -> list[int]:
    """Panels on which the annotation would stand twice, or would mean nothing."""

    def left_out(panel: Panel) -> bool:
        return isinstance(panel, Stat | Gauge | Table) or (isinstance(panel, TimeSeries) and panel.band)

    return sorted(panel.id for panel in board.panels() if left_out(panel))


def _live(panel: dict[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in panel.items() if key not in _DEAD_PANEL_KEYS}


def _folded(drawn: list[dict[str, Json]]) -> list[Json]:
    """The same with what follows a folded heading put inside of it."""
    kept: list[Json] = []
    inside: list[Json] | None = None
    for panel in drawn:
        if panel["type"] == "row":
            inside = [] if panel["collapsed"] else None
            kept.append(panel if inside is None else {**panel, "panels": inside})
        else:
            (kept if inside is None else inside).append(panel)
    return kept


def _linked(panel: dict[str, Json], board: Board) -> dict[str, Json]:
    """With its links to other boards, which carry on what can be chosen on this one."""
    drill_down = next((own.drill_down for own in board.panels() if own.id == panel["id"]), None)
    if drill_down is not None:
        field_config = panel["fieldConfig"]
        assert isinstance(field_config, dict)
        defaults = field_config["defaults"]
        assert isinstance(defaults, dict)
        links = fields.data_links(drill_down, names(_expressions(board)))
        return {**panel, "fieldConfig": {**field_config, "defaults": {**defaults, "links": _plain(links)}}}
    return panel


def _plain(value: object) -> Json:
    plain: Json = json.loads(json.dumps(value))
    return plain
