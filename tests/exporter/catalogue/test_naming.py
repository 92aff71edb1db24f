"""Every metric keeps the naming rules, and the rules can tell a metric that does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.catalogue import AnyMetric, Kind, Label, Unit, metric, metrics
from tests.support.metric_rules import violations


@pytest.mark.parametrize("one", metrics(), ids=lambda m: m.name)
def test_a_metric_keeps_every_naming_rule(one: AnyMetric) -> None:
    assert list(violations(one)) == []


def _label(name: str) -> Label:
    return Label(name=name, bound="the test")


GOOD = metric("penstock_throttled_seconds_total")


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (replace(GOOD, name="penstock_throttled_seconds"), "_total belongs"),
        (replace(GOOD, kind=Kind.GAUGE), "_total belongs"),
        (replace(GOOD, name="flow_throttled_seconds_total"), "begins with penstock_"),
        (replace(GOOD, name="penstock:throttled_seconds_total"), "snake case"),
        (replace(GOOD, name="penstock_throttledSeconds_total"), "snake case"),
        (replace(GOOD, name="penstock_throttled_total"), "ends in its unit"),
        (replace(GOOD, name="penstock_throttled_ms_total"), "base units"),
        (replace(GOOD, name="penstock_throttled_count_total"), "ends like a sample"),
        (replace(GOOD, unit=Unit.RECORDS), "which is not its unit"),
        (replace(GOOD, kind=Kind.GAUGE, name="penstock_load_percent", unit=Unit.NONE), "base units"),
        (replace(GOOD, labels=()), "first label is pipeline"),
        (replace(GOOD, labels=(*GOOD.labels, _label("job"))), "belongs to others"),
        (replace(GOOD, labels=(*GOOD.labels, _label("partition"))), "occurs once"),
        (replace(GOOD, labels=(*GOOD.labels, Label(name="x", bound=""))), "bounds every label"),
        (replace(GOOD, name="penstock_throttled_by_partition_seconds_total"), "says its label"),
        (replace(GOOD, kind=Kind.STATE_SET, name="penstock_throttled_seconds"), "closed list"),
        (replace(GOOD, kind=Kind.HISTOGRAM, name="penstock_throttled_seconds"), "buckets belong"),
        (replace(GOOD, help="no sentence"), "is a sentence"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_the_rules_tell_a_metric_that_breaks_one(bad: AnyMetric, complaint: str) -> None:
    assert any(complaint in said for said in violations(bad))
