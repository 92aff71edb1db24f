"""The boards over an hour of which every second is known, as a real Prometheus stores it.

Every throttle is drawn, and nothing that is dead, paused or one of several is taken for something else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from dashboards import throttling
from dashboards.boards import common
from tests.dashboards.generated import BRIDGED, DASHBOARDS, PANELS, Json
from tests.dashboards.grafana_model import Range, regions
from tests.dashboards.known_story import (
    ACCEPTABLE,
    BUSY_SHARE,
    BY_HAND,
    DISK_FREE,
    EXPORTED_PER_SECOND,
    HOUR,
    LIVES,
    REFUSED,
    REFUSED_PER_SECOND,
    REJECTED,
    REJECTED_PER_SECOND,
    TRUTH,
    WRITTEN_PER_SECOND,
    Throttle,
    backlog_at,
    condition_at,
    is_paused,
    is_retrying,
    is_throttled,
    is_within,
    life_at,
    scraped,
    since,
)
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


@dataclass(frozen=True, slots=True)
class Told:
    """A number of a tile, and as whose it may be told: of partitions that are equally badly off any will do."""

    value: float
    names: frozenset[str] | None = None


class Now:
    """What the tiles have to say at a moment, by the story. Whoever looks knows what was scraped last."""

    def __init__(self, story: Story, moment: int, looked_at: Range) -> None:
        self.moment = moment
        self.seen_at = (moment - 0.37) // story.interval * story.interval + 0.37
        self.lives = [life for name in ("flights", "orders") if (life := life_at(name, self.seen_at))]
        self.partitions = [(life.pipeline, number + 1) for life in self.lives for number in range(life.partitions)]
        window = int(looked_at.filled_in("$__rate_interval").removesuffix("s"))
        scrapes = [number * story.interval + 0.37 for number in range(HOUR // story.interval)]
        inside = [at for at in scrapes if moment - window < at <= moment]
        # Of what has been scraped once alone no rate is known.
        self.window = (inside[0], inside[-1]) if len(inside) > 1 else None
        # Of what has just begun a rate also counts the time before: it is too low, and for so long only.
        self.has_just_begun = any(moment - window < life.begin for life in self.lives)

    def worst(self, value: Callable[[str, int, float], float], choose: Callable[..., float] = max) -> list[Told]:
        values = {f"{name}/{number}": value(name, number, self.seen_at) for name, number in self.partitions}
        if not values:
            return []
        found = choose(values.values())
        return [Told(found, frozenset(name for name, each in values.items() if each == found))]

    def rated(self, rate: Callable[[tuple[float, float]], float], names: frozenset[str] | None = None) -> list[Told]:
        return [Told(rate(self.window), names)] if self.window and self.lives else []

    def alive(self, value: float) -> list[Told]:
        return [Told(float(value))] if self.lives else []

    def blamed(self) -> list[Told]:
        found = []
        for life in self.lives:
            name = f"{life.pipeline} audit"
            if is_paused(life.pipeline, self.seen_at):
                found.append(Told(0.5, frozenset({f"{name} is paused"})))
            elif is_retrying(life.pipeline, self.seen_at):
                found.append(Told(1, frozenset({f"{name} is retrying"})))
            elif self.throttled(life.pipeline):
                found.append(Told(1, frozenset({name})))
        return found or [Told(0, frozenset({"nobody"})) for _ in self.lives[:1]]

    def throttled(self, pipeline: str) -> int:
        return sum(is_throttled(*each, self.seen_at) for each in self.partitions if each[0] == pipeline)

    def refused_share(self, window: tuple[float, float]) -> float:
        first, last = window
        flights = sum(life.partitions for life in self.lives if life.pipeline == "flights")
        refused = flights * (since(REFUSED, last) - since(REFUSED, first)) * REFUSED_PER_SECOND
        return refused / (refused + len(self.partitions) * (last - first) * WRITTEN_PER_SECOND)

    def rejected(self, window: tuple[float, float]) -> float:
        first, last = window
        grown = (since(REJECTED, last) - since(REJECTED, first)) * REJECTED_PER_SECOND / (last - first)
        return grown if any(life.pipeline == "orders" for life in self.lives) else 0.0


# Every tile that says something of now, and what the story says of it.
TILES: dict[str, Callable[[Now], list[Told]]] = {
    "Who is to blame": Now.blamed,
    "Bottleneck": Now.blamed,
    "Oldest record not yet outside": lambda now: now.worst(
        lambda *place: backlog_at(*place) // int(WRITTEN_PER_SECOND)
    ),
    "Refused writes": lambda now: now.rated(now.refused_share),
    "Partitions throttled now": lambda now: now.alive(sum(now.throttled(life.pipeline) for life in now.lives)),
    "Lowest write limit": lambda now: now.worst(lambda *place: 0.25 if is_throttled(*place) else 1.0, min),
    "Partition load": lambda now: now.worst(lambda *_: 0.25),
    "Limits": lambda now: now.alive(
        any(life.pipeline == "orders" for life in now.lives) and is_within(BY_HAND, now.seen_at)
    ),
    "Subtasks held back": lambda now: now.alive(sum(now.throttled(life.pipeline) > 0 for life in now.lives)),
    "Busiest subtask": lambda now: now.rated(
        lambda _: BUSY_SHARE, frozenset(f"{life.pipeline}/lines/0" for life in now.lives)
    ),
    "Records put aside": lambda now: now.rated(now.rejected),
    "Backlog against the acceptable": lambda now: now.worst(lambda *place: backlog_at(*place) / ACCEPTABLE),
    "Time until all is exported": lambda now: now.rated(
        lambda _: max(backlog_at(*place, now.seen_at) for place in now.partitions) / EXPORTED_PER_SECOND,
        # Rates of the same speed differ a little, and so do times.
        frozenset(f"audit {name}/{number}" for name, number in now.partitions),
    ),
    "Disk free": lambda now: [Told(DISK_FREE, frozenset(life.pipeline for life in now.lives))][: len(now.lives)],
    "What is exposed": lambda now: now.alive(1),
    "Age of the snapshot": lambda now: now.alive(0),
    # The story has no histograms.
    "Slowest scrapes": lambda now: [],
}
# Of which the story does not know the number: that it is there for the living, and for nobody else.
COUNTED = ("Series",)


def now_targets() -> list[tuple[str, str, Json]]:
    return [
        (uid, title, target)
        for uid, title, target in instant_targets()
        if "$__range" not in target["expr"] and title != "Is it fine?"
    ]


def test_no_tile_of_now_is_left_out() -> None:
    assert {title for _, title, _ in now_targets()} == {*TILES, *COUNTED}


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_tile_tells_the_truth_of_now(story: Story, moment: int) -> None:
    looked_at = story.range(max(0, moment - 1800), moment, 15)
    now = Now(story, moment, looked_at)
    for uid, title, target in now_targets():
        rows = story.prometheus.query_at(looked_at.filled_in(target["expr"]), story.start + moment)
        if title in COUNTED:
            assert (len(rows) > 0) == bool(now.lives), (uid, title)
            continue
        told = TILES[title](now)
        assert len(rows) == len(told), (uid, title, rows, told)
        if now.has_just_begun and "rate(" in target["expr"]:
            continue
        for row, wanted in zip(rows, told, strict=True):
            # A rate is extrapolated to the edges of its window, and no counter below 0.
            assert float(row["value"][1]) == pytest.approx(wanted.value, rel=0.2, abs=1e-9), (uid, title, wanted)
            if wanted.names is not None:
                assert legend(target, row["metric"]) in wanted.names, (uid, title, row)


def legend(target: Json, labels: Json) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), target["legendFormat"]).strip()


def test_the_table_of_all_throttles_has_each_drawn(story: Story) -> None:
    """Printed (`pytest -s -k table`): where each is, and where it is drawn when one looks at five minutes around it."""
    lines = [f"scraped every {story.interval} s", "| partition | was | lasted | is drawn | edges off by |"]
    for throttle in TRUTH:
        middle = int((throttle.begin + throttle.end) / 2)
        looked_at = story.range(middle - 250, middle + 250, 1)
        pieces = painted(story, looked_at)[throttle.pipeline, str(throttle.partition)]
        tolerance = max(story.interval, looked_at.executed_step)
        near = [p for p in pieces if p[0] - tolerance < throttle.end and p[1] + tolerance > throttle.begin]
        assert near, throttle
        begin, end = min(near)[0], max(near)[1]
        lines.append(
            f"| {throttle.pipeline}/{throttle.partition} | {throttle.begin:.1f} to {throttle.end:.1f} "
            f"| {throttle.end - throttle.begin:.1f} s | {begin:.0f} to {end:.0f} "
            f"| {begin - throttle.begin:+.1f}, {end - throttle.end:+.1f} s |"
        )
    print("\n" + "\n".join(lines))


def instant_targets() -> list[tuple[str, str, Json]]:
    return [
        (uid, panel["title"], target)
        for uid, panel in PANELS
        # What bridges show is another story.
        if panel["type"] in ("stat", "gauge") and uid not in BRIDGED
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
