"""The yellow band: all its forms stand on the boards, with every field that they need."""

from __future__ import annotations

import pytest

from tests.dashboards import promql_text
from tests.dashboards.generated import DASHBOARDS, PANELS, Json, named, opened
from tests.support.many import for_each

BANDED = [(uid, panel) for uid, panel in PANELS if any(t["refId"] == "BAND" for t in panel["targets"])]
EACH_BANDED = for_each((named(panel), panel) for panel in BANDED)
# Of a Flink job and of a process nothing is throttled.
NEVER_THROTTLED = {"penstock-flink", "penstock-process"}
THROTTLED = {uid: dashboard for uid, dashboard in DASHBOARDS.items() if uid not in NEVER_THROTTLED}
EACH_DASHBOARD = pytest.mark.parametrize("dashboard", THROTTLED.values(), ids=THROTTLED)

TOLD_BY = {"penstock_throttled", "penstock_throttles_total", "penstock_throttle_start_timestamp_seconds"}
MUST_HAVE_A_BAND = {
    "Exporting backlog",
    "Measured exporting rate",
    "Accepted writes by source",
    "Write rate limits",
    "Sampled against measured",
}


def annotation(dashboard: Json) -> Json:
    (found,) = (one for one in dashboard["annotations"]["list"] if one["name"] == "Throttling")
    return dict(found)


def band(panel: Json) -> dict[str, object]:
    (override,) = (
        o for o in panel["fieldConfig"]["overrides"] if o["matcher"] == {"id": "byFrameRefID", "options": "BAND"}
    )
    return {prop["id"]: prop["value"] for prop in override["properties"]}


def test_the_panels_on_which_it_explains_something_have_a_band() -> None:
    assert {panel["title"] for _, panel in BANDED} >= MUST_HAVE_A_BAND


@pytest.mark.parametrize("uid", sorted(NEVER_THROTTLED))
def test_what_is_never_throttled_is_not_shaded_and_does_not_ask_for_partitions(uid: str) -> None:
    assert "Throttling" not in {one["name"] for one in DASHBOARDS[uid]["annotations"]["list"]}
    assert uid not in {board for board, _ in BANDED}
    assert "partition" not in {variable["name"] for variable in DASHBOARDS[uid]["templating"]["list"]}


@EACH_DASHBOARD
def test_the_annotation_says_the_same_in_the_old_shape_and_in_the_new_one(dashboard: Json) -> None:
    found = annotation(dashboard)
    assert found["target"]["expr"] == found["expr"]
    assert found["target"]["interval"] == found["step"] == "5s"
    assert found["target"]["refId"]


@EACH_DASHBOARD
def test_the_annotation_is_a_yellow_region_that_can_be_switched_off(dashboard: Json) -> None:
    found = annotation(dashboard)
    assert (found["name"], found["iconColor"], found["enable"], found["hide"]) == ("Throttling", "yellow", True, False)
    assert found["titleFormat"]
    assert found["useValueForTime"] is False
    assert found["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@EACH_DASHBOARD
def test_the_annotation_is_one_series_of_what_is_throttled(dashboard: Json) -> None:
    expression = annotation(dashboard)["expr"]
    assert expression.startswith("max(")
    assert expression.endswith(" > 0")
    assert {seen.name for seen in promql_text.selectors(expression)} == TOLD_BY


@EACH_DASHBOARD
def test_the_annotation_leaves_out_just_the_panels_that_shade_for_themselves_or_have_no_time(dashboard: Json) -> None:
    found = annotation(dashboard)["filter"]
    left_out = {
        panel["id"]
        for panel in opened(dashboard)
        if panel["type"] in ("stat", "gauge", "table") or any(t["refId"] == "BAND" for t in panel.get("targets", []))
    }
    assert found["exclude"] is True
    assert set(found["ids"]) == left_out


@EACH_BANDED
def test_the_band_is_asked_for_first_so_that_it_is_drawn_behind_the_lines(board: str, panel: Json) -> None:
    first = panel["targets"][0]
    assert first["refId"] == "BAND"
    assert first["legendFormat"] == "Throttled"
    assert first["range"] is True
    assert {seen.name for seen in promql_text.selectors(first["expr"])} == TOLD_BY
    assert first["expr"].startswith("max("), "several bands one upon another would add up"


@EACH_BANDED
def test_the_band_is_a_shade_over_the_full_height_with_a_scale_of_its_own(board: str, panel: Json) -> None:
    properties = band(panel)
    assert properties["custom.lineWidth"] == 0
    # Strong at its upper edge, or it is olive on a dark ground; nothing at the bottom, where the lines are.
    assert properties["custom.gradientMode"] == "opacity"
    assert 60 <= properties["custom.fillOpacity"] <= 80  # type: ignore[operator]
    assert (properties["min"], properties["max"], properties["unit"]) == (0, 1, "bool_on_off")
    assert properties["custom.axisPlacement"] == "hidden"
    assert properties["custom.scaleDistribution"] == {"type": "linear"}
    assert properties["custom.stacking"] == {"mode": "none", "group": "A"}
    assert properties["custom.showPoints"] == "never"
    assert properties["custom.spanNulls"] is False
    assert properties["color"] == {"mode": "fixed", "fixedColor": "yellow"}
    assert properties["custom.hideFrom"] == {"legend": True, "tooltip": True, "viz": False}


@EACH_BANDED
def test_the_band_is_drawn_over_the_time_of_which_a_point_speaks(board: str, panel: Json) -> None:
    # The point stands for the time since the one before it, so it is drawn backwards to that one.
    assert "> time() - $__interval_ms / 1000" in panel["targets"][0]["expr"]
    assert band(panel)["custom.lineInterpolation"] == "stepBefore"


@EACH_BANDED
def test_hiding_the_axis_of_the_band_does_not_hide_the_time_axis(board: str, panel: Json) -> None:
    overrides = panel["fieldConfig"]["overrides"]
    matchers = [override["matcher"] for override in overrides]
    time = matchers.index({"id": "byType", "options": "time"})
    assert time > matchers.index({"id": "byFrameRefID", "options": "BAND"})
    assert overrides[time]["properties"] == [{"id": "custom.axisPlacement", "value": "auto"}]


@pytest.mark.parametrize("uid", ["penstock-overview", "penstock-flow-control", "penstock-exporting"])
def test_a_strip_says_which_partition_it_was(uid: str) -> None:
    (strip,) = (p for p in DASHBOARDS[uid]["panels"] if p["title"] == "Throttling by partition")
    assert strip["type"] == "state-timeline"
    options = strip["options"]
    assert (options["mergeValues"], options["showValue"], options["rowHeight"], options["alignValue"]) == (
        True,
        "never",
        0.8,
        "left",
    )
    assert options["perPage"]
    custom = strip["fieldConfig"]["defaults"]["custom"]
    assert (custom["fillOpacity"], custom["lineWidth"]) == (80, 0)
    words = strip["fieldConfig"]["defaults"]["mappings"][0]["options"]
    assert (words["0"]["text"], words["1"]["text"], words["1"]["color"]) == ("full rate", "throttled", "yellow")


def test_the_time_of_strips_stands_above_the_time_of_lines() -> None:
    widths = {
        panel["fieldConfig"]["defaults"]["custom"]["axisWidth"]
        for _, panel in PANELS
        if panel["type"] in ("timeseries", "state-timeline")
    }
    assert len(widths) == 1


@pytest.mark.parametrize("uid", ["penstock-overview", "penstock-flow-control"])
def test_a_number_says_how_much_of_the_range_was_throttled(uid: str) -> None:
    shares = [
        panel
        for panel in DASHBOARDS[uid]["panels"]
        if panel["type"] == "stat" and "penstock_throttled_seconds_total" in panel["targets"][0]["expr"]
    ]
    assert len(shares) == 1
    assert "[$__range])) / $__range_s" in shares[0]["targets"][0]["expr"]
    assert shares[0]["fieldConfig"]["defaults"]["unit"] == "percentunit"
