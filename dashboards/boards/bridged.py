"""Boards of what bridges show, one for each kind: of the other boards the panels that such a pipeline has data for.

Grafana draws a row whether its queries have answers or not. So a board has none but the rows that its kind fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dashboards.board import Board, Row
from dashboards.boards import back_pressure, common, exporting, flow_control, overview
from dashboards.colours import Colour
from dashboards.panel import DrillDown, Look, Panel, Query, Stat, StateTimeline, Step, Table, TimeSeries, Word
from dashboards.places import BoardUid
from dashboards.promql import largest, over_time, rate, select, smallest, total
from dashboards.units import Display

# What stands there under some id stands here under that and so much more.
_LENT = {overview.BOARD.uid: 100, back_pressure.BOARD.uid: 200, flow_control.BOARD.uid: 300, exporting.BOARD.uid: 400}


def _of(board: Board, *ids: int, to: BoardUid, width: int | None = None) -> tuple[Panel, ...]:
    """Panels of another board, for the board `to`: a click stays there, narrowed down."""
    known = {panel.id: panel for panel in board.panels()}
    return tuple(
        replace(
            known[number],
            id=_LENT[board.uid] + number,
            width=width or known[number].width,
            drill_down=_stays(known[number].drill_down, to),
        )
        for number in ids
    )


def _stays(drill_down: DrillDown | None, to: BoardUid) -> DrillDown | None:
    return DrillDown(to, drill_down.labels) if drill_down is not None and drill_down.labels else None


def _unshaded(panels: Sequence[Panel]) -> tuple[Panel, ...]:
    """For pipelines of which nothing is throttled."""
    return tuple(replace(panel, band=False) if isinstance(panel, TimeSeries) else panel for panel in panels)


def _without(panel: Panel, *titles: str) -> Table:
    """A table without the columns that this kind of bridge cannot fill."""
    assert isinstance(panel, Table), panel.title
    kept = [
        (query, column)
        for query, column in zip(panel.queries, panel.columns, strict=True)
        if column.title not in titles
    ]
    queries, columns = zip(*kept, strict=True)
    return replace(panel, queries=queries, columns=columns)


_looks = select("penstock_bridge_last_look_seconds")
_errors = select("penstock_bridge_errors_total")
_waits = select("penstock_held_back_by")
_BY_PIPELINE = Look(colour=Colour.FIRST, shades=True)

_SEES = Stat(
    id=501,
    title="Does the bridge see?",
    shows="Whether the last look at the other side succeeded.",
    healthy="sees.",
    otherwise="while it is blind nothing is shown of what is behind it; `/actuator/health` says why.",
    queries=(
        Query(expression=smallest(select("penstock_bridge_up"), "pipeline"), legend="{{pipeline}}", instant=True),
    ),
    words={0: Word("blind", Colour.BAD), 1: Word("sees", Colour.GOOD)},
    steps=(Step(None, Colour.GOOD),),
    no_value="Not scraped",
    width=6,
    height=8,
)
_TIME_OF_A_LOOK = TimeSeries(
    id=502,
    title="Time of a look",
    shows="How long the last look at the other side took.",
    healthy="well below the interval; of a process, the five seconds of a piece.",
    otherwise="the other side answers slowly; looks come less often then.",
    queries=(Query(expression=largest(_looks, "pipeline"), legend="{{pipeline}}", look=_BY_PIPELINE),),
    band=False,
    width=9,
    height=8,
)
_NOT_GIVEN = TimeSeries(
    id=503,
    title="Answers not given",
    shows="Answers per second that were asked for and not given, by the reason.",
    healthy="0.",
    otherwise="what stands on one of them alone is unknown until the next look.",
    queries=(
        Query(expression=total(rate(_errors), "pipeline"), legend="{{pipeline}} all", look=_BY_PIPELINE),
        Query(
            expression=total(rate(_errors), "pipeline", "reason").above("0"),
            legend="{{pipeline}} {{reason}}",
            look=Look(colour=Colour.BAD, shades=True),
        ),
    ),
    band=False,
    width=9,
    height=8,
)
_LOOKS = (_SEES, _TIME_OF_A_LOOK, _NOT_GIVEN)

_JOBS = TimeSeries(
    id=504,
    title="Jobs by state",
    shows="Jobs that Flink lists, by its own word for their state, where there are any.",
    healthy="running, and as many as there should be.",
    otherwise="restarting or failing for long: Flink's own page says why.",
    queries=(
        Query(
            expression=largest(select("penstock_bridge_jobs"), "pipeline", "state").above("0"),
            legend="{{pipeline}} {{state}}",
            look=_BY_PIPELINE,
        ),
    ),
    band=False,
    decimals=0,
    width=12,
    height=8,
)
_LEFT_OUT = TimeSeries(
    id=505,
    title="Jobs left out",
    shows="Running jobs that are not looked at, because there are more of them than a bridge takes.",
    healthy="0.",
    otherwise="run a second bridge, or one with fewer jobs to see.",
    queries=(
        Query(
            expression=largest(select("penstock_bridge_omitted_jobs"), "pipeline"),
            legend="{{pipeline}}",
            look=_BY_PIPELINE,
        ),
    ),
    band=False,
    decimals=0,
    soft_max=1,
    width=12,
    height=8,
)
_WAITS = StateTimeline(
    id=506,
    title="Who waits for whom",
    shows="Red while a task is held back and waits for the one behind it, along each edge of the job graph.",
    healthy="empty.",
    otherwise="where several wait one behind the other, the last one waited for is to blame.",
    queries=(
        Query(
            expression=largest(over_time("max", _waits).otherwise(_waits), "pipeline", "task", "by").with_unit(
                Display.COUNT
            ),
            legend="{{pipeline}}/{{task}} for {{by}}",
        ),
    ),
    words={0: Word("does not wait", Colour.NOTHING), 1: Word("waits", Colour.BACK_PRESSURED)},
    width=12,
    height=6,
)
_SKEW = TimeSeries(
    id=507,
    title="Skew of subtasks",
    shows="How many times busier the busiest subtask of a task is than the mean of them. Of tasks with more than one.",
    healthy="1: all work alike.",
    otherwise="near the number of subtasks one does all the work: its keys are unevenly spread.",
    queries=common.by_task(
        largest(select("penstock_task_busy_skew_ratio"), "pipeline", "task").with_unit(Display.NUMBER)
    ),
    band=False,
    soft_min=1,
    soft_max=2,
    legend_at_right=True,
    width=12,
    height=8,
)
_DRIFT = Stat(
    id=508,
    title="Limits of the partitions",
    shows="Whether the partitions are configured alike.",
    healthy="all alike.",
    otherwise="somebody changed one of them: the table below has the limits of each.",
    queries=(
        Query(
            expression=largest(select("penstock_bridge_config_drifted"), "pipeline"),
            legend="{{pipeline}}",
            instant=True,
        ),
    ),
    words={0: Word("all alike", Colour.GOOD), 1: Word("they differ", Colour.LOW)},
    steps=(Step(None, Colour.GOOD),),
    no_value="none known",
    width=6,
    height=4,
)


def _of_tasks(uid: BoardUid, *, tile: int) -> tuple[Panel, ...]:
    """What holds up whom, at a glance; tiles are as wide as there is to say in one."""
    return (
        *_of(overview.BOARD, 11, to=uid, width=tile),
        *_of(back_pressure.BOARD, 11, 12, 13, to=uid, width=tile),
        *_of(back_pressure.BOARD, 15, 16, to=uid),
    )


FLINK = Board(
    uid=BoardUid.FLINK,
    title="Penstock: Flink",
    answers="Which task of which job of a Flink cluster holds up the others.",
    bridge="flink",
    rows=(
        Row(id=10, title=None, panels=_of_tasks(BoardUid.FLINK, tile=12)),
        Row(
            id=20,
            title="Since when",
            panels=(*(replace(p, height=6) for p in _of(overview.BOARD, 22, to=BoardUid.FLINK)), _WAITS),
        ),
        Row(id=30, title="Tasks", panels=_unshaded(_of(back_pressure.BOARD, 21, 22, to=BoardUid.FLINK))),
        Row(
            id=40,
            title="Subtasks and records",
            panels=(
                _SKEW,
                *_of(back_pressure.BOARD, 35, to=BoardUid.FLINK),
                *_unshaded(_of(back_pressure.BOARD, 33, to=BoardUid.FLINK, width=24)),
            ),
        ),
        Row(id=50, title="The bridge itself", panels=(*_LOOKS, _JOBS, _LEFT_OUT)),
    ),
)

PROCESS = Board(
    uid=BoardUid.PROCESS,
    title="Penstock: Process",
    answers="Which thread of a Python process that is watched from outside holds up the others.",
    bridge="process",
    rows=(
        Row(id=10, title=None, panels=_of_tasks(BoardUid.PROCESS, tile=6)),
        Row(
            id=30,
            title="Threads",
            panels=(
                *(_without(panel, "In", "Out") for panel in _of(back_pressure.BOARD, 21, to=BoardUid.PROCESS)),
                *_unshaded(_of(back_pressure.BOARD, 22, to=BoardUid.PROCESS)),
            ),
        ),
        Row(
            id=40,
            title="How sure",
            panels=_unshaded((*_of(back_pressure.BOARD, 35, 36, to=BoardUid.PROCESS),)),
        ),
        Row(id=50, title="The bridge itself", panels=_LOOKS),
    ),
)

ZEEBE = Board(
    uid=BoardUid.ZEEBE,
    title="Penstock: Zeebe",
    answers="Whether a Zeebe cluster takes what it is given, what holds it back, and which exporter is behind.",
    bridge="zeebe",
    rows=(
        Row(id=10, title=None, panels=_of(overview.BOARD, 11, 12, 13, 14, 15, 21, 22, to=BoardUid.ZEEBE)),
        Row(id=20, title="How much", panels=_of(overview.BOARD, 31, 32, to=BoardUid.ZEEBE)),
        Row(
            id=30,
            title="Limits",
            panels=(
                _DRIFT,
                *_of(flow_control.BOARD, 13, 15, 16, to=BoardUid.ZEEBE, width=6),
                *(replace(_without(p, "Factor"), height=6) for p in _of(flow_control.BOARD, 22, to=BoardUid.ZEEBE)),
                *_of(flow_control.BOARD, 41, 43, 44, 51, to=BoardUid.ZEEBE, width=12),
            ),
        ),
        Row(
            id=40,
            title="Exporters",
            panels=(
                *(_without(p, "Errors", "Retries") for p in _of(exporting.BOARD, 18, to=BoardUid.ZEEBE)),
                *_of(exporting.BOARD, 16, to=BoardUid.ZEEBE, width=24),
                *_of(exporting.BOARD, 21, 22, to=BoardUid.ZEEBE, width=12),
                *_of(exporting.BOARD, 23, to=BoardUid.ZEEBE, width=24),
            ),
        ),
        Row(id=50, title="The bridge itself", panels=_LOOKS),
    ),
)
