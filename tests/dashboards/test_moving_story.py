"""Every query of every board, rule and page of examples says the same of a pipeline whether one process runs it or three.

The three share it, and partitions move between them (`moving_story`). Gauges must agree but for the time between two
scrapes; rates, for as long as their window holds a move, roughly: a counter begins anew, and what it counted before it
was first seen is lost.
"""

from __future__ import annotations

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
from tests.dashboards.moving_story import INTERVAL, KILLED, LENGTH, MOVES, ONE, SHARED, TAKEN_OVER, scraped
from tests.support.prometheus import Prometheus
from tests.support.remote_write import write

pytestmark = pytest.mark.real

Labels = frozenset[tuple[str, str]]
Answer = Mapping[Labels, Mapping[int, float]]

# Seconds of the story that are looked at: all but the first windows, and the time in which nobody has partition 1.
LOOKED_AT = [at for at in range(240, LENGTH, INTERVAL) if not KILLED <= at <= TAKEN_OVER + 2 * INTERVAL]
# The other tale may be right a little earlier or later, for each instance is scraped at another time.
AROUND = 2 * INTERVAL
SLACK = 0.1
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
}


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
    """All that it asks for is; one that asks for a partition's too is held to the truth."""
    asked = re.findall(r"\b(?:penstock_\w+|ALERTS)\b", _unrecorded(query.expression))
    return bool(asked) and all(any(name.startswith(known) for known in OF_A_PROCESS) for name in asked)


@dataclass(frozen=True, slots=True)
class Story:
    """A server that holds both tales."""

    prometheus: Prometheus
    start: int

    def answer(self, query: Query, job: str) -> Answer:
        """By labels, of which those of a target are left out."""
        found: dict[Labels, dict[int, float]] = {}
        for series in self.prometheus.query_range(
            query.of(job), self.start + LOOKED_AT[0] - AROUND, self.start + LENGTH, INTERVAL
        ):
            if series["metric"].get("job", job) != job:
                continue
            labels = frozenset((k, v) for k, v in series["metric"].items() if k not in ("instance", "job"))
            values = found.setdefault(labels, {})
            for at, value in series["values"]:
                second = round(float(at)) - self.start
                assert second not in values, f"{query.where}: told twice: {series['metric']}"
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
    for at in LOOKED_AT:
        near = [t for t in range(at - AROUND, at + AROUND + 1, INTERVAL)]
        has_moved = any(move <= at <= move + window + AROUND for move in (*MOVES, KILLED))
        slack = SLACK_OF_RATES if window and has_moved else SLACK
        for labels in {*one, *shared}:
            wanted = [one[labels][t] for t in near if t in one.get(labels, {})]
            told = shared.get(labels, {}).get(at)
            if told is None:
                if len(wanted) == len(near):
                    return f"{query.where} at {at}: {dict(labels)} is missing, it is {wanted[0]:g}"
                continue
            if not wanted:
                return f"{query.where} at {at}: {dict(labels)} is {told:g}, and it is not there"
            low, high = min(wanted), max(wanted)
            room = slack * max(abs(low), abs(high)) + 1e-9
            if not low - room <= told <= high + room and not (told != told and any(w != w for w in wanted)):
                return f"{query.where} at {at}: {dict(labels)} is told as {told:g}, it is {low:g} to {high:g}"
    return None


def test_every_query_says_of_three_that_share_a_pipeline_what_it_says_of_one(story: Story) -> None:
    wrong = [said for query in QUERIES if not is_of_a_process(query) if (said := difference(query, story))]
    assert not wrong, f"{len(wrong)} of {len(QUERIES)}:\n" + "\n".join(wrong)
