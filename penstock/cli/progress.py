"""How far the sources of a run are, with rate and time left, and how it is; as long as a terminal looks on."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.core.condition import condition_of
from engine.core.durations import format_duration
from engine.core.snapshot import EngineSnapshot, InputSnapshot, TaskSnapshot, grown
from penstock.cli.condition import word

_NS_PER_SECOND = 1_000_000_000
# Long enough for a rate that can be read.
_LOOK_SECONDS = 1.0
_BAR_WIDTH = 30


@contextmanager
def progress_shown(snapshot: Callable[[], EngineSnapshot], console: Console | None = None) -> Iterator[None]:
    """Draws the sources below the lines of the log; nothing where standard error is no terminal."""
    page = console or Console(stderr=True)
    if not page.is_terminal:
        yield
        return
    over = threading.Event()
    with Live(console=page, auto_refresh=False, transient=True) as live, _log_above():
        drawing = threading.Thread(target=_draw, args=(snapshot, live, over), name="penstock-progress", daemon=True)
        drawing.start()
        try:
            yield
        finally:
            over.set()
            drawing.join()


def _draw(snapshot: Callable[[], EngineSnapshot], live: Live, over: threading.Event) -> None:
    before = snapshot()
    while not over.wait(_LOOK_SECONDS):
        now = snapshot()
        live.update(bars(before, now), refresh=True)
        before = now


@contextmanager
def _log_above() -> Iterator[None]:
    """The log's lines go where a live view takes what is printed: above what it draws."""
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]
    streams = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, streams, strict=True):
            if stream is not None:
                handler.setStream(stream)


def bars(before: EngineSnapshot, now: EngineSnapshot) -> Group:
    """A row for each source that says how far it is, with what it did between the two snapshots; below, how it is."""
    table = Table.grid(padding=(0, 2))
    seconds = (now.taken_monotonic_ns - before.taken_monotonic_ns) / _NS_PER_SECOND
    known = {task.vertex_id: task for task in before.tasks}
    for task in now.tasks:
        if task.input is not None:
            bar, text = _row(known.get(task.vertex_id, task), task, task.input, seconds)
            table.add_row(task.task, bar, text)
    found = condition_of(now)
    # Of one line, whatever it has to say: what is drawn below the log must not jump.
    return Group(table, Text.assemble(word(found.condition), f" {found.text}", overflow="ellipsis", no_wrap=True))


def _row(
    before: TaskSnapshot, task: TaskSnapshot, known: InputSnapshot, seconds: float
) -> tuple[ProgressBar | str, str]:
    rate = grown(before.records_in, task.records_in) / seconds if seconds > 0 else None
    if known.position_bytes is None:
        where = "" if known.lag_records is None else f"{known.lag_records:,} messages behind the end, "
        return "", f"{where}offset {known.offset:,}, {'' if rate is None else f'{rate:,.0f} messages/s'}"
    lines = "" if rate is None else f"{rate:,.0f} lines/s"
    if known.size_bytes is None:
        where = f"line {known.offset:,}"
        if known.lag_bytes is not None:
            where = f"{decimal(known.lag_bytes)} behind the end, {where}"
        return "", f"{where}, {lines}"
    bar = ProgressBar(total=max(1, known.size_bytes), completed=known.position_bytes, width=_BAR_WIDTH)
    text = f"{decimal(known.position_bytes)} of {decimal(known.size_bytes)}, line {known.offset:,}, {lines}"
    return bar, text + _left(before, known, seconds)


def _left(before: TaskSnapshot, known: InputSnapshot, seconds: float) -> str:
    if known.size_bytes is None or known.position_bytes is None or seconds <= 0:
        return ""
    read = known.position_bytes - (0 if before.input is None else before.input.position_bytes or 0)
    if read <= 0:
        return ""
    left_seconds = round((known.size_bytes - known.position_bytes) * seconds / read)
    return f", {format_duration(left_seconds * _NS_PER_SECOND)} left"
