"""The bars of `penstock run`: how far each source is, how fast, and how long it takes yet."""

from __future__ import annotations

import io
import logging
import re
from dataclasses import replace

from rich.console import Console

from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import EngineSnapshot, InputSnapshot
from penstock.cli.progress import bars, progress_shown
from tests.support.snapshots import engine_snapshot, flow, partition, task


def written(before: EngineSnapshot, now: EngineSnapshot) -> str:
    console = Console(file=io.StringIO(), width=140, force_terminal=False)
    console.print(bars(before, now))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def at(seconds: int, **sources: tuple[int, InputSnapshot | None]) -> EngineSnapshot:
    tasks = tuple(task(name, records_in=read, input=known) for name, (read, known) in sources.items())
    return replace(engine_snapshot(tasks=tasks), taken_monotonic_ns=seconds * NS_PER_SECOND)


def test_a_file_has_a_bar_with_what_is_read_the_rate_and_the_time_left() -> None:
    before = at(10, flights=(1000, InputSnapshot(position_bytes=1_000_000, size_bytes=6_000_000, offset=1000)))
    now = at(12, flights=(41_000, InputSnapshot(position_bytes=2_000_000, size_bytes=6_000_000, offset=41_000)))
    text = written(before, now)
    assert "flights" in text
    assert "━━━━━━━━━━" in text
    assert "2.0 MB of 6.0 MB, line 41,000, 20,000 lines/s, 8s left" in text


def test_a_followed_log_says_how_far_behind_its_end_it_is() -> None:
    known = InputSnapshot(position_bytes=5, lag_bytes=12_000, offset=7)
    assert "12.0 kB behind the end, line 7, 3 lines/s" in written(at(0, log=(4, known)), at(1, log=(7, known)))


def test_how_the_run_is_stands_below_the_sources() -> None:
    throttled = partition(1, flow=flow(throttled=True, reason="backlog 9 of 8"))
    now = replace(at(1, log=(7, InputSnapshot(position_bytes=5, offset=7))), partitions=(throttled,))
    lines = written(now, now).splitlines()
    assert lines[0].startswith("log")
    assert lines[1].strip() == "throttled  writes to partition 1 are limited: backlog 9 of 8"


def test_a_topic_says_how_many_messages_are_left_once_a_broker_has_said_so() -> None:
    text = written(
        at(0, orders=(4, InputSnapshot(offset=4))),
        at(2, orders=(10, InputSnapshot(lag_records=12_000, offset=10)), late=(0, InputSnapshot(offset=0))),
    )
    assert "12,000 messages behind the end, offset 10, 3 messages/s" in text
    assert re.search(r"late +offset 0, 0 messages/s", text)


def test_a_source_that_stands_still_has_no_time_left_and_one_that_says_nothing_no_row() -> None:
    known = InputSnapshot(position_bytes=5, size_bytes=10, offset=7)
    text = written(at(0, file=(4, known), load=(0, None)), at(1, file=(4, known), load=(9, None)))
    assert "left" not in text
    assert "load" not in text


def test_without_a_terminal_nothing_is_drawn() -> None:
    page = Console(file=io.StringIO(), force_terminal=False)
    with progress_shown(engine_snapshot, page):
        pass
    assert isinstance(page.file, io.StringIO)
    assert page.file.getvalue() == ""


def test_the_log_goes_on_above_the_bars_and_back_to_where_it_went_before() -> None:
    handler = logging.StreamHandler(log := io.StringIO())
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        page = Console(file=io.StringIO(), force_terminal=True)
        with progress_shown(engine_snapshot, page):
            assert handler.stream is not log
        assert handler.stream is log
    finally:
        root.removeHandler(handler)
