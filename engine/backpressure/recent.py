"""What a subtask did in the last seconds: its totals now, less those of a while ago."""

from __future__ import annotations

from collections import deque

from engine.core.clock import NS_PER_MS
from engine.core.snapshot import BlockReason, RecentTimes, TaskSnapshot, grown

# Long enough that a batch of a few seconds does not look like a change, short enough to follow one.
RECENT_SECONDS = 10
READING_EVERY_SECONDS = 2
# Shares of less time than this would say more about the reading than about the task.
_SPAN_MIN_NS = 20 * NS_PER_MS


class RecentBook:
    """Snapshots of one subtask, one every two seconds; the oldest is what the next reading is compared with.

    One caller at a time: the monitor holds the lock.
    """

    __slots__ = ("_readings",)

    def __init__(self) -> None:
        self._readings: deque[TaskSnapshot] = deque(maxlen=RECENT_SECONDS // READING_EVERY_SECONDS)

    def take(self, task: TaskSnapshot) -> None:
        self._readings.append(task)

    def until(self, task: TaskSnapshot) -> RecentTimes | None:
        """What happened since the oldest reading; None before there is one, and while the subtask does not run."""
        return times_between(self._readings[0], task) if self._readings else None


def times_between(before: TaskSnapshot, after: TaskSnapshot) -> RecentTimes | None:
    """The difference of two snapshots of one subtask; None when its timers did not go on between them."""
    busy_ns, idle_ns = grown(before.busy_ns, after.busy_ns), grown(before.idle_ns, after.idle_ns)
    blocked = {
        reason: after.back_pressured_ns.get(reason, 0) - before.back_pressured_ns.get(reason, 0)
        for reason in BlockReason
    }
    span_ns = busy_ns + idle_ns + sum(blocked.values())
    if span_ns < _SPAN_MIN_NS:
        return None
    return RecentTimes(
        span_ns=span_ns,
        busy_ns=busy_ns,
        idle_ns=idle_ns,
        back_pressured_ns=blocked,
        blocked_by_channel_ns=_difference(before.blocked_by_channel_ns, after.blocked_by_channel_ns),
        records_in=grown(before.records_in, after.records_in),
        records_out=grown(before.records_out, after.records_out),
    )


def _difference(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, ...]:
    # Before its first buffer a task may not have known its channels.
    padded = before + (0,) * (len(after) - len(before))
    return tuple(late - early for early, late in zip(padded, after, strict=True))
