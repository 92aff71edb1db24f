"""Exporting: which record exporter is behind, by how much, since when, and whether it fails or is slow."""

from __future__ import annotations

from dashboards import throttling
from dashboards.board import Board, Row
from dashboards.boards import common
from dashboards.colours import Colour
from dashboards.panel import Column, Heatmap, Look, Query, Stat, StateTimeline, Step, Table, TimeSeries, Word
from dashboards.places import BoardUid
from dashboards.promql import Expression, age, call, increase, is_, largest, rate, select, smallest, total
from dashboards.units import Display

_EXPORTER = ("pipeline", "partition", "exporter")
_STATES = {
    0: Word("exporting", Colour.GOOD),
    1: Word("retrying", Colour.BAD),
    2: Word("paused", Colour.BUSY),
    3: Word("closed", Colour.IDLE),
}

_backlog = largest(select("penstock_exporter_backlog_records"), *_EXPORTER)
_age = largest(age(select("penstock_exporter_oldest_unexported_record_timestamp_seconds")), *_EXPORTER)
_exported = total(rate(select("penstock_exported_records_total")), *_EXPORTER)
_errors = total(increase(select("penstock_exporter_errors_total")), *_EXPORTER)
_retries = total(increase(select("penstock_exporter_retries_total")), *_EXPORTER)


def _in_state(state: str) -> Expression:
    return largest(select("penstock_exporter_state", is_("state", state)), *_EXPORTER)


_NOW = Row(
    id=10,
    title=None,
    panels=(
        Stat(
            id=11,
            title="Oldest record not yet outside",
            shows="Age of the oldest record that an exporter has not acknowledged.",
            healthy="seconds.",
            otherwise="the table below says which exporter, on which partition.",
            queries=(common.worst(common.oldest_age(*common.PARTITION)),),
            with_name=True,
            decimals=1,
            steps=common.AGE_STEPS,
            width=5,
            height=4,
        ),
        Stat(
            id=12,
            title="Backlog against the acceptable",
            shows="The largest backlog of a partition as a share of the one at which the throttle aims.",
            healthy="below 50 %.",
            otherwise="from 50 % on, writers slow down; at 100 % they write as fast as is exported.",
            queries=(
                common.worst(
                    largest(
                        select("penstock_exporting_backlog_records") / select("penstock_acceptable_backlog_records"),
                        *common.PARTITION,
                    ).with_unit(Display.SHARE)
                ),
            ),
            with_name=True,
            decimals=0,
            steps=(Step(None, Colour.GOOD), Step(0.5, Colour.THROTTLED), Step(1.2, Colour.BAD)),
            no_value="no throttle",
            width=5,
            height=4,
        ),
        Stat(
            id=13,
            title="Time until all is exported",
            shows="How long the exporter that needs longest needs for its backlog, if it goes on as now and nothing "
            "more were written.",
            healthy="seconds.",
            otherwise="it grows: they export less than is written.",
            queries=(
                Query(
                    expression=call(
                        "topk", "1", (_backlog / call("clamp_min", _exported, "0.001")).with_unit(Display.SECONDS)
                    ),
                    legend="{{exporter}} {{pipeline}}/{{partition}}",
                    instant=True,
                ),
            ),
            with_name=True,
            decimals=1,
            steps=common.AGE_STEPS,
            width=5,
            height=4,
        ),
        Stat(
            id=14,
            title="Failed calls in the range",
            shows="Calls of exporters that failed within the chosen range.",
            healthy="0, or few that were repeated with success.",
            otherwise="`/api/exporters` and the log say what the last error was.",
            queries=(
                Query(
                    expression=total(increase(select("penstock_exporter_errors_total"))).with_unit(Display.NUMBER),
                    legend="failed",
                    instant=True,
                ),
            ),
            decimals=0,
            steps=(Step(None, Colour.GOOD), Step(1, Colour.LOW), Step(100, Colour.BAD)),
            width=5,
            height=4,
        ),
        Stat(
            id=15,
            title="Disk free",
            shows="Free space on the disk of the data folder. A backlog lies on that disk until it is exported.",
            healthy="far above data.freeSpace, 256 MB by default.",
            otherwise="below it writes stop until there is room again.",
            queries=(
                Query(
                    expression=call("bottomk", "1", smallest(select("penstock_disk_free_bytes"), "pipeline")),
                    legend="{{pipeline}}",
                    instant=True,
                ),
            ),
            with_name=True,
            steps=(Step(None, Colour.BAD), Step(512 * 1024**2, Colour.LOW), Step(2 * 1024**3, Colour.GOOD)),
            no_value="no disk",
            width=4,
            height=4,
        ),
        StateTimeline(
            id=16,
            title="State by exporter",
            shows="What each exporter does: green exporting, red repeating after a failure, blue paused, grey closed.",
            healthy="green.",
            otherwise="red: the outside does not take it; see errors below. Blue: somebody paused it, it still counts.",
            queries=(
                Query(
                    expression=_in_state("retrying") + _in_state("paused") * "2" + _in_state("closed") * "3",
                    legend="{{exporter}} {{pipeline}}/{{partition}}",
                ),
            ),
            words=_STATES,
            width=12,
            height=6,
        ),
        throttling.timeline(17, width=12, height=6),
        Table(
            id=18,
            title="Exporters now",
            shows="Each exporter on each partition: how far behind, how fast, how often it failed in the chosen range.",
            healthy="backlog and age near 0, no errors.",
            otherwise="the first row is the one furthest behind: it alone decides when the throttle sets in.",
            queries=(
                Query(expression=_backlog, legend="", instant=True),
                Query(expression=_age, legend="", instant=True),
                Query(
                    expression=total(common.alive(rate(select("penstock_exported_records_total"))), *_EXPORTER),
                    legend="",
                    instant=True,
                ),
                Query(expression=_errors, legend="", instant=True),
                Query(expression=_retries, legend="", instant=True),
                Query(
                    expression=largest(select("penstock_exporter_last_acknowledged_position"), *_EXPORTER),
                    legend="",
                    instant=True,
                ),
            ),
            rows={
                "pipeline": Column(title="Pipeline"),
                "partition": Column(title="Partition", width=90),
                "exporter": Column(title="Exporter"),
            },
            columns=(
                Column(title="Backlog", width=110, unit=Display.NUMBER),
                Column(title="Age", width=110, unit=Display.SECONDS, decimals=1, steps=common.AGE_STEPS),
                Column(title="Exported", width=120, unit=Display.RECORDS_PER_SECOND),
                Column(
                    title="Errors",
                    width=90,
                    unit=Display.NUMBER,
                    decimals=0,
                    steps=(Step(None, Colour.QUIET), Step(0.5, Colour.BAD)),
                ),
                Column(title="Retries", width=90, unit=Display.NUMBER, decimals=0),
                Column(title="Position", unit=Display.COUNT, decimals=0),
            ),
            sorted_by="Backlog",
            width=24,
            height=7,
        ),
    ),
)

_BEHIND = Row(
    id=20,
    title="How far behind",
    panels=(
        TimeSeries(
            id=21,
            title="Backlog by exporter",
            shows="Records that each exporter has not yet acknowledged, and what the throttle aims at (dashed).",
            healthy="near 0.",
            otherwise="one line above the others: that exporter is slow. All: the disk or the network is.",
            queries=(
                *common.by_partition(
                    lambda parity: largest(select("penstock_exporter_backlog_records", parity), *_EXPORTER),
                    "{{exporter}}",
                ),
                Query(
                    expression=largest(select("penstock_acceptable_backlog_records"), "pipeline"),
                    legend="{{pipeline}} acceptable",
                    look=common.MAXIMUM_LOOK,
                ),
            ),
            legend_at_right=True,
            width=12,
            height=9,
        ),
        TimeSeries(
            id=22,
            title="Age by exporter",
            shows="Age of the oldest record that each exporter has not yet acknowledged.",
            healthy="seconds.",
            otherwise="rising by a second a second: it stands still.",
            queries=common.by_partition(
                lambda parity: largest(
                    age(select("penstock_exporter_oldest_unexported_record_timestamp_seconds", parity)), *_EXPORTER
                ),
                "{{exporter}}",
            ),
            legend_at_right=True,
            width=12,
            height=9,
        ),
        TimeSeries(
            id=23,
            title="Exported records",
            shows="Records per second that each exporter acknowledges, those that its filter leaves out included.",
            healthy="as many as are written.",
            otherwise="less than is written while there is a backlog: this is all it can do.",
            queries=common.by_partition(
                lambda parity: total(rate(select("penstock_exported_records_total", parity)), *_EXPORTER),
                "{{exporter}}",
            ),
            legend_at_right=True,
            width=12,
            height=9,
        ),
        TimeSeries(
            id=24,
            title="Handed out or skipped",
            shows="Records per second that went outside, and those that the filters of the exporters left out.",
            healthy="the proportion stays.",
            otherwise="nothing goes outside while records are skipped: the filter no longer names what is written.",
            queries=(
                Query(
                    expression=total(
                        rate(select("penstock_exported_records_total", is_("action", "exported"))), "pipeline"
                    ),
                    legend="{{pipeline}} handed out",
                    look=Look(colour=Colour.THIRD),
                ),
                Query(
                    expression=total(
                        rate(select("penstock_exported_records_total", is_("action", "skipped"))), "pipeline"
                    ),
                    legend="{{pipeline}} skipped",
                    look=Look(colour=Colour.LOG_WRITER),
                ),
            ),
            width=12,
            height=9,
        ),
    ),
)

_HOW = Row(
    id=30,
    title="Slow, or failing",
    panels=(
        TimeSeries(
            id=31,
            title="Time of an export call",
            shows="How long a call of each exporter takes: half of the calls, and all but one in a hundred.",
            healthy="steady.",
            otherwise="it rises: the outside is slow. It does not, and there is a backlog: larger batches.",
            queries=common.quantiles("penstock_export_duration_seconds", "pipeline", "exporter"),
            width=8,
            height=9,
        ),
        Heatmap(
            id=32,
            title="Export calls by duration",
            shows="How many calls per second took how long, over all chosen exporters. Darker: more.",
            healthy="one narrow stripe.",
            otherwise="two stripes: some calls wait, for a connection or for a retry.",
            queries=(
                Query(expression=total(rate(select("penstock_export_duration_seconds_bucket")), "le"), legend="{{le}}"),
            ),
            unit=Display.SECONDS,
            width=8,
            height=9,
        ),
        TimeSeries(
            id=33,
            title="Time from written to outside",
            shows="From writing a record until every exporter has acknowledged it: half of the records, and all but "
            "one in a hundred.",
            healthy="steady, seconds.",
            otherwise="much longer than a call: the time is spent waiting in the backlog.",
            queries=common.quantiles("penstock_end_to_end_duration_seconds", "pipeline"),
            logarithmic=True,
            unit=Display.PLAIN_SECONDS,
            soft_min=None,
            width=8,
            height=9,
        ),
        TimeSeries(
            id=34,
            title="Errors by exporter",
            shows="Calls of each exporter that failed, per second.",
            healthy="0.",
            otherwise="a failed call is repeated with growing pauses: nothing is lost, but nothing moves either.",
            queries=common.by_partition(
                lambda parity: total(rate(select("penstock_exporter_errors_total", parity)), *_EXPORTER),
                "{{exporter}}",
            ),
            soft_max=1,
            legend_at_right=True,
            width=12,
            height=8,
        ),
        TimeSeries(
            id=35,
            title="Retries by exporter",
            shows="How often, per second, records were handed to an exporter again after a failure.",
            healthy="0.",
            otherwise="as often as errors: it will succeed or go on. Less: it waits between two attempts.",
            queries=common.by_partition(
                lambda parity: total(rate(select("penstock_exporter_retries_total", parity)), *_EXPORTER).with_unit(
                    Display.EVENTS_PER_SECOND
                ),
                "{{exporter}}",
            ),
            soft_max=1,
            legend_at_right=True,
            width=12,
            height=8,
        ),
    ),
)

BOARD = Board(
    uid=BoardUid.EXPORTING,
    title="Penstock: Exporting",
    answers="Which exporter is behind, by how much, since when, and whether it fails or is slow.",
    rows=(_NOW, _BEHIND, _HOW),
)
