"""Back pressure: which task holds up the others, seen at a glance and then in numbers.

Strips stand in the order of the job graph. What waits for others is red; the bottleneck is the first task below the
last red strip: it is not held back itself, and it is busy.
"""

from __future__ import annotations

from dashboards.board import Board, Row
from dashboards.boards import common
from dashboards.colours import Colour
from dashboards.panel import Column, DrillDown, Look, Query, Stat, StateTimeline, Step, Table, TimeSeries, Word
from dashboards.places import BoardUid
from dashboards.promql import call, is_, largest, mean, over_time, rate, select, smallest, total
from dashboards.units import Display
from exporter.catalogue import BACK_PRESSURE_LOW_MAX, BACK_PRESSURE_OK_MAX

_SUBTASK = ("pipeline", "task", "subtask")
# The documented levels, ok, low and high: a ratio belongs to the next one when it is above the bound.
_BEYOND = 1e-9
_LEVELS = (
    Step(None, Colour.GOOD),
    Step(BACK_PRESSURE_OK_MAX + _BEYOND, Colour.LOW),
    Step(BACK_PRESSURE_LOW_MAX + _BEYOND, Colour.BAD),
)
_LEVEL_WORDS = {0: Word("ok", Colour.GOOD), 1: Word("low", Colour.LOW), 2: Word("high", Colour.BAD)}

_ratio = select("penstock_back_pressure_ratio")
# A rate is extrapolated and can pass a second a second by a little.
_busy, _idle, _held = (
    common.share_of_time(f"penstock_task_{state}_seconds_total") for state in ("busy", "idle", "back_pressured")
)
_busy_now, _idle_now, _held_now = (
    common.share_of_time(f"penstock_task_{state}_seconds_total", now=True)
    for state in ("busy", "idle", "back_pressured")
)
_levels = {
    level: largest(select("penstock_back_pressure_level", is_("level", level)), *_SUBTASK) for level in ("low", "high")
}
_REASONS = {
    "buffer": Colour.FIRST,
    "write_limit": Colour.LIMIT,
    "request_limit": Colour.SECOND,
    "inter_partition": Colour.THIRD,
}

_GLANCE = Row(
    id=10,
    title=None,
    panels=(
        Stat(
            id=11,
            title="Bottleneck",
            shows="The task for which the others wait now; flow-control when it is the write limit itself.",
            healthy="nobody.",
            otherwise="make this task faster or raise its parallelism; the others wait for it, whatever they could do.",
            queries=(common.culprit(),),
            steps=common.CULPRIT_STEPS,
            no_value="Not scraped",
            name_only=True,
            width=6,
            height=4,
        ),
        Stat(
            id=12,
            title="Subtasks held back",
            shows="How many subtasks are at the level high: held back in more than half of the samples.",
            healthy="0.",
            otherwise="the strips below say which, and in which order they wait for one another.",
            queries=(
                Query(
                    expression=total(_levels["high"]),
                    legend="high",
                    instant=True,
                ),
            ),
            decimals=0,
            steps=(Step(None, Colour.GOOD), Step(1, Colour.BAD)),
            no_value="no sample yet",
            width=6,
            height=4,
        ),
        Stat(
            id=13,
            title="Busiest subtask",
            shows="The largest share of its time that a subtask works, and which subtask that is.",
            healthy="below 90 %.",
            otherwise="at 100 % it bounds the pipeline, even where nothing waits for it yet.",
            queries=(
                Query(
                    expression=call("topk", "1", _busy_now),
                    legend="{{pipeline}}/{{task}}/{{subtask}}",
                    instant=True,
                ),
            ),
            with_name=True,
            decimals=0,
            steps=(Step(None, Colour.GOOD), Step(0.9, Colour.LOW), Step(0.98, Colour.BAD)),
            width=6,
            height=4,
        ),
        Stat(
            id=14,
            title="Records put aside",
            shows="Records per second that a task could not take: rejects before the log, rejection records behind it.",
            healthy="0.",
            otherwise="they are kept with the reason, in the folder of rejects or in the log.",
            queries=(
                Query(
                    expression=total(common.alive(rate(select("penstock_rejected_records_total")))),
                    legend="rejected",
                    instant=True,
                ),
            ),
            steps=(Step(None, Colour.GOOD), Step(0.001, Colour.LOW)),
            no_value="0",
            width=6,
            height=4,
        ),
        StateTimeline(
            id=15,
            title="Back pressure, down the job graph",
            shows="Each subtask over time: green ok (held back in up to 10 % of the samples), orange low (50 %), "
            "red high. Records flow from top to bottom.",
            healthy="all green.",
            otherwise="the first task below the last red strip is the bottleneck.",
            queries=common.by_task(
                largest(over_time("max", _ratio).otherwise(_ratio), *_SUBTASK), "{{pipeline}}/{{task}}/{{subtask}}"
            ),
            steps=_LEVELS,
            drill_down=DrillDown(BoardUid.BACK_PRESSURE, ("pipeline", "task")),
            width=12,
            height=9,
        ),
        StateTimeline(
            id=16,
            title="Busy, down the job graph",
            shows="How much of its time each subtask works: grey idle, blue busy, red at its limit.",
            healthy="grey and blue.",
            otherwise="red here and not red at the left: this is the bottleneck.",
            queries=common.by_task(largest(_busy, *_SUBTASK), "{{pipeline}}/{{task}}/{{subtask}}"),
            steps=(
                Step(None, Colour.IDLE),
                Step(0.2, Colour.BUSY_LITTLE),
                Step(0.5, Colour.BUSY),
                Step(0.95, Colour.BAD),
            ),
            drill_down=DrillDown(BoardUid.BACK_PRESSURE, ("pipeline", "task")),
            width=12,
            height=9,
        ),
    ),
)

_TASKS = Row(
    id=20,
    title="Tasks",
    panels=(
        Table(
            id=21,
            title="Tasks now",
            shows="What each task does with its time, the mean of its subtasks over the last minute; the ratio of its "
            "stack samples; the records it takes and hands on.",
            healthy="little back pressure, nobody at 100 % busy.",
            otherwise="a busy task that is not held back, behind tasks that are, is the bottleneck.",
            queries=(
                Query(expression=mean(_busy_now, "pipeline", "task"), legend="", instant=True),
                Query(expression=mean(_idle_now, "pipeline", "task"), legend="", instant=True),
                Query(
                    expression=mean(_held_now, "pipeline", "task"),
                    legend="",
                    instant=True,
                ),
                Query(expression=mean(largest(_ratio, *_SUBTASK), "pipeline", "task"), legend="", instant=True),
                Query(
                    expression=total(common.alive(rate(select("penstock_task_records_in_total"))), "pipeline", "task"),
                    legend="",
                    instant=True,
                ),
                Query(
                    expression=total(common.alive(rate(select("penstock_task_records_out_total"))), "pipeline", "task"),
                    legend="",
                    instant=True,
                ),
            ),
            rows={"pipeline": Column(title="Pipeline", width=120), "task": Column(title="Task")},
            columns=(
                Column(
                    title="Busy",
                    unit=Display.SHARE,
                    decimals=0,
                    steps=(Step(None, Colour.QUIET), Step(0.95, Colour.BAD)),
                ),
                Column(title="Idle", unit=Display.SHARE, decimals=0),
                Column(title="Held back", unit=Display.SHARE, decimals=0, steps=_LEVELS),
                Column(title="Sampled", unit=Display.SHARE, decimals=0, steps=_LEVELS),
                Column(title="In", unit=Display.RECORDS_PER_SECOND),
                Column(title="Out", unit=Display.RECORDS_PER_SECOND),
            ),
            sorted_by="Busy",
            width=24,
            height=8,
        ),
        TimeSeries(
            id=22,
            title="Time of $task",
            shows="What the task does with its time; busy, held back and idle make 100 %. One such panel a task.",
            healthy="some grey left.",
            otherwise="all blue: it is the bottleneck. Much red: one behind it is.",
            queries=(
                Query(
                    expression=mean(_busy),
                    legend="busy",
                    look=Look(colour=Colour.BUSY),
                ),
                Query(
                    expression=mean(_held),
                    legend="back-pressured",
                    look=Look(colour=Colour.BACK_PRESSURED),
                ),
                Query(expression=mean(_idle), legend="idle", look=Look(colour=Colour.IDLE)),
            ),
            # The areas fill the panel: a band behind them would not be seen.
            band=False,
            stacked=True,
            fill=70,
            min=0,
            max=1,
            legend_values=("lastNotNull", "mean"),
            repeat="task",
            width=6,
            height=8,
        ),
    ),
)

_WHY = Row(
    id=30,
    title="Why, and how sure",
    panels=(
        TimeSeries(
            id=31,
            title="Held back, by reason",
            shows="Share of time that a subtask could not hand on its output, by what held it: a full buffer, the "
            "write limit, the request limit, the outbox to other partitions. The one held back most.",
            healthy="0.",
            otherwise="buffer: the task behind is slow. Write limit while yellow: an exporter is. Request limit: the "
            "processor is.",
            queries=tuple(
                Query(
                    expression=largest(
                        common.share_of_time("penstock_task_back_pressured_seconds_total", is_("reason", reason))
                    ),
                    legend=reason.replace("_", " "),
                    look=Look(colour=colour),
                )
                for reason, colour in _REASONS.items()
            ),
            min=0,
            max=1,
            width=12,
            height=10,
        ),
        TimeSeries(
            id=32,
            title="Sampled against measured",
            shows="The same thing twice: the share of stack samples that found a task held back, and the share of time "
            "its own timers say (dashed). The most held-back subtask of each kind; exporters are never held back.",
            healthy="both lie upon one another.",
            otherwise="they differ for long: the sampler gets too little time, or a task waits where nobody measures.",
            queries=(
                *common.by_kind(largest(_ratio, "pipeline", "task"), "sampled"),
                *common.by_kind(largest(_held, "pipeline", "task"), "measured", dashed=True),
            ),
            min=0,
            max=1,
            legend_at_right=True,
            legend_values=("max",),
            width=12,
            height=10,
        ),
        TimeSeries(
            id=33,
            title="Records handed on by task",
            shows="Records per second that each task hands on.",
            healthy="follows what comes in.",
            otherwise="the same number everywhere says nothing about who is slow; see the strips above.",
            queries=common.by_task(total(rate(select("penstock_task_records_out_total")), "pipeline", "task")),
            legend_at_right=True,
            width=12,
            height=9,
        ),
        TimeSeries(
            id=34,
            title="Output buffers in use",
            shows="Share of its output buffers that a task has filled; all of them, and it is held back.",
            healthy="below 50 %.",
            otherwise="100 %: what takes from these buffers is slow.",
            queries=common.by_task(
                largest(select("penstock_buffers_in_use") / select("penstock_buffers"), "pipeline", "task"),
                kinds=("source", "transform"),
            ),
            min=0,
            max=1,
            width=12,
            height=9,
        ),
        StateTimeline(
            id=35,
            title="Level by subtask",
            shows="The level that Flink's web page would show for each subtask, as the engine itself names it.",
            healthy="ok.",
            otherwise="high: held back in more than half of the samples.",
            queries=(
                Query(expression=_levels["low"] + _levels["high"] * "2", legend="{{pipeline}}/{{task}}/{{subtask}}"),
            ),
            words=_LEVEL_WORDS,
            width=12,
            height=8,
        ),
        TimeSeries(
            id=36,
            title="Stack samples behind a ratio",
            shows="How many stack samples the ratio of a subtask rests on; the fewest of each task.",
            healthy="as many as configured, 100 by default.",
            otherwise="few: the ratio is rough. The sampler starts, or the process gets too little time.",
            queries=common.by_task(smallest(select("penstock_back_pressure_samples"), "pipeline", "task")),
            legend_at_right=True,
            width=12,
            height=8,
        ),
    ),
)

BOARD = Board(
    uid=BoardUid.BACK_PRESSURE,
    title="Penstock: Back pressure",
    answers="Which task holds up the others.",
    rows=(_GLANCE, _TASKS, _WHY),
)
