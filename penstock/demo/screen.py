"""The live view: readings and a moment of the script become something that rich can draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.align import Align
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from penstock.cli.condition import word
from penstock.demo.bars import Bar, Part
from penstock.demo.readings import PartitionReading, Readings, TaskReading, TaskWord
from penstock.demo.timeline import Moment
from penstock.demo.words import clock_time, whole

THROTTLED_STYLE = "bold grey0 on yellow"
_CHIP_STYLES = {
    TaskWord.BUSY: "grey0 on dark_orange",
    TaskWord.IDLE: "white on grey30",
    TaskWord.BACK_PRESSURED: "bold white on red3",
}
_TIME_STYLES = {TaskWord.BUSY: "dark_orange", TaskWord.BACK_PRESSURED: "red3"}
_LABEL = "bright_black"
# Room kept for a sentence, so that nothing below it jumps.
_TEXT_LINES = 2
# Lines that news may take: what is left in the terminal, and no more than that.
_NEWS_MAX = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """One frame. `news` are the last lines of the log, shown where there is room for them."""

    now: Readings
    moment: Moment
    url: str
    news: Sequence[str] = ()
    # Said in place of how to end it, once it ends.
    ending: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        body = Group(
            _title(self.now, self.moment),
            _phase(self.moment),
            Align(Text(self.moment.phase.sentence, style="italic"), height=_TEXT_LINES),
            Text(),
            _rates(self.now),
            Text(),
            _partitions(self.now.partitions),
            Text(),
            _tasks(self.now.tasks),
            Align(_blame(self.now.blame), height=_TEXT_LINES),
            Text(),
            _links(self.url, self.ending),
        )
        yield body
        if self.news:
            room = options.max_height - len(console.render_lines(body, options)) - 1
            if room > 0:
                yield Text()
                for line in self.news[-min(room, _NEWS_MAX) :]:
                    yield Text(line, style=_LABEL, no_wrap=True, overflow="ellipsis")


def _title(now: Readings, moment: Moment) -> RenderableType:
    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right")
    again = f", round {moment.round}" if moment.round > 1 else ""
    line.add_row(
        Text.assemble(("Penstock", "bold cyan"), " demo: ", now.pipeline, "  ", word(now.condition)),
        Text(f"phase {moment.number} of {moment.phases}{again}   {clock_time(moment.total_seconds)}", style=_LABEL),
    )
    return line


def _phase(moment: Moment) -> RenderableType:
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(
        Text(moment.phase.name, style="bold"),
        Bar([Part(moment.progress, "━", "cyan")], rest="─"),
        Text(f"{moment.elapsed_seconds:.0f} of {moment.phase.seconds:.0f} s", style=_LABEL),
    )
    return line


def _rates(now: Readings) -> RenderableType:
    line = Table.grid(expand=True)
    for _ in range(3):
        line.add_column(ratio=1)
    line.add_row(
        _rate("read", now.read_per_second, "flights/s"),
        _rate("written", now.written_per_second, "records/s"),
        _rate("exported", now.exported_per_second, "records/s"),
    )
    return line


def _rate(label: str, per_second: float, unit: str) -> Text:
    return Text.assemble((f"{label} ", _LABEL), (whole(per_second), "bold"), (f" {unit}", _LABEL))


def _partitions(partitions: Sequence[PartitionReading]) -> RenderableType:
    rows = Table.grid(expand=True, padding=(0, 1))
    rows.add_column(no_wrap=True, min_width=11)
    rows.add_column(no_wrap=True, style=_LABEL)
    rows.add_column(ratio=1)
    rows.add_column(justify="right", no_wrap=True)
    for p in partitions:
        mark = Text(" THROTTLED ", style=THROTTLED_STYLE) if p.throttled else Text("")
        rows.add_row(Text(f"partition {p.partition}", style="bold"), "backlog", _backlog_bar(p), _backlog_text(p))
        rows.add_row(mark, "limit", _limit_bar(p), _limit_text(p))
    return rows


def _backlog_bar(p: PartitionReading) -> Bar:
    """The whole bar is the acceptable backlog; the mark in the middle is where throttling begins."""
    if p.backlog_records is None or not p.acceptable_backlog_records:
        return Bar([])
    share = p.backlog_records / p.acceptable_backlog_records
    style = "green" if share < 0.5 else "yellow" if share <= 1 else "red"
    return Bar([Part(share, "█", style)], mark=0.5)


def _backlog_text(p: PartitionReading) -> Text:
    if p.backlog_records is None:
        return Text("unknown", style=_LABEL)
    text = Text(whole(p.backlog_records), style="bold")
    if p.acceptable_backlog_records is not None:
        text.append(f" of {whole(p.acceptable_backlog_records)} acceptable", style="not bold bright_black")
    return text


def _limit_bar(p: PartitionReading) -> Bar:
    if p.limit_per_second is None or not p.limit_max_per_second:
        return Bar([])
    return Bar([Part(p.limit_per_second / p.limit_max_per_second, "█", "yellow" if p.throttled else "blue")])


def _limit_text(p: PartitionReading) -> Text:
    if p.limit_per_second is None or p.limit_max_per_second is None:
        return Text("none", style=_LABEL)
    text = Text(whole(p.limit_per_second), style="bold yellow" if p.throttled else "bold")
    text.append(f" of {whole(p.limit_max_per_second)} records/s", style="not bold bright_black")
    return text


def _tasks(tasks: Sequence[TaskReading]) -> RenderableType:
    rows = Table.grid(expand=True, padding=(0, 1))
    rows.add_column(no_wrap=True, min_width=11)
    rows.add_column(no_wrap=True)
    rows.add_column(ratio=1)
    for _ in range(2):
        rows.add_column(justify="right", no_wrap=True, min_width=8)
    rows.add_row(
        Text("task", style=_LABEL),
        Text("mostly", style=_LABEL),
        Text.assemble(
            ("█ busy ", _TIME_STYLES[TaskWord.BUSY]),
            ("▒ back-pressured ", _TIME_STYLES[TaskWord.BACK_PRESSURED]),
            ("· idle", _LABEL),
            no_wrap=True,
        ),
        Text("in/s", style=_LABEL),
        Text("out/s", style=_LABEL),
    )
    for task in tasks:
        name = Text(task.task, style="bold")
        if task.subtasks > 1:
            name.append(f" ×{task.subtasks}", style=f"not bold {_LABEL}")
        if task.is_bottleneck:
            name.append(" ◀", style="red3")
        rows.add_row(
            name,
            chip(task.word),
            Bar(
                [
                    Part(task.busy, "█", _TIME_STYLES[TaskWord.BUSY]),
                    Part(task.back_pressured, "▒", _TIME_STYLES[TaskWord.BACK_PRESSURED]),
                ]
            ),
            whole(task.in_per_second),
            whole(task.out_per_second),
        )
    return rows


def chip(word: TaskWord) -> Text:
    """A task's word on its colour."""
    return Text(f" {word:^14} ", style=_CHIP_STYLES[word])


def _blame(blame: str | None) -> Text:
    if blame is None:
        return Text("")
    return Text.assemble((" bottleneck ", "bold white on red3"), f" {blame}")


def _links(url: str, ending: str | None) -> Text:
    if ending is not None:
        return Text(ending, style="bold")
    return Text.assemble(
        (url, f"link {url}"),
        "  ",
        ("/metrics", f"link {url}/metrics"),
        "  ",
        ("/actuator/flowControl", f"link {url}/actuator/flowControl"),
        ("  Ctrl-C ends", _LABEL),
    )
