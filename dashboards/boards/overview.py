"""Overview: is it fine, since when not, and who is to blame. One screen."""

from __future__ import annotations

from dashboards import throttling
from dashboards.board import Board, Row
from dashboards.boards import common
from dashboards.colours import Colour
from dashboards.panel import DrillDown, Look, Query, Stat, StateTimeline, Step, TimeSeries, Word
from dashboards.places import BoardUid
from dashboards.promql import is_, is_not, largest, over_time, rate, select, smallest, total
from dashboards.units import Display

_blame = select("penstock_bottleneck")


_NOW = Row(
    id=10,
    title=None,
    panels=(
        Stat(
            id=11,
            title="Is it fine?",
            shows="The worst that is the case now, of each pipeline: "
            + ", ".join(word.text.lower() for word in reversed(common.CONDITION_WORDS.values()))
            + ". Down is what was scraped within the last day and is not now.",
            healthy="Fine.",
            otherwise="`/actuator/health` of the engine says it in a sentence; go on to the right: who is to blame, "
            "how late, how many refused.",
            queries=(Query(expression=common.worst_condition(), legend="{{pipeline}}", instant=True),),
            words=common.CONDITION_WORDS,
            steps=(Step(None, Colour.GOOD),),
            no_value="Not scraped",
            width=5,
            height=4,
        ),
        Stat(
            id=12,
            title="Who is to blame",
            shows="The task behind which the others wait; flow-control when it is the write limit itself.",
            healthy="nobody.",
            otherwise="click on it: its busy time, its errors, its back pressure are on the boards behind it.",
            queries=(common.culprit(),),
            steps=common.CULPRIT_STEPS,
            no_value="Not scraped",
            name_only=True,
            drill_down=DrillDown(BoardUid.BACK_PRESSURE),
            width=5,
            height=4,
        ),
        Stat(
            id=13,
            title="Oldest record not yet outside",
            shows="Age of the oldest record that an exporter has not acknowledged.",
            healthy="seconds.",
            otherwise="an exporter is slow or stands still: board Exporting.",
            queries=(common.worst(common.oldest_age(*common.PARTITION)),),
            with_name=True,
            decimals=1,
            steps=common.AGE_STEPS,
            drill_down=DrillDown(BoardUid.EXPORTING),
            width=5,
            height=4,
        ),
        Stat(
            id=14,
            title="Refused writes",
            shows="Share of the records that asked to be written and were refused, by either limit.",
            healthy="0 %.",
            otherwise="callers see 429: board Flow control says by which limit.",
            queries=(Query(expression=common.refused_share(), legend="refused", instant=True),),
            decimals=1,
            steps=common.SHARE_REFUSED_STEPS,
            drill_down=DrillDown(BoardUid.FLOW_CONTROL),
            width=5,
            height=4,
        ),
        Stat(
            id=15,
            title="Range throttled",
            shows="How much of the chosen range the partitions were throttled; the mean over them.",
            healthy="0 %, or a few per cent after a burst.",
            otherwise="the strips below say when, and which partition.",
            queries=(Query(expression=throttling.share_of_range(), legend="throttled", instant=True),),
            decimals=1,
            steps=(Step(None, Colour.GOOD), Step(0.01, Colour.THROTTLED), Step(0.5, Colour.BAD)),
            width=4,
            height=4,
        ),
    ),
)

_SINCE_WHEN = Row(
    id=20,
    title=None,
    panels=(
        throttling.timeline(21, width=12, height=4),
        StateTimeline(
            id=22,
            title="Who was to blame, and when",
            shows="Red while the others waited for this task; flow-control while it was the write limit itself.",
            healthy="empty.",
            otherwise="the task with the longest red piece is the one to make faster, or to run in parallel.",
            queries=(
                Query(
                    expression=largest(
                        over_time("max", _blame).otherwise(_blame),
                        "pipeline",
                        "task",
                    ).with_unit(Display.COUNT),
                    legend="{{pipeline}}/{{task}}",
                ),
            ),
            words={0: Word("not to blame", Colour.NOTHING), 1: Word("the others wait for it", Colour.BACK_PRESSURED)},
            drill_down=DrillDown(BoardUid.BACK_PRESSURE, ("pipeline", "task")),
            width=12,
            height=4,
        ),
    ),
)

_HOW_MUCH = Row(
    id=30,
    title=None,
    panels=(
        TimeSeries(
            id=31,
            title="Written, exported, refused",
            shows="Records per second of each pipeline: written to the log, acknowledged by the slowest "
            "exporter, refused. Yellow: throttled.",
            healthy="written and exported lie upon one another, refused is 0.",
            otherwise="written above exported: the backlog grows, and the throttle will bring the writers down.",
            queries=(
                Query(
                    expression=total(rate(select("penstock_writes_total", is_("outcome", "accepted"))), "pipeline"),
                    legend="{{pipeline}} written",
                    look=Look(colour=Colour.FIRST, shades=True),
                ),
                Query(
                    expression=total(
                        smallest(
                            total(rate(select("penstock_exported_records_total")), "pipeline", "exporter"), "pipeline"
                        ),
                        "pipeline",
                    ),
                    legend="{{pipeline}} exported",
                    look=Look(colour=Colour.THIRD, shades=True),
                ),
                Query(
                    expression=total(rate(select("penstock_writes_total", is_not("outcome", "accepted"))), "pipeline"),
                    legend="{{pipeline}} refused",
                    look=Look(colour=Colour.BAD, shades=True),
                ),
            ),
            drill_down=DrillDown(BoardUid.FLOW_CONTROL),
            width=12,
            height=9,
        ),
        TimeSeries(
            id=32,
            title="Exporting backlog",
            shows="Records not yet acknowledged by every exporter, and what the throttle aims at (dashed).",
            healthy="far below the dashed line.",
            otherwise="an exporter is slower than the writers: board Exporting says which.",
            queries=(
                *common.by_partition(
                    lambda parity: largest(select("penstock_exporting_backlog_records", parity), *common.PARTITION)
                ),
                Query(
                    expression=largest(select("penstock_acceptable_backlog_records"), "pipeline"),
                    legend="{{pipeline}} acceptable",
                    look=common.MAXIMUM_LOOK,
                ),
            ),
            drill_down=DrillDown(BoardUid.EXPORTING),
            width=12,
            height=9,
        ),
        TimeSeries(
            id=33,
            title="Busy time by task",
            shows="How much of its time each task works; of several subtasks the busiest.",
            healthy="below 90 %.",
            otherwise="the task at 100 % bounds the pipeline: run it in parallel, or make it cheaper.",
            queries=common.by_task(
                largest(common.share_of_time("penstock_task_busy_seconds_total"), "pipeline", "task")
            ),
            min=0,
            max=1,
            legend_at_right=True,
            drill_down=DrillDown(BoardUid.BACK_PRESSURE, ("pipeline", "task")),
            width=12,
            height=7,
        ),
        TimeSeries(
            id=34,
            title="Time from written to outside",
            shows="From writing a record until every exporter has acknowledged it: half of the records, and all but "
            "one in a hundred.",
            healthy="steady, seconds.",
            otherwise="it rises with the backlog; where it rises without one, a single export call is slow.",
            queries=common.quantiles("penstock_end_to_end_duration_seconds", "pipeline"),
            logarithmic=True,
            unit=Display.PLAIN_SECONDS,
            soft_min=None,
            drill_down=DrillDown(BoardUid.EXPORTING),
            width=12,
            height=7,
        ),
    ),
)

BOARD = Board(
    uid=BoardUid.OVERVIEW,
    title="Penstock: Overview",
    answers="Is it fine, since when not, and who is to blame.",
    rows=(_NOW, _SINCE_WHEN, _HOW_MUCH),
)
