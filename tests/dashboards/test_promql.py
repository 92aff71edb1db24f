"""Expressions that cannot mean what they say are refused where they are written."""

from __future__ import annotations

import pytest

from dashboards.colours import Colour
from dashboards.panel import Query, Stat
from dashboards.promql import (
    ExpressionError,
    Scope,
    age,
    increase,
    is_,
    largest,
    quantile,
    rate,
    select,
    total,
    total_without,
)
from dashboards.units import Display
from exporter.catalogue import UnknownMetricError

THROTTLED = "penstock_throttled"


def test_an_unknown_metric_is_refused_and_the_nearest_one_named() -> None:
    with pytest.raises(UnknownMetricError, match="did you mean 'penstock_throttled'"):
        select("penstock_throtled")


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ExpressionError, match="penstock_throttled has no label exporter"):
        select(THROTTLED, is_("exporter", "file"))


def test_a_value_that_a_closed_label_never_has_is_refused() -> None:
    with pytest.raises(ExpressionError, match="outcome of penstock_writes_total is never dropped"):
        select("penstock_writes_total", is_("outcome", "dropped"))


@pytest.mark.parametrize("growth", [rate, increase])
def test_a_gauge_has_no_rate(growth) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ExpressionError, match="penstock_throttled is no counter"):
        growth(select(THROTTLED))


def test_an_aggregation_by_a_label_that_is_not_there_is_refused() -> None:
    with pytest.raises(ExpressionError, match="has no label task"):
        largest(select(THROTTLED), "task")


def test_a_label_that_was_aggregated_away_is_gone() -> None:
    with pytest.raises(ExpressionError, match="has no label partition"):
        largest(total(select(THROTTLED), "pipeline"), "partition")
    with pytest.raises(ExpressionError, match="has no label partition"):
        largest(total_without(select(THROTTLED), "partition"), "partition")


def test_a_legend_that_would_stay_empty_is_refused() -> None:
    with pytest.raises(ValueError, match="has no label partition"):
        Query(expression=total(select(THROTTLED), "pipeline"), legend="{{partition}}")


def test_a_board_narrows_down_by_every_variable_that_fits_a_rule_by_none() -> None:
    assert select(THROTTLED).text == (
        'penstock_throttled{job=~"$job", instance=~"$instance", pipeline=~"$pipeline", partition=~"$partition"}'
    )
    assert select(THROTTLED, scope=Scope.RULE).text == "penstock_throttled"


def test_a_quantile_keeps_the_buckets_and_the_labels_asked_for() -> None:
    found = quantile(0.99, "penstock_export_duration_seconds", "exporter", scope=Scope.RULE, window="5m")
    assert found.text == (
        "histogram_quantile(0.99, sum by (le, exporter) (rate(penstock_export_duration_seconds_bucket[5m])))"
    )
    assert found.labels == ("exporter",)
    assert found.unit is Display.SECONDS


def test_a_compound_is_put_in_parentheses_beside_an_operator() -> None:
    one = select(THROTTLED, scope=Scope.RULE)
    assert ((one + one) * "2").text == "(penstock_throttled + penstock_throttled) * 2"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("penstock_task_busy_seconds_total", Display.SHARE),
        ("penstock_writes_total", Display.RECORDS_PER_SECOND),
        ("penstock_exporter_errors_total", Display.EVENTS_PER_SECOND),
    ],
)
def test_a_rate_is_shown_per_second_and_time_per_time_as_a_share(name: str, shown: Display) -> None:
    assert rate(select(name)).unit is shown


def test_things_of_one_unit_divided_are_a_share() -> None:
    backlog = select("penstock_exporting_backlog_records")
    limit = select("penstock_write_rate_limit_records_per_second")
    assert (backlog / select("penstock_acceptable_backlog_records")).unit is Display.SHARE
    assert (limit / "2").unit is Display.RECORDS_PER_SECOND


def test_an_age_is_that_at_the_scrape_and_never_below_0() -> None:
    found = age(select("penstock_start_time_seconds", scope=Scope.RULE))
    assert found.text == "clamp_min(timestamp(penstock_start_time_seconds) - penstock_start_time_seconds, 0)"


def test_a_title_that_would_be_cut_is_refused() -> None:
    query = Query(expression=total(select(THROTTLED)), legend="x")
    with pytest.raises(ValueError, match="longer than 42"):
        Stat(
            id=1,
            title="T" * 43,
            shows="x",
            healthy="x",
            otherwise="x",
            queries=(query,),
            width=4,
            height=4,
        )


def test_only_the_band_may_be_yellow_by_name() -> None:
    assert [colour.name for colour in Colour if "yellow" in colour.value] == ["THROTTLED"]
