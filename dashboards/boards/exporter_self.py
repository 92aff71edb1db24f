"""Exporter self: whether what the other boards show can be trusted, and what it costs."""

from __future__ import annotations

from dashboards.board import Board, Row
from dashboards.boards import common
from dashboards.colours import Colour
from dashboards.panel import Column, Heatmap, Look, Query, Stat, StateTimeline, Step, Table, TimeSeries, Word
from dashboards.places import BoardUid
from dashboards.promql import age, increase, largest, quantile, rate, select, smallest, total
from dashboards.units import Display

_TARGET = ("job", "instance", "pipeline")
# The target, as it is called in a legend.
_NAME = "{{instance}} {{pipeline}}"
_SUCCESS = {0: Word("failed", Colour.BAD), 1: Word("read", Colour.GOOD)}
_YES = {0: Word("Incomplete", Colour.BAD), 1: Word("Complete", Colour.GOOD)}

_NOW = Row(
    id=10,
    title=None,
    panels=(
        Stat(
            id=11,
            title="What is exposed",
            shows="Whether every part of the metrics could be read in the last scrape, on every engine.",
            healthy="Complete.",
            otherwise="the strips below say which part; boards that need it show old or no data.",
            queries=(Query(expression=smallest(select("penstock_collector_success")), legend="parts", instant=True),),
            words=_YES,
            steps=(Step(None, Colour.BAD), Step(1, Colour.GOOD)),
            no_value="Not scraped",
            width=5,
            height=4,
        ),
        Stat(
            id=12,
            title="Age of the snapshot",
            shows="How old the numbers were when they were told; the oldest of all engines.",
            healthy="below a second.",
            otherwise="the engine does not get to take snapshots: it is overloaded, or it hangs.",
            queries=(Query(expression=largest(select("penstock_snapshot_age_seconds")), legend="age", instant=True),),
            steps=(Step(None, Colour.GOOD), Step(5, Colour.LOW), Step(30, Colour.BAD)),
            width=5,
            height=4,
        ),
        Stat(
            id=13,
            title="Slowest scrapes",
            shows="Time in which all but one in a hundred scrapes were answered, the network left aside.",
            healthy="below 250 ms.",
            otherwise="past the scrape timeout the metrics are gone: fewer series, or a longer interval.",
            queries=(
                Query(expression=quantile(0.99, "penstock_scrape_duration_seconds"), legend="99 %", instant=True),
            ),
            steps=(Step(None, Colour.GOOD), Step(0.25, Colour.LOW), Step(1, Colour.BAD)),
            no_value="no scrape yet",
            width=5,
            height=4,
        ),
        Stat(
            id=14,
            title="Failed scrapes in the range",
            shows="Scrapes that failed as a whole or left a metric out, within the chosen range.",
            healthy="0.",
            otherwise="the log of the engine says why.",
            queries=(
                Query(
                    expression=total(increase(select("penstock_scrape_errors_total"))), legend="failed", instant=True
                ),
            ),
            decimals=0,
            steps=(Step(None, Colour.GOOD), Step(1, Colour.BAD)),
            width=5,
            height=4,
        ),
        Stat(
            id=15,
            title="Series",
            shows="Series that all chosen engines expose together.",
            healthy="below 50 000 an engine.",
            otherwise="tasks, parallelism, partitions and exporters decide how many there are.",
            queries=(Query(expression=total(select("penstock_series")), legend="series", instant=True),),
            steps=(Step(None, Colour.GOOD), Step(50_000, Colour.LOW)),
            width=4,
            height=4,
        ),
        Table(
            id=16,
            title="Engines",
            shows="Every engine that is scraped: its version, since when it runs, what it exposes.",
            healthy="as many rows as you run, all of one version.",
            otherwise="a missing row is an engine that is gone or not scraped.",
            queries=(
                Query(
                    expression=largest(select("penstock_build_info"), *_TARGET, "version", "python_version", "gil"),
                    legend="",
                    instant=True,
                ),
                Query(
                    expression=largest(age(select("penstock_start_time_seconds")), *_TARGET), legend="", instant=True
                ),
                Query(expression=largest(select("penstock_series"), *_TARGET), legend="", instant=True),
            ),
            rows={
                "job": Column(title="Job"),
                "instance": Column(title="Instance"),
                "pipeline": Column(title="Pipeline"),
                "version": Column(title="Version"),
                "python_version": Column(title="Python"),
                "gil": Column(title="Interpreter lock"),
            },
            columns=(
                Column(title="Build", hidden=True),
                Column(title="Runs for", unit=Display.SECONDS, decimals=1),
                Column(title="Series", unit=Display.NUMBER),
            ),
            width=24,
            height=5,
        ),
    ),
)

_COST = Row(
    id=20,
    title="What a scrape costs",
    panels=(
        TimeSeries(
            id=21,
            title="Time to answer a scrape",
            shows="Half of the scrapes, and all but one in a hundred: reading the snapshot and writing the text.",
            healthy="milliseconds, steady.",
            otherwise="it rises with the number of series, or the process gets too little time.",
            queries=common.quantiles("penstock_scrape_duration_seconds", "pipeline"),
            band=False,
            width=12,
            height=9,
        ),
        Heatmap(
            id=22,
            title="Scrapes by duration",
            shows="How many scrapes per second took how long. Darker: more.",
            healthy="one narrow stripe.",
            otherwise="a second stripe above: scrapes get into one another's way, or wait for the process.",
            queries=(
                Query(expression=total(rate(select("penstock_scrape_duration_seconds_bucket")), "le"), legend="{{le}}"),
            ),
            unit=Display.SECONDS,
            width=12,
            height=9,
        ),
        TimeSeries(
            id=23,
            title="Scrapes and failures",
            shows="Scrapes per second over all engines, and those that failed or left something out.",
            healthy="as many as Prometheus' interval says, none failed.",
            otherwise="more scrapes than expected: somebody else asks too.",
            queries=(
                Query(
                    expression=total(rate(select("penstock_scrape_duration_seconds_count"))).with_unit(
                        Display.EVENTS_PER_SECOND
                    ),
                    legend="scrapes",
                    look=Look(colour=Colour.FIRST),
                ),
                Query(
                    expression=total(rate(select("penstock_scrape_errors_total"))),
                    legend="failed",
                    look=Look(colour=Colour.BAD),
                ),
            ),
            band=False,
            width=12,
            height=9,
        ),
        TimeSeries(
            id=24,
            title="Series and age of the snapshot",
            shows="Series that each engine exposes (left), and how old its numbers were when told (right, dashed).",
            healthy="both flat.",
            otherwise="series grow: something makes labels that nobody bounds. Age grows: the engine hangs.",
            queries=(
                Query(expression=largest(select("penstock_series"), *_TARGET), legend=f"{_NAME} series"),
                Query(
                    expression=largest(select("penstock_snapshot_age_seconds"), *_TARGET),
                    legend=f"{_NAME} age",
                    look=Look(
                        colour=Colour.SECOND,
                        shades=True,
                        dashed=True,
                        right_axis=True,
                        soft_max=1,
                        unit=Display.SECONDS,
                    ),
                ),
            ),
            band=False,
            width=12,
            height=9,
        ),
        StateTimeline(
            id=25,
            title="Parts of the metrics",
            shows="Green while a part of the metrics could be read, red while not.",
            healthy="green.",
            otherwise="what this part exposes is missing on all boards.",
            queries=(
                Query(expression=smallest(select("penstock_collector_success"), "collector"), legend="{{collector}}"),
            ),
            words=_SUCCESS,
            width=24,
            height=6,
        ),
    ),
)

BOARD = Board(
    uid=BoardUid.EXPORTER_SELF,
    title="Penstock: Exporter self",
    answers="Whether what the other boards show can be trusted, and what it costs.",
    rows=(_NOW, _COST),
)
