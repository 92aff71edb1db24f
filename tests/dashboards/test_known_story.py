"""The boards over an hour of which every second is known, as a real Prometheus stores it.

Every throttle is drawn, and nothing that is dead, paused or one of several is taken for something else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from dashboards import throttling
from dashboards.boards import common
from tests.dashboards.generated import DASHBOARDS, PANELS, Json
from tests.dashboards.grafana_model import Range, regions
from tests.dashboards.known_story import HOUR, LIVES, TRUTH, Throttle, condition_at, scraped
from tests.support.prometheus import Prometheus
from tests.support.remote_write import write

pytestmark = pytest.mark.real

STRIP = next(p for p in DASHBOARDS["penstock-overview"]["panels"] if p["title"] == "Throttling by partition")
ANNOTATION = DASHBOARDS["penstock-flow-control"]["annotations"]["list"][0]["expr"]
# Seconds of the story that are looked at, and the step of a panel of some thousand pixels.
LOOKS = {
    "5m": [(0, 300), (300, 600), (600, 900), (1380, 1680), (1500, 1800), (2740, 3040)],
    "1h": [(0, HOUR)],
    "6h": [(HOUR - 6 * HOUR, HOUR)],
    "7d": [(HOUR - 7 * 24 * HOUR, HOUR)],
}
STEPS = {"5m": 1, "1h": 5, "6h": 20, "7d": 600}
# Ten moments, each at some distance from what changes.
MOMENTS = (50, 515, 770, 1335, 1470, 1520, 1900, 2550, 2608, 3295, 3500)


@dataclass(frozen=True, slots=True)
class Story:
    """A server that holds the hour, as it was scraped every `interval` seconds."""

    prometheus: Prometheus
    start: int
    interval: int

    def range(self, begin: int, end: int, step: int) -> Range:
        return Range(
            start=self.start + begin,
            end=self.start + end,
            # No panel is asked more finely than is scraped: Grafana knows the interval of its data source.
            step=max(step, self.interval),
            scrape_interval=self.interval,
        )


@pytest.fixture(scope="module", params=[5, 15, 60], ids=lambda interval: f"scraped every {interval} s")
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    start = int(time.time()) // 3600 * 3600 - HOUR
    with Prometheus(folder, "", interval="1m", takes_writes=True) as prometheus:
        write(prometheus.url, scraped(start, request.param))
        yield Story(prometheus, start, request.param)


@dataclass(slots=True)
class Drawn:
    """What a throttle looks like on a strip: the runs of painted steps that touch it."""

    throttle: Throttle
    begin: float
    end: float
    # Others that are drawn in the same run.
    together: int


def painted(story: Story, looked_at: Range) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """The yellow pieces of each row of the strip, in seconds of the story."""
    step = looked_at.executed_step
    found = story.prometheus.query_range(
        looked_at.filled_in(STRIP["targets"][0]["expr"]), looked_at.start, looked_at.end, step
    )
    return {
        (row["metric"]["pipeline"], row["metric"]["partition"]): [
            (begin - step - story.start, end - story.start)
            for begin, end in regions(((float(at), float(value)) for at, value in row["values"]), step)
        ]
        for row in found
    }


def truth_in(begin: float, end: float) -> list[Throttle]:
    return [throttle for throttle in TRUTH if begin < throttle.begin and throttle.end < end]


@pytest.mark.parametrize("name", LOOKS)
def test_every_throttle_is_drawn_where_it_was_and_nothing_else_is(story: Story, name: str) -> None:
    for begin, end in LOOKS[name]:
        looked_at = story.range(begin, end, STEPS[name])
        tolerance = max(story.interval, looked_at.executed_step)
        rows = painted(story, looked_at)
        for throttle in truth_in(begin + tolerance, end - tolerance):
            pieces = rows[throttle.pipeline, str(throttle.partition)]
            touching = [(b, e) for b, e in pieces if b - tolerance < throttle.end and e + tolerance > throttle.begin]
            assert touching, f"{throttle} is not drawn"
        for (pipeline, partition), pieces in rows.items():
            own = [t for t in TRUTH if (t.pipeline, str(t.partition)) == (pipeline, partition)]
            for piece_begin, piece_end in pieces:
                inside = [t for t in own if t.begin < piece_end + tolerance and t.end > piece_begin - tolerance]
                assert inside, f"nothing was throttled at {piece_begin} to {piece_end} on {pipeline}/{partition}"
                # Edges within one step, or within one scrape where that is longer; those of the range are nobody's.
                if piece_begin > begin:
                    assert min(abs(t.begin - piece_begin) for t in inside) <= tolerance + 1e-6, (piece_begin, inside)
                if piece_end < end:
                    assert min(abs(t.end - piece_end) for t in inside) <= tolerance + 1e-6, (piece_end, inside)
                drawn, true = piece_end - piece_begin, sum(t.end - t.begin for t in inside)
                if piece_begin > begin and piece_end < end:
                    assert abs(drawn - true) <= tolerance * len(inside) + 1e-6, (piece_begin, piece_end, inside)


def test_the_annotation_covers_every_throttle(story: Story) -> None:
    looked_at = story.range(0, HOUR, 5)
    step = looked_at.executed_step
    expression = looked_at.filled_in(ANNOTATION)
    (found,) = story.prometheus.query_range(expression, looked_at.start, looked_at.end, step)
    pieces = [
        (begin - story.start, end - story.start)
        for begin, end in regions(((float(at), float(value)) for at, value in found["values"]), step)
    ]
    tolerance = max(story.interval, step)
    for throttle in TRUTH:
        assert any(b - tolerance < throttle.end and e + tolerance > throttle.begin for b, e in pieces), throttle
    for begin, end in pieces:
        assert any(t.begin < end + tolerance and t.end > begin - tolerance for t in TRUTH)


def test_throttles_are_counted_exactly(story: Story) -> None:
    # Up to a moment at which all engines that were scraped in between are still there.
    at = 3200
    looked_at = Range(start=story.start, end=story.start + at, step=story.interval, scrape_interval=story.interval)
    expression = looked_at.filled_in(throttling.throttles("pipeline", "partition").text)
    found = {
        (row["metric"]["pipeline"], row["metric"]["partition"]): float(row["value"][1])
        for row in story.prometheus.query_at(expression, looked_at.end)
    }
    for pipeline, partition in (("flights", "1"), ("flights", "2")):
        own = [t for t in TRUTH if (t.pipeline, str(t.partition)) == (pipeline, partition) and t.begin < at]
        assert found[pipeline, partition] == len(own)


@pytest.mark.parametrize("moment", MOMENTS)
def test_is_it_fine_tells_the_truth_of_each_pipeline(story: Story, moment: int) -> None:
    # Whoever looks knows what was scraped last.
    seen_at = (moment - 0.37) // story.interval * story.interval + 0.37
    (tile,) = (panel for uid, panel in PANELS if uid == "penstock-overview" and panel["title"] == "Is it fine?")
    looked_at = story.range(max(0, moment - 1800), moment, 15)
    words = {number: word.text.lower() for number, word in common.CONDITION_WORDS.items()}
    found = {
        row["metric"]["pipeline"]: words[int(float(row["value"][1]))]
        for row in story.prometheus.query_at(looked_at.filled_in(tile["targets"][0]["expr"]), story.start + moment)
    }
    truth = {
        pipeline: condition_at(pipeline, seen_at).replace("back_pressured", "back-pressured").replace("_", " ")
        for pipeline in ("flights", "orders")
    }
    assert found == truth


def instant_targets() -> list[tuple[str, str, Json]]:
    return [
        (uid, panel["title"], target)
        for uid, panel in PANELS
        if panel["type"] in ("stat", "gauge")
        for target in panel["targets"]
    ]


def test_every_number_of_now_is_asked_for_now() -> None:
    assert [(uid, title) for uid, title, target in instant_targets() if not target["instant"]] == []


def test_nothing_of_a_dead_engine_looks_fresh(story: Story) -> None:
    """Once both are dead, no tile says anything of now but that they are down; what speaks of a range may."""
    looked_at = story.range(HOUR - 1800, HOUR - 30, 15)
    for uid, title, target in instant_targets():
        if "$__range" in target["expr"] or title == "Is it fine?":
            continue
        found = story.prometheus.query_at(looked_at.filled_in(target["expr"]), looked_at.end)
        assert found == [], (uid, title, found)


def test_the_story_has_a_throttle_of_each_kind() -> None:
    lengths = sorted(throttle.end - throttle.begin for throttle in TRUTH)
    assert lengths[0] < 0.5
    assert lengths[-1] == 300
    assert any(throttle.end == life.end for throttle in TRUTH for life in LIVES)
