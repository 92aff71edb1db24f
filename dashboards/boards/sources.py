"""The row of the sources that read files: how far each is, how far behind, how fast."""

from __future__ import annotations

from dashboards.board import Row
from dashboards.colours import Colour
from dashboards.panel import Look, Query, TimeSeries
from dashboards.promql import largest, rate, select, total
from dashboards.units import Display

_SOURCE = ("pipeline", "task")

FILES = Row(
    id=80,
    title="Files and logs, where sources read them",
    folded=True,
    panels=(
        TimeSeries(
            id=81,
            title="Read of each source's files",
            shows="How much of its files a source has read. Empty for what has no end.",
            healthy="rises to 100 %, where the run ends.",
            otherwise="it stands: the board Back pressure says what the task waits for; its log, what is damaged.",
            queries=(
                Query(
                    expression=largest(
                        select("penstock_source_position_bytes") / select("penstock_source_size_bytes"), *_SOURCE
                    ).with_unit(Display.SHARE),
                    legend="{{pipeline}}/{{task}}",
                    look=Look(colour=Colour.SOURCE, shades=True),
                ),
            ),
            width=8,
            height=9,
        ),
        TimeSeries(
            id=82,
            title="Behind the ends of followed logs",
            shows="Bytes that stand in the logs a source follows and are still to be read.",
            healthy="near 0, whatever their writers do.",
            otherwise="it grows: less is taken in than is written. Yellow: the throttle holds the writers back.",
            queries=(
                Query(
                    expression=largest(select("penstock_source_lag_bytes"), *_SOURCE),
                    legend="{{pipeline}}/{{task}}",
                    look=Look(colour=Colour.SOURCE, shades=True),
                ),
            ),
            width=8,
            height=9,
        ),
        TimeSeries(
            id=83,
            title="Lines read",
            shows="Lines, rows or values per second that each source of files or logs has read.",
            healthy="as many as are written, or as fast as the disk and the write limit allow.",
            otherwise="0 with something left to read: it is held back, or its file cannot be read.",
            queries=(
                Query(
                    expression=total(rate(select("penstock_task_records_in_total")), *_SOURCE).only_where(
                        largest(select("penstock_source_position_bytes"), *_SOURCE), *_SOURCE
                    ),
                    legend="{{pipeline}}/{{task}}",
                    look=Look(colour=Colour.SOURCE, shades=True),
                ),
            ),
            width=8,
            height=9,
        ),
    ),
)
