"""Every query of every board, rule and example says the same of a pipeline whether one process runs it or three do.

The three share it, and partitions move between them (`moving_story`). Gauges must agree but for the time between two
scrapes; rates, for as long as their window holds a move, roughly: a counter begins anew, and what it counted before it
was first seen is lost.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from dashboards.rules import ALERT_GROUPS, RECORDING_GROUPS
from exporter.catalogue import metrics
from exporter.catalogue.docs import example_query
from tests.dashboards.generated import BRIDGED, DASHBOARDS, PANELS
from tests.dashboards.grafana_model import Range
from tests.dashboards.moving_story import (
    INTERVAL,
    KILLED,
    LENGTH,
    MOVES,
    OF_SEVERAL,
    ONE,
    SHARED,
    STEP,
    TAKEN_OVER,
    A,
    B,
    C,
    scraped,
)
from tests.support.prometheus import Prometheus
from tests.support.remote_write import write

pytestmark = pytest.mark.real

Labels = frozenset[tuple[str, str]]
Answer = Mapping[Labels, Mapping[int, float]]

# Seconds of the story that are looked at: all but the first windows, and the time in which nobody has partition 1.
LOOKED_AT = [at for at in range(240, LENGTH, STEP) if not KILLED <= at <= TAKEN_OVER + 2 * INTERVAL]
# The time between the scrape in which it has left and that in which it has come.
GAP = range(MOVES[2], MOVES[2] + 2 * STEP)
# The other tale may be right a little earlier or later, for each instance is scraped at another time.
AROUND = 2 * INTERVAL
SLACK = 0.15
# Of what a window holds in which a partition moved, so much may be missing or too much.
SLACK_OF_RATES = 0.45
RECORDED = {rule.name: rule.expression.text for group in RECORDING_GROUPS for rule in group.rules}

# What speaks of a process and not of the pipeline, and why it may differ.
OF_A_PROCESS = {
    "penstock_start_time_seconds": "each has begun when it began",
    "penstock_build_info": "each says what it is",
    "penstock_snapshot_age_seconds": "of each its own",
    "penstock_collector": "of each its own",
    "penstock_scrape": "of each its own",
    "penstock_exposed_series": "of each its own",
    "penstock_series": "of each its own",
    "penstock_worker": "workers are not shared",
    "ALERTS": "nobody evaluates rules here",
    "penstock_bridge": "no bridge is shared",
    "penstock_task_info": "the same on all",
}
# What is only said where a pipeline is shared, and what names the instance because it asks for it.
ONLY_OF_SEVERAL = ("alert PenstockInstanceDown", "penstock-flow-control: Who has which partition")
# A line through what one owner has seen is shorter than one through all.
OF_ONE_OWNER = "predict_linear"
# Which of several that are alike is named is chance.
OF_THE_WORST = re.compile(r"\b(topk|bottomk)\(1,")


@dataclass(frozen=True, slots=True)
class Query:
    """`where` it stands, and what it asks of each tale."""

    where: str
    expression: str

    def of(self, job: str) -> str:
        looked_at = Range(start=0, end=LENGTH, step=INTERVAL, scrape_interval=INTERVAL)
        return looked_at.filled_in(_unrecorded(self.expression).replace("$job", job))


def _unrecorded(expression: str) -> str:
    """With recorded series replaced by what is recorded: nobody recorded the past."""
    for _ in range(4):
        for name, meant in RECORDED.items():
            expression = re.sub(rf"{re.escape(name)}(\{{}})?\[(\w+)\]", rf"({meant})[\2:{INTERVAL}s]", expression)
            expression = re.sub(rf"{re.escape(name)}(?![\w:])", f"({meant})", expression)
    return expression


def _all() -> Iterator[Query]:
    for uid, panel in PANELS:
        if uid not in BRIDGED:
            for target in panel["targets"]:
                yield Query(f"{uid}: {panel['title']}", target["expr"])
    for uid, board in DASHBOARDS.items():
        if uid not in BRIDGED:
            for annotation in board["annotations"]["list"]:
                yield Query(f"{uid}: annotation {annotation['name']}", annotation["expr"])
    for group in RECORDING_GROUPS:
        for rule in group.rules:
            yield Query(f"rule {rule.name}", rule.expression.text)
    for alerts in ALERT_GROUPS:
        for alert in alerts.rules:
            yield Query(f"alert {alert.name}", alert.expression.text)
    for metric in metrics():
        yield Query(f"example {metric.name}", example_query(metric))


def _unique(queries: Iterable[Query]) -> list[Query]:
    return list({query.expression: query for query in queries}.values())


QUERIES = _unique(_all())


def is_of_a_process(query: Query) -> bool:
    """All that it asks for is, or is only told by several; one that asks for a partition's too is held to the truth."""
    asked = re.findall(r"\b(?:penstock_\w+|ALERTS)\b", _unrecorded(query.expression))
    return bool(asked) and (
        all(any(name.startswith(known) for known in OF_A_PROCESS) for name in asked) or {*asked} <= OF_SEVERAL
    )


@dataclass(frozen=True, slots=True)
class Story:
    """A server that holds both tales."""

    prometheus: Prometheus
    start: int

    def answer(self, query: Query, job: str) -> Answer:
        """By labels, of which those of a target are left out."""
        found: dict[Labels, dict[int, float]] = {}
        for series in self.prometheus.query_range(
            query.of(job), self.start + LOOKED_AT[0] - AROUND, self.start + LENGTH, STEP
        ):
            if series["metric"].get("job", job) != job:
                continue
            kept = {} if OF_THE_WORST.search(query.expression) else series["metric"]
            labels = frozenset((k, v) for k, v in kept.items() if k not in ("instance", "job"))
            values = found.setdefault(labels, {})
            for at, value in series["values"]:
                second = round(float(at)) - self.start
                assert second not in values or not kept, f"{query.where}: told twice: {series['metric']}"
                values[second] = float(value)
        return found


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("moving")
    start = (int(time.time()) - LENGTH - 600) // 3600 * 3600
    with Prometheus(folder, "", interval="1m", takes_writes=True) as prometheus:
        write(prometheus.url, scraped(start))
        yield Story(prometheus, start)


def window_of(query: Query) -> int:
    """Seconds that its longest range reaches back; 0 where it has none."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    found = re.findall(r"\[(\d+)([smhd])", query.of(ONE))
    return max((int(number) * units[unit] for number, unit in found), default=0)


def difference(query: Query, story: Story) -> str | None:
    """Where the tale of the three is another one than that of the one; None where it is not."""
    try:
        one, shared = story.answer(query, ONE), story.answer(query, SHARED)
    except AssertionError as error:
        return str(error)
    window = window_of(query)
    # One event more or less within the shortest window.
    room = 1 / 60 if window else 1e-9
    for at in LOOKED_AT:
        if at in GAP:
            continue
        near = range(at - AROUND, at + AROUND + 1, STEP)
        has_moved = any(move <= at <= move + window + AROUND for move in (*MOVES, KILLED))
        slack = SLACK_OF_RATES if window and has_moved else SLACK
        for labels in {*one, *shared}:
            wanted = [one[labels][t] for t in near if t in one.get(labels, {})]
            told = shared.get(labels, {}).get(at)
            if told is None and len(wanted) == len(near):
                return f"{query.where} at {at}: {dict(labels)} is missing, it is {wanted[0]:g}"
            if told is not None and not wanted:
                return f"{query.where} at {at}: {dict(labels)} is {told:g}, and it is not there"
            # What comes or goes just now may be anything between nothing and what it becomes.
            if told is None or len(wanted) < len(near) or any(map(math.isnan, (told, *wanted))):
                continue
            low, high = min(wanted), max(wanted)
            if not low * (1 - slack) - room <= told <= high / (1 - slack) + room:
                return f"{query.where} at {at}: {dict(labels)} is told as {told:g}, it is {low:g} to {high:g}"
    return None


def test_every_query_says_of_three_that_share_a_pipeline_what_it_says_of_one(story: Story) -> None:
    held = [
        query
        for query in QUERIES
        if not is_of_a_process(query) and query.where not in ONLY_OF_SEVERAL and OF_ONE_OWNER not in query.expression
    ]
    assert len(held) > 0.8 * len(QUERIES)
    wrong = [said for query in held if (said := difference(query, story)) is not None]
    assert not wrong, f"{len(wrong)} of {len(QUERIES)}:\n" + "\n".join(wrong)


PLANTED = {
    "a sum of gauges that counts a partition twice while it moves": "sum(penstock_exporting_backlog_records)",
    "a mean in which a partition counts once for each that had it": "avg(increase("
    "penstock_throttled_seconds_total[20m]))",
    "the largest of two halves": 'max by (pipeline, task) (rate(penstock_task_busy_seconds_total{task="delays"}[5m]))',
    "a join that a move tears apart": "sum by (partition) (penstock_exporting_backlog_records > 0 and on (instance, "
    "partition) rate(penstock_exported_records_total[5m]) > 0)",
    "an instance in place of the pipeline": "penstock_exporting_backlog_records",
    "one of several that count": "max by (pipeline) (penstock_gateway_connections)",
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_a_query_that_a_move_makes_wrong_is_found(story: Story, planted: str) -> None:
    narrowed = re.sub(r"(penstock_\w+)(\{)?", lambda m: f'{m[1]}{{job="$job"' + (", " if m[2] else "}"), planted)
    assert difference(Query("planted", narrowed), story) is not None


def panel(title: str) -> list[str]:
    return [target["expr"] for _, panel in PANELS if panel["title"] == title for target in panel["targets"]]


def values(story: Story, expression: str, at: int) -> dict[str, float]:
    """By instance where it is named, else by the pipeline."""
    found = story.prometheus.query_at(Query("", expression).of(SHARED), story.start + at)
    return {row["metric"].get("instance") or row["metric"].get("pipeline", ""): float(row["value"][1]) for row in found}


def test_the_row_of_instances_says_who_has_how_many_what_nobody_has_and_how_many_have_moved(story: Story) -> None:
    (owned,) = panel("Partitions of each instance")
    assert values(story, owned, 380) == {"a:9600": 2, "b:9600": 0, "c:9600": 0}
    assert values(story, owned, 740) == {"a:9600": 1, "b:9600": 1, "c:9600": 0}
    assert values(story, owned, 895) == {"a:9600": 1, "b:9600": 0, "c:9600": 1}
    assert values(story, owned, 1090) == {"a:9600": 1, "b:9600": 1}
    here, without = panel("Instances, and partitions nobody has open")
    assert [values(story, here, at) for at in (895, 1090)] == [{"flights": 3}, {"flights": 2}]
    assert [values(story, without, at) for at in (895, TAKEN_OVER - 2, 1090)] == [
        {"flights": 0},
        {"flights": 1},
        {"flights": 0},
    ]
    joined, left, lost = panel("Moves of partitions")
    assert values(story, joined, 395) == values(story, left, 395) == {"flights": 0}
    assert values(story, joined, 450)["flights"] == pytest.approx(1, abs=0.5)
    assert values(story, left, 450)["flights"] == pytest.approx(1, abs=0.5)
    assert values(story, lost, 450) == {}


def test_the_table_of_instances_names_who_has_each_partition(story: Story) -> None:
    runs, left = panel("Who has which partition")
    for at, owners in (
        (380, {"1": A, "2": A}),
        (740, {"1": B, "2": A}),
        (895, {"1": C, "2": A}),
        (1090, {"1": A, "2": B}),
    ):
        for expression in (runs, left):
            found = story.prometheus.query_at(Query("", expression).of(SHARED), story.start + at)
            assert {row["metric"]["partition"]: row["metric"]["instance"] for row in found} == owners
