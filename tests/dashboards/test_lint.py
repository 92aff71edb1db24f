"""The rules of Grafana's dashboard linter, without exclusions, and our own."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from dashboards.grid import COLUMNS
from dashboards.panel import TITLE_LENGTH_MAX
from exporter.catalogue import (
    BACK_PRESSURE_LOW_MAX,
    BACK_PRESSURE_OK_MAX,
    AnyMetric,
    Kind,
    metric_of_sample,
)
from tests.dashboards import promql_text
from tests.dashboards.generated import BRIDGED, DASHBOARDS, EXPRESSIONS, PANELS, Json, named, opened
from tests.support.many import for_each

EACH_DASHBOARD = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
EACH_PANEL = for_each((named(panel), panel) for panel in PANELS)
EACH_EXPRESSION = for_each((where, (where, expression)) for where, expression in EXPRESSIONS)

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Ids of Grafana's own list of units.
UNITS = {
    "short",
    "none",
    "s",
    "suffix:s",
    "bytes",
    "percentunit",
    "recps",
    "eps",
    "reqps",
    "bool_on_off",
    "dateTimeAsIsoNoDateIfToday",
    "string",
}


def variable(dashboard: Json, name: str) -> Json:
    found: Json = next(v for v in dashboard["templating"]["list"] if v["name"] == name)
    return found


def test_the_boards_of_the_bundle_are_there() -> None:
    assert set(DASHBOARDS) - BRIDGED == {
        "penstock-overview",
        "penstock-flow-control",
        "penstock-back-pressure",
        "penstock-exporting",
        "penstock-exporter-self",
    }
    assert {"penstock-flink", "penstock-process", "penstock-zeebe"} == BRIDGED


@EACH_DASHBOARD
def test_a_board_has_a_data_source_variable_of_the_usual_name(dashboard: Json) -> None:
    first = dashboard["templating"]["list"][0]
    assert (first["name"], first["label"], first["type"], first["query"]) == (
        "datasource",
        "Data source",
        "datasource",
        "prometheus",
    )


@EACH_DASHBOARD
@pytest.mark.parametrize(("name", "label"), [("job", "Job"), ("instance", "Instance")])
def test_a_board_can_be_narrowed_down_to_job_and_instance(dashboard: Json, name: str, label: str) -> None:
    found = variable(dashboard, name)
    assert (found["label"], found["multi"], found["includeAll"], found["allValue"], found["datasource"]) == (
        label,
        True,
        True,
        ".+",
        DATASOURCE,
    )


@EACH_DASHBOARD
def test_a_variable_is_asked_again_when_the_range_changes_and_begins_at_all(dashboard: Json) -> None:
    for found in dashboard["templating"]["list"][1:]:
        assert found["refresh"] == 2, found["name"]
        assert found["current"]["value"] == ["$__all"], found["name"]
        assert found["definition"] == found["query"]["query"], found["name"]


@EACH_DASHBOARD
def test_every_variable_is_used_and_every_used_one_exists(dashboard: Json) -> None:
    text = [t["expr"] for p in opened(dashboard) if p["type"] != "row" for t in p["targets"]]
    text += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    text += [v["definition"] for v in dashboard["templating"]["list"][1:]]
    used = {name for expression in text for name in re.findall(r"\$\{?(\w+)", expression) if not name.startswith("__")}
    assert used | {"datasource"} == {v["name"] for v in dashboard["templating"]["list"]}


@EACH_DASHBOARD
def test_a_variable_asks_for_a_metric_and_a_label_that_exist(dashboard: Json) -> None:
    for found in dashboard["templating"]["list"][1:]:
        metric, label = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", found["definition"]).groups()  # type: ignore[union-attr]
        assert label in (*metric_of_sample(metric).label_names, "job", "instance")
        assert label == found["name"]


@EACH_DASHBOARD
def test_nobody_can_edit_a_board_in_the_browser(dashboard: Json) -> None:
    assert dashboard["editable"] is False


@EACH_DASHBOARD
def test_a_board_has_what_makes_it_the_same_everywhere(dashboard: Json) -> None:
    assert dashboard["schemaVersion"] >= 39
    assert dashboard["version"] == 0
    assert "id" not in dashboard
    assert dashboard["graphTooltip"] == 1
    assert dashboard["timezone"] == "browser"
    assert 0 < len(dashboard["uid"]) <= 40


@EACH_DASHBOARD
def test_boards_are_linked_to_one_another_with_range_and_choices_kept(dashboard: Json) -> None:
    for link in dashboard["links"]:
        assert (link["type"], link["keepTime"], link["includeVars"], link["targetBlank"]) == (
            "dashboards",
            True,
            True,
            False,
        )
    # Those of bridges, which most do not have, take one place.
    assert [link["asDropdown"] for link in dashboard["links"]] == [False, True]
    reached = [
        {uid for uid, other in DASHBOARDS.items() if set(link["tags"]) <= set(other["tags"])}
        for link in dashboard["links"]
    ]
    assert reached == [set(DASHBOARDS) - BRIDGED, BRIDGED]


@EACH_DASHBOARD
def test_ids_are_unique_and_panels_neither_overlap_nor_leave_the_columns(dashboard: Json) -> None:
    ids = [panel["id"] for panel in opened(dashboard)]
    assert len(ids) == len(set(ids))
    cells = [
        (x, y)
        for panel in opened(dashboard)
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(0 <= x < COLUMNS for x, _ in cells)


@EACH_DASHBOARD
def test_what_is_folded_stands_last(dashboard: Json) -> None:
    folded = [panel["type"] == "row" and panel["collapsed"] for panel in dashboard["panels"]]
    assert folded == sorted(folded)


@EACH_PANEL
def test_a_panel_and_all_its_queries_use_the_data_source_of_the_board(board: str, panel: Json) -> None:
    assert panel["datasource"] == DATASOURCE
    assert all(target["datasource"] == DATASOURCE for target in panel["targets"])


@EACH_PANEL
def test_a_panel_has_a_short_title_and_says_what_how_it_looks_when_well_and_what_to_do(board: str, panel: Json) -> None:
    assert 0 < len(panel["title"]) <= TITLE_LENGTH_MAX
    shows, healthy, otherwise = panel["description"].split("\n\n")
    assert shows[0].isupper()
    assert shows.endswith(".")
    assert healthy.startswith("**Healthy:** ")
    assert healthy.endswith(".")
    assert otherwise.startswith("**If not:** ")
    assert otherwise.endswith(".")


@EACH_PANEL
def test_a_panel_has_a_unit_that_grafana_knows(board: str, panel: Json) -> None:
    units = [panel["fieldConfig"]["defaults"]["unit"]] + [
        prop["value"]
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "unit"
    ]
    assert set(units) <= UNITS


@EACH_PANEL
def test_a_panel_has_queries_with_unique_names(board: str, panel: Json) -> None:
    refs = [target["refId"] for target in panel["targets"]]
    assert refs
    assert len(refs) == len(set(refs))
    assert all(target["expr"] for target in panel["targets"])


@EACH_PANEL
def test_every_series_has_a_name_unless_a_table_names_it(board: str, panel: Json) -> None:
    for target in panel["targets"]:
        assert bool(target["legendFormat"]) != (panel["type"] == "table"), target["refId"]


@EACH_PANEL
def test_grafana_chooses_the_resolution(board: str, panel: Json) -> None:
    assert "maxDataPoints" not in panel
    assert "interval" not in panel
    assert not any(key in target for target in panel["targets"] for key in ("intervalFactor", "step", "metric"))


@EACH_PANEL
def test_time_panels_list_their_series_as_a_table(board: str, panel: Json) -> None:
    if panel["type"] == "timeseries":
        legend = panel["options"]["legend"]
        assert legend["showLegend"] is True
        assert legend["displayMode"] == "table"
        assert set(legend["calcs"]) & {"lastNotNull", "max"}


@EACH_PANEL
def test_the_first_threshold_begins_at_the_bottom_and_the_others_rise(board: str, panel: Json) -> None:
    if panel["type"] == "heatmap":
        return
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps[0]["value"] is None
    assert all(a["value"] < b["value"] for a, b in pairwise(steps[1:]))


@EACH_PANEL
def test_a_link_leads_to_a_board_of_the_bundle(board: str, panel: Json) -> None:
    for link in panel["fieldConfig"]["defaults"].get("links", []):
        uid, parameters = link["url"].removeprefix("/d/").split("?")
        assert uid in DASHBOARDS
        assert "${__url_time_range}" in parameters
        assert "${datasource:queryparam}" in parameters


@EACH_PANEL
def test_a_link_hands_on_only_variables_and_labels_that_exist(board: str, panel: Json) -> None:
    variables = {v["name"] for v in DASHBOARDS[board]["templating"]["list"]}
    for link in panel["fieldConfig"]["defaults"].get("links", []):
        assert set(re.findall(r"\$\{(\w+):queryparam}", link["url"])) <= variables
        for label in re.findall(r"__field\.labels\.(\w+)", link["url"]):
            drawn = [t["expr"] for t in panel["targets"] if "{{" in t["legendFormat"]]
            assert drawn
            assert all(label in promql_text.label_lists(expression) for expression in drawn)


@EACH_PANEL
def test_a_query_yields_many_points_or_one_as_its_panel_needs(board: str, panel: Json) -> None:
    for target in panel["targets"]:
        assert target["instant"] != target["range"]
        if panel["type"] == "table":
            assert target["instant"]
        if panel["type"] in ("timeseries", "state-timeline", "heatmap"):
            assert target["range"]


def is_event(where: str) -> bool:
    """What happened to a whole engine stands on every board, whatever can be chosen there."""
    return ": annotation " in where and not where.endswith("Throttling")


@EACH_EXPRESSION
def test_every_selector_is_narrowed_down_by_all_variables_that_fit_it(where: str, expression: str) -> None:
    seen = list(promql_text.selectors(expression))
    assert seen
    for selector in seen:
        if selector.name == "ALERTS":
            # Of every alert of the bundle; not each has the labels of an engine.
            continue
        labels = () if selector.name == "up" else metric_of_sample(selector.name).label_names
        if is_event(where):
            labels = ("pipeline",)
        if selector.name == "penstock_exporter_state" and where.endswith(("Who is to blame", "Bottleneck")):
            # Whether the task to blame is a paused exporter is asked of all exporters.
            labels = ("pipeline",)
        for name in ("job", "instance", *(n for n in ("pipeline", "partition", "task", "exporter") if n in labels)):
            assert selector.matches(name, "=~", f"${name}"), (selector.name, name)


@EACH_EXPRESSION
def test_every_name_label_and_label_value_stands_in_the_catalogue(where: str, expression: str) -> None:
    known = {"job", "instance", "le", "verdict"}
    for selector in promql_text.selectors(expression):
        if selector.name in promql_text.OF_PROMETHEUS:
            known |= {"alertname", "pipeline"}
            continue
        metric = metric_of_sample(selector.name)
        known |= set(metric.label_names)
        _check_matchers(metric, selector)
    assert promql_text.label_lists(expression) <= known


def _check_matchers(metric: AnyMetric, selector: promql_text.Seen) -> None:
    for matcher in selector.matchers:
        if matcher.label in ("job", "instance"):
            continue
        label = next(label for label in metric.labels if label.name == matcher.label)
        if label.values is not None and not matcher.value.startswith("$"):
            named = matcher.value.split("|") if matcher.operator == "=~" else [matcher.value]
            assert set(named) <= set(label.values), (selector.name, matcher)


@EACH_EXPRESSION
def test_nothing_but_choices_and_closed_values_narrows_an_expression_down(where: str, expression: str) -> None:
    for selector in promql_text.selectors(expression):
        for matcher in selector.matchers:
            if matcher.label in ("job", "instance", "pipeline", "task", "exporter"):
                assert matcher.value == f"${matcher.label}"
            if matcher.label == "partition":
                # Odd and even ones are asked for apart, for the sake of their colours.
                assert matcher.value in ("$partition", ".*[13579]", ".*[02468]")


@EACH_EXPRESSION
def test_counters_are_shown_by_their_growth_and_gauges_never_are(where: str, expression: str) -> None:
    for selector in promql_text.selectors(expression):
        if selector.name in promql_text.OF_PROMETHEUS:
            continue
        counts = metric_of_sample(selector.name).kind in (Kind.COUNTER, Kind.HISTOGRAM)
        if counts:
            # Bare, a counter is only asked whether another one is there, or compared with itself at another time.
            is_there = re.search(rf"unless on \([^)]*\) {selector.name}\b", expression)
            is_compared = re.search(rf"{selector.name}{{[^}}]*}} != last_over_time\({selector.name}\b", expression)
            assert selector.function in promql_text.OF_COUNTERS or selector.shifted or is_there or is_compared, selector
        else:
            assert selector.function not in promql_text.RATES, selector


@EACH_EXPRESSION
def test_a_rate_is_taken_over_the_window_that_grafana_computes(where: str, expression: str) -> None:
    for selector in promql_text.selectors(expression):
        match selector.function:
            case "rate" | "irate":
                assert selector.window == "$__rate_interval"
            case "increase" | "changes" | "count_over_time":
                assert selector.window == "$__range"
            case "max_over_time":
                assert selector.window == "$__interval"


@EACH_EXPRESSION
def test_a_counter_is_aggregated(where: str, expression: str) -> None:
    if any(selector.function in promql_text.RATES for selector in promql_text.selectors(expression)):
        assert re.search(r"\b(sum|max|min|avg)\b", expression)


@EACH_EXPRESSION
def test_a_quantile_keeps_the_buckets_apart(where: str, expression: str) -> None:
    if "histogram_quantile" in expression:
        assert re.search(r"sum by \(le\b", expression)


@EACH_PANEL
def test_yellow_means_throttled_and_nothing_else_on_a_time_panel(board: str, panel: Json) -> None:
    if panel["type"] != "timeseries":
        return
    for override in panel["fieldConfig"]["overrides"]:
        for prop in override["properties"]:
            if prop["id"] == "color" and "yellow" in prop["value"]["fixedColor"]:
                assert override["matcher"]["options"] == "BAND"
    assert "palette" not in panel["fieldConfig"]["defaults"]["color"]["mode"]


@EACH_PANEL
def test_an_axis_of_shares_has_more_than_its_ends(board: str, panel: Json) -> None:
    # Without decimals Grafana draws whole numbers alone, and of a share these are 0 % and 100 %.
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] == "timeseries" and defaults["unit"] == "percentunit":
        assert "decimals" not in defaults


@EACH_PANEL
def test_a_line_is_never_a_mere_yes_or_no(board: str, panel: Json) -> None:
    # A comparison that says 1 or 0 hides the rate that it was made of; words and strips say such things.
    if panel["type"] == "timeseries":
        assert not [target["expr"] for target in panel["targets"] if " bool " in target["expr"]]


def test_colours_say_the_same_thing_everywhere() -> None:
    meaning = {
        "busy": "blue",
        "back-pressured": "semi-dark-red",
        "idle": "#8e8e8e",
        "{{pipeline}} acceptable": "dark-red",
    }
    seen = set()
    for _, panel in PANELS:
        for target in panel["targets"]:
            if target["legendFormat"] in meaning and panel["type"] == "timeseries":
                (override,) = (
                    o for o in panel["fieldConfig"]["overrides"] if o["matcher"]["options"] == target["refId"]
                )
                (colour,) = (p["value"]["fixedColor"] for p in override["properties"] if p["id"] == "color")
                assert colour == meaning[target["legendFormat"]]
                seen.add(target["legendFormat"])
    assert seen == set(meaning)


def test_the_levels_of_back_pressure_are_those_of_the_catalogue() -> None:
    strip = next(panel for _, panel in PANELS if panel["title"] == "Back pressure, down the job graph")
    bottom, low, high = strip["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert (bottom["color"], low["color"], high["color"]) == ("green", "orange", "red")
    # A threshold begins at its value, a level begins above it.
    assert low["value"] == pytest.approx(BACK_PRESSURE_OK_MAX)
    assert low["value"] > BACK_PRESSURE_OK_MAX
    assert high["value"] == pytest.approx(BACK_PRESSURE_LOW_MAX)
    assert high["value"] > BACK_PRESSURE_LOW_MAX


def test_flow_control_has_the_documented_rows_and_panels() -> None:
    rows: dict[str, list[str]] = {}
    for panel in opened(DASHBOARDS["penstock-flow-control"]):
        if panel["type"] == "row":
            rows[panel["title"]] = []
        elif rows:
            rows[list(rows)[-1]].append(panel["title"])
    assert "Exporting backlog" in rows["Processing"]
    assert {"Accepted writes by source", "Measured exporting rate", "Write rate limits"} <= set(rows["Logstream"])


def test_no_null_is_left_but_that_of_the_first_threshold() -> None:
    def nulls(tree: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        match tree:
            case dict():
                return [found for key, value in tree.items() for found in nulls(value, (*path, key))]
            case list():
                return [found for index, value in enumerate(tree) for found in nulls(value, (*path, index))]
            case None:
                return [path]
            case _:
                return []

    for dashboard in DASHBOARDS.values():
        assert all(path[-3:] == ("steps", 0, "value") or "properties" in path for path in nulls(dashboard))
