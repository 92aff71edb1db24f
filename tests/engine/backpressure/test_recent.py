from __future__ import annotations

from dataclasses import replace

from engine.backpressure.recent import READING_EVERY_SECONDS, RECENT_SECONDS, RecentBook, times_between
from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import BlockReason, TaskSnapshot
from tests.support.snapshots import task


def at(second: int, **changes: object) -> TaskSnapshot:
    """A task that was blocked half of its time so far."""
    half = second * NS_PER_SECOND // 2
    return replace(
        task("parse"),
        busy_ns=half,
        idle_ns=0,
        back_pressured_ns={BlockReason.BUFFER: half},
        blocked_by_channel_ns=(0, half),
        records_in=second * 10,
        records_out=second * 9,
        **changes,  # type: ignore[arg-type]
    )


def test_before_a_first_reading_nothing_is_recent() -> None:
    assert RecentBook().until(at(1)) is None


def test_the_difference_to_the_oldest_reading_is_what_happened_lately() -> None:
    book = RecentBook()
    book.take(at(100))
    recent = book.until(at(104))
    assert recent is not None
    assert recent.span_ns == 4 * NS_PER_SECOND
    assert recent.busy_share == recent.blocked_share == 0.5
    assert recent.idle_share == 0
    assert recent.back_pressured_ns[BlockReason.BUFFER] == 2 * NS_PER_SECOND
    assert recent.blocked_by_channel_ns == (0, 2 * NS_PER_SECOND)
    assert (recent.records_in, recent.records_out) == (40, 36)


def test_no_more_than_the_last_seconds_count() -> None:
    book = RecentBook()
    for second in range(0, 100, READING_EVERY_SECONDS):
        book.take(at(second))
    recent = book.until(at(100))
    assert recent is not None
    assert recent.span_ns == RECENT_SECONDS * NS_PER_SECOND


def test_a_task_whose_timers_stand_still_did_nothing_lately() -> None:
    assert times_between(at(5), at(5)) is None


def test_a_task_that_learns_of_its_channels_late_has_blocked_on_none_before() -> None:
    recent = times_between(replace(at(1), blocked_by_channel_ns=()), at(3))
    assert recent is not None
    assert recent.blocked_by_channel_ns == (0, 3 * NS_PER_SECOND // 2)
