"""Throttled periods as a reader sees them: yellow, in every form, from one definition.

- `BAND` is shaded behind the lines of a time panel; it belongs to the panel and goes with it wherever it is copied.
- The annotation shades every other time panel of the board, and can be switched off at its top.
- The timeline says which partition it was, which neither of them can.
- Share and count say how much of the range it was, and how often.

A point of a panel stands for the step before it, and the band is drawn from a point backwards (`stepBefore`). A step is
drawn where the last scrape found the partition throttled: so the edges of what lasts are within a scrape or a step, and
what is drawn too early is not drawn at the end. What began and ended between two scrapes, none of which saw it, is
drawn in the step in which `penstock_throttle_start_timestamp_seconds` says that it began. That is told by the scrape
after it, so each point also asks for what will be known at the next one. Where that time cannot be met, because steps
are shorter than scrapes, scrapes failed or clocks differ, `penstock_throttles_total` tells that there was one, and the
step in which that becomes known is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable

from dashboards.colours import Colour
from dashboards.events import Event
from dashboards.panel import DrillDown, Query, StateTimeline, Word
from dashboards.places import BoardUid
from dashboards.promql import (
    NOW,
    RANGE,
    RANGE_SECONDS,
    STEP_SECONDS,
    TARGET_LABELS,
    Expression,
    call,
    count_over_time,
    earlier,
    increase,
    largest,
    later,
    mean,
    over_time,
    select,
    total,
    until_now,
)
from dashboards.units import Display

_SERIES = (*TARGET_LABELS, "pipeline", "partition")

BAND_REF = "BAND"
BAND_NAME = "Throttled"
# A yellow that is laid thinly on a dark ground is olive. So the band is strong at its upper edge, where it is read, and
# fades towards the bottom, where the lines are.
BAND_OPACITY = 75

ANNOTATION_NAME = "Throttling"
ANNOTATION_TITLE = "Throttled"
ANNOTATION_TEXT = "At least one of the chosen partitions held its write limit below the configured one."
# The finest step at which it is asked; Grafana takes a coarser one for a long range. The shipped scrape interval.
ANNOTATION_STEP = "5s"

# On a strip, full rate is the empty one: only what is yellow is there to be seen.
STRIP_WORDS = {0: Word("full rate", Colour.NOTHING), 1: Word("throttled", Colour.THROTTLED)}
STATE_WORDS = {0: Word("full rate", Colour.GOOD), 1: Word("throttled", Colour.THROTTLED)}


def throttled_now() -> Expression:
    """1 or 0 for each partition."""
    return largest(select("penstock_throttled"), "pipeline", "partition")


def throttled_within_step() -> Expression:
    """1 where a partition is throttled, or was and nobody saw it, since the point before; else 0."""
    throttled = select("penstock_throttled")
    start, count = select("penstock_throttle_start_timestamp_seconds"), select("penstock_throttles_total")
    began, a_step_ago = later(start), f"{NOW} - {STEP_SECONDS}"
    # A throttle that is seen by a scrape is drawn by what the scrapes see.
    unseen = (
        began.at_most(NOW)
        .only_where(began.above(a_step_ago).otherwise(later(count).differs(until_now(count)).above("0")))
        .unless(later(throttled).equals("1"), *_SERIES)
    )
    within = start.above(a_step_ago).otherwise(unseen)
    # Who counts no throttles, such as an engine behind a bridge, is drawn by what the scrapes see alone.
    seen = over_time("max", throttled).unless(count, *_SERIES)
    drawn = throttled.equals("1").otherwise(within ** "0").otherwise(seen).otherwise(throttled)
    return drawn.with_unit(Display.COUNT)


def seen_by_scrapes() -> Expression:
    """The same for a system that counts no throttles."""
    throttled = select("penstock_throttled")
    return over_time("max", throttled).otherwise(throttled).with_unit(Display.COUNT)


def band_query() -> Query:
    """0 or 1 for all chosen partitions together: several bands one upon another would add up to a solid wall."""
    return Query(expression=largest(throttled_within_step()).with_unit(Display.ON_OFF), legend=BAND_NAME)


def band_overrides() -> list[dict[str, object]]:
    """Makes of the series of `BAND` a shade over the full height, apart from the scale and legend of the rest."""
    properties: dict[str, object] = {
        "custom.drawStyle": "line",
        "custom.lineInterpolation": "stepBefore",
        "custom.lineWidth": 0,
        "custom.fillOpacity": BAND_OPACITY,
        "custom.gradientMode": "opacity",
        "custom.showPoints": "never",
        "custom.spanNulls": False,
        "custom.stacking": {"mode": "none", "group": "A"},
        "custom.axisPlacement": "hidden",
        "custom.scaleDistribution": {"type": "linear"},
        "custom.thresholdsStyle": {"mode": "off"},
        "custom.hideFrom": {"legend": True, "tooltip": True, "viz": False},
        # A unit and bounds of its own give it a scale of its own.
        "unit": Display.ON_OFF,
        "min": 0,
        "max": 1,
        "color": {"mode": "fixed", "fixedColor": Colour.THROTTLED},
        "links": [],
    }
    return [
        {
            "matcher": {"id": "byFrameRefID", "options": BAND_REF},
            "properties": [{"id": name, "value": value} for name, value in properties.items()],
        },
        # The times of the first query are those of the x axis, and an override of a query changes them too: without
        # this the x axis would be hidden along with the axis of the band.
        {
            "matcher": {"id": "byType", "options": "time"},
            "properties": [{"id": "custom.axisPlacement", "value": "auto"}],
        },
    ]


def annotation(datasource: dict[str, str], panels_with_band: list[int]) -> dict[str, object]:
    """The band of the whole board, in both shapes: `target` since Grafana 12.1, `expr` and `step` before.

    Panels that shade for themselves are left out, or theirs would stand twice.
    """
    # A region begins at its first point, a band at the point before it. What nobody saw is a single point, a line.
    begins = later(select("penstock_throttled")).equals("1")
    throttling = Event(
        name=ANNOTATION_NAME,
        title=ANNOTATION_TITLE,
        text=ANNOTATION_TEXT,
        colour=Colour.THROTTLED,
        expression=largest(begins.otherwise(throttled_within_step())).above("0"),
    )
    return mark(throttling, datasource, but_on=panels_with_band)


def mark(event: Event, datasource: dict[str, str], *, but_on: Iterable[int] = ()) -> dict[str, object]:
    """An annotation for Grafana, on all panels but those."""
    expression = event.expression.text
    return {
        "name": event.name,
        "datasource": datasource,
        "enable": True,
        "hide": False,
        "iconColor": event.colour,
        "titleFormat": event.title,
        "textFormat": event.text,
        "tagKeys": "",
        "useValueForTime": False,
        "expr": expression,
        "step": ANNOTATION_STEP,
        "target": {"expr": expression, "interval": ANNOTATION_STEP, "refId": "Anno"},
        "filter": {"exclude": True, "ids": list(but_on)},
    }


def timeline(id: int, *, width: int, height: int) -> StateTimeline:
    """A strip for each partition, yellow while it is throttled."""
    return StateTimeline(
        id=id,
        title="Throttling by partition",
        shows="Yellow while the throttle holds the write limit of a partition below the configured one.",
        healthy="empty, or short yellow pieces after a burst.",
        otherwise="the exporters of that partition do not keep up: see the board Exporting for which one and why.",
        queries=(
            Query(
                expression=largest(throttled_within_step(), "pipeline", "partition").with_unit(Display.COUNT),
                legend="{{pipeline}}/{{partition}}",
            ),
        ),
        width=width,
        height=height,
        words=STRIP_WORDS,
        drill_down=DrillDown(BoardUid.FLOW_CONTROL, ("pipeline", "partition")),
    )


def share_of_range(*by: str) -> Expression:
    """How much of the range was throttled, 0 to 1; of several partitions the mean."""
    # A counter that is extrapolated to the edges of the range can pass them by a little.
    grown = total(increase(select("penstock_throttled_seconds_total")), "pipeline", "partition")
    return mean(call("clamp_max", grown / RANGE_SECONDS, "1"), *by).with_unit(Display.SHARE)


def throttles(*by: str) -> Expression:
    """How many throttles touched the range: those that began in it, and the one that was running at its beginning.

    Of n scrapes in a range the growth is seen over n - 1 intervals and told as of n; so much is taken back before it is
    rounded. It is exact while there are fewer throttles than half as many scrapes.
    """
    begun = select("penstock_throttles_total")
    seen = call("round", increase(begun) - increase(begun) / count_over_time(begun))
    running = earlier(select("penstock_throttled"), RANGE)
    return total((seen + running).otherwise(seen), *by).with_unit(Display.COUNT)
