"""Frames of the live view for tests: what stands on a terminal of a given size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.screen import Screen as WholeTerminal

from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import BlockReason, EngineSnapshot
from penstock.demo.readings import Readings, readings
from penstock.demo.screen import Screen
from penstock.demo.script import PHASES
from penstock.demo.timeline import Moment
from tests.support.snapshots import busy_snapshot

URL = "http://127.0.0.1:9600"


def moment(index: int = 2, *, elapsed_seconds: float = 11, round_: int = 1) -> Moment:
    """Some moment in the phase of that index."""
    return Moment(
        phase=PHASES[index],
        number=min(index + 1, 3) if index < 4 else index,
        phases=6,
        round=round_,
        elapsed_seconds=elapsed_seconds,
        total_seconds=75,
    )


def two_seconds_later(before: EngineSnapshot) -> EngineSnapshot:
    """The flights source was blocked all the time, parse busy for half of it, all others idle."""
    tasks = []
    for task in before.tasks:
        match task.task:
            case "flights":
                waited = {BlockReason.BUFFER: task.back_pressured_ns[BlockReason.BUFFER] + 2 * NS_PER_SECOND}
                tasks.append(replace(task, back_pressured_ns=waited, records_out=task.records_out + 480))
            case "parse":
                tasks.append(replace(task, busy_ns=task.busy_ns + NS_PER_SECOND, idle_ns=task.idle_ns + NS_PER_SECOND))
            case _:
                tasks.append(replace(task, idle_ns=task.idle_ns + 2 * NS_PER_SECOND))
    return replace(before, taken_monotonic_ns=before.taken_monotonic_ns + 2 * NS_PER_SECOND, tasks=tuple(tasks))


def busy_readings() -> Readings:
    """Two partitions, the first throttled; four tasks."""
    return readings(busy_snapshot(), two_seconds_later(busy_snapshot()))


def frame(
    width: int,
    height: int,
    *,
    at: Moment | None = None,
    news: Sequence[str] = (),
    now: Readings | None = None,
    ending: str | None = None,
) -> list[str]:
    """The lines of the terminal, without colours and without blanks at their ends."""
    console = Console(width=width, height=height, force_terminal=True, color_system=None, file=io.StringIO())
    with console.capture() as captured:
        console.print(
            WholeTerminal(Screen(now=now or busy_readings(), moment=at or moment(), url=URL, news=news, ending=ending))
        )
    return [line.rstrip() for line in captured.get().splitlines()]
