"""The boards over a real Prometheus that holds a made-up hour with two throttles of known times."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from dashboards import throttling
from tests.dashboards import backfill
from tests.dashboards.generated import BRIDGED, DASHBOARDS, PANELS, Json, named
from tests.dashboards.grafana_model import Range, regions
from tests.dashboards.scripted_run import HOUR, ScriptedRun
from tests.support.prometheus import Prometheus

pytestmark = pytest.mark.real

SCRAPE_INTERVAL = 5
# The engine that the samples pretend to be does not exist.
NOWHERE = "127.0.0.1:1"
ANNOTATION = DASHBOARDS["penstock-flow-control"]["annotations"]["list"][0]["expr"]
BAND = throttling.band_query().expression.text

# What bridges show is another story.
OWN_PANELS = [panel for panel in PANELS if panel[0] not in BRIDGED]
EACH_PANEL = pytest.mark.parametrize(("board", "panel"), OWN_PANELS, ids=map(named, OWN_PANELS))
# With two partitions, six tasks and two exporters.
LEGEND_ROWS_MAX = 6
STEPS = [5, 15, 60]
# Seconds from the start of the run to the begin and the end of what is looked at.
RANGES = {
    "5m": (2700, 3000),
    "15m": (2400, 3300),
    "1h": (0, HOUR),
    "6h": (HOUR - 6 * HOUR, HOUR),
    "24h": (HOUR - 24 * HOUR, HOUR),
}


@dataclass(frozen=True, slots=True)
class Hour:
    """A server that holds the run, and the truth about it."""

    prometheus: Prometheus
    start: int
    throttles: list[tuple[int, int]]

    def range(self, name: str, step: int) -> Range:
        begin, end = RANGES[name]
        return Range(start=self.start + begin, end=self.start + end, step=step)

    def throttles_in(self, looked_at: Range) -> list[tuple[int, int]]:
        return [(begin, end) for begin, end in self.throttles if begin < looked_at.end and end > looked_at.start]


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hour]:
    folder = tmp_path_factory.mktemp("hour")
    start = int(time.time()) // 60 * 60 - HOUR
    run = ScriptedRun(start)
    backfill.create_blocks(backfill.open_metrics(run.snapshots(SCRAPE_INTERVAL)), folder / "tsdb")
    with Prometheus(folder, NOWHERE, interval="1m") as prometheus:
        yield Hour(prometheus, start, [(begin, end) for _, begin, end in run.throttles])


def samples(hour: Hour, expression: str, looked_at: Range) -> list[tuple[float, float]]:
    found = hour.prometheus.query_range(
        looked_at.filled_in(expression), looked_at.start, looked_at.end, looked_at.executed_step
    )
    assert len(found) <= 1, "the band is one series"
    return [(float(at), float(value)) for at, value in found[0]["values"]] if found else []


def at_once(hour: Hour, expression: str, at: int) -> list[tuple[Json, float]]:
    """The answer to an instant query at a time in the past: labels and value."""
    found = hour.prometheus.query_range(expression, at, at, 1)
    return [(series["metric"], float(series["values"][0][1])) for series in found]


def test_the_run_has_two_throttles(hour: Hour) -> None:
    assert len(hour.throttles) == 2
    assert all(end - begin > 60 for begin, end in hour.throttles)


@EACH_PANEL
def test_every_query_of_every_panel_returns_data(hour: Hour, board: str, panel: Json) -> None:
    looked_at = hour.range("1h", 15)
    for target in panel["targets"]:
        expression = looked_at.filled_in(target["expr"])
        if target["instant"]:
            values = [value for _, value in at_once(hour, expression, looked_at.end)]
        else:
            found = hour.prometheus.query_range(expression, looked_at.start, looked_at.end, 15)
            values = [float(value) for series in found for _, value in series["values"]]
        assert any(math.isfinite(value) for value in values), (target["refId"], expression)


@EACH_PANEL
def test_no_two_series_of_a_panel_bear_the_same_name(hour: Hour, board: str, panel: Json) -> None:
    looked_at = hour.range("1h", 60)
    names: list[str] = []
    for target in panel["targets"]:
        if target["range"]:
            expression = looked_at.filled_in(target["expr"])
            for series in hour.prometheus.query_range(expression, looked_at.start, looked_at.end, 60):
                name = target["legendFormat"]
                for label, value in series["metric"].items():
                    name = name.replace(f"{{{{{label}}}}}", value)
                assert "{{" not in name
                names.append(name)
    assert len(names) == len(set(names))
    if panel["type"] == "timeseries":
        # More rows than these nobody tells apart. The band has none.
        assert len([name for name in names if name != throttling.BAND_NAME]) <= LEGEND_ROWS_MAX


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", RANGES)
def test_one_throttle_is_one_region_of_the_annotation_with_the_true_edges(hour: Hour, name: str, step: int) -> None:
    looked_at = hour.range(name, step)
    seen = regions(samples(hour, ANNOTATION, looked_at), looked_at.executed_step)
    truth = hour.throttles_in(looked_at)
    assert len(seen) == len(truth)
    # A point can be no nearer to an edge than the scrape that saw it, on the grid of the steps.
    tolerance = max(SCRAPE_INTERVAL, looked_at.executed_step)
    for (begin, end), (true_begin, true_end) in zip(seen, truth, strict=True):
        assert abs(begin - true_begin) <= tolerance
        assert abs(end - true_end) <= tolerance


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", RANGES)
def test_the_band_covers_the_throttles_and_nothing_else(hour: Hour, name: str, step: int) -> None:
    looked_at = hour.range(name, step)
    points = samples(hour, BAND, looked_at)
    assert {value for _, value in points} <= {0.0, 1.0}
    # Drawn backwards from a point to the one before it.
    drawn = [(begin - looked_at.executed_step, end) for begin, end in regions(points, looked_at.executed_step)]
    truth = hour.throttles_in(looked_at)
    assert len(drawn) == len(truth)
    tolerance = max(SCRAPE_INTERVAL, looked_at.executed_step)
    for (begin, end), (true_begin, true_end) in zip(drawn, truth, strict=True):
        assert abs(begin - true_begin) <= tolerance
        assert abs(end - true_end) <= tolerance


def test_the_share_of_the_range_is_the_true_one(hour: Hour) -> None:
    looked_at = hour.range("1h", 15)
    expression = looked_at.filled_in(throttling.share_of_range().text)
    ((_, share),) = at_once(hour, expression, looked_at.end)
    # Two partitions, of which one at a time is throttled.
    true_share = sum(end - begin for begin, end in hour.throttles) / (2 * HOUR)
    assert share == pytest.approx(true_share, abs=0.002)


def test_each_throttle_is_counted_once(hour: Hour) -> None:
    looked_at = hour.range("1h", 15)
    expression = looked_at.filled_in(throttling.throttles("pipeline", "partition").text)
    found = at_once(hour, expression, looked_at.end)
    assert {labels["partition"]: throttles for labels, throttles in found} == {"1": 1, "2": 1}


def test_the_culprit_is_named_while_there_is_one_and_nobody_otherwise(hour: Hour) -> None:
    (blame,) = (panel for uid, panel in PANELS if uid == "penstock-overview" and panel["title"] == "Who is to blame")
    looked_at = hour.range("1h", 15)
    expression = looked_at.filled_in(blame["targets"][0]["expr"])
    named_at = {
        second: [labels["who"].strip() for labels, _ in at_once(hour, expression, hour.start + second)]
        for second in (300, 900, 2000)
    }
    assert named_at == {300: ["nobody"], 900: ["flights delays is retrying"], 2000: ["flights processor"]}


def test_the_answers_of_the_gateway_are_requests_per_second(hour: Hour) -> None:
    (answers,) = (panel for _, panel in PANELS if panel["title"] == "Answers of the gateway")
    looked_at = hour.range("5m", 15)
    given = {
        labels["code"]: rate
        for target in answers["targets"]
        if target["legendFormat"] == "{{code}}"
        for labels, rate in at_once(hour, looked_at.filled_in(target["expr"]), looked_at.end)
    }
    (records,) = at_once(
        hour, looked_at.filled_in("sum(rate(penstock_gateway_records_total[$__rate_interval]))"), looked_at.end
    )
    assert given["200"] == pytest.approx(records[1] / 10, rel=0.05)


@pytest.fixture(scope="module")
def late_scrapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hour]:
    """Ten minutes of one throttle, scraped up to two seconds too early or too late."""
    folder = tmp_path_factory.mktemp("late")
    start = int(time.time()) // 60 * 60 - 600
    begin, end = start + 120, start + 300
    jitter = random.Random(20)
    times = [start + second + jitter.uniform(-2, 2) for second in range(0, 600, SCRAPE_INTERVAL)]
    labels = 'job="penstock",instance="engine:9600",pipeline="flights",partition="1"'
    lines = [f"penstock_throttled{{{labels}}} {int(begin <= at < end)} {at:.3f}\n" for at in times]
    text = "# TYPE penstock_throttled gauge\n" + "".join(lines) + "# EOF\n"
    backfill.create_blocks(text, folder / "tsdb")
    with Prometheus(folder, NOWHERE, interval="1m") as prometheus:
        yield Hour(prometheus, start, [(begin, end)])


@pytest.mark.parametrize("expression", [ANNOTATION, BAND], ids=["annotation", "band"])
def test_scrapes_that_come_a_little_late_do_not_tear_a_throttle_apart(late_scrapes: Hour, expression: str) -> None:
    looked_at = Range(start=late_scrapes.start + 10, end=late_scrapes.start + 590, step=SCRAPE_INTERVAL)
    assert len(regions(samples(late_scrapes, expression, looked_at), SCRAPE_INTERVAL)) == 1


def test_a_throttle_shorter_than_a_step_is_still_seen(late_scrapes: Hour) -> None:
    # Three minutes of throttle, looked at every hour.
    looked_at = Range(start=late_scrapes.start - 86_400, end=late_scrapes.start + 600, step=600)
    assert max(value for _, value in samples(late_scrapes, BAND, looked_at)) == 1
