"""Where a task's time goes: busy, idle, or back-pressured by a reason. Every nanosecond counts once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from engine.core.clock import Clock
from engine.core.snapshot import BlockReason
from engine.tasks.transitions import TaskState, Transitions

_NOTHING: dict[TaskState, int] = {"busy": 0, "idle": 0, **dict.fromkeys(BlockReason, 0)}


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """A reading. Invariant: busy + idle + all of back_pressured = time since the start (or up to the stop)."""

    busy_ns: int
    idle_ns: int
    back_pressured_ns: dict[BlockReason, int]
    # The longest single period in one back-pressured state, the running one included.
    longest_blocked_ns: int
    state: TaskState

    @property
    def elapsed_ns(self) -> int:
        return self.busy_ns + self.idle_ns + sum(self.back_pressured_ns.values())


class _Published(NamedTuple):
    """What a reader takes in one step: the running state and all that ended before it.

    A tuple, for one is made at every transition, and a frozen dataclass takes more than twice as long to make.
    """

    state: TaskState
    since_ns: int
    running: bool
    totals: dict[TaskState, int]
    longest_blocked_ns: int


class TaskTimer:
    """Splits a task's life into busy, idle and back-pressured time on the monotonic clock.

    The task's own thread calls `start`, `busy`, `idle`, `blocked` and `stop`; any thread may `read`. A period that
    spans a reading is extrapolated in that reading and counted for good when it ends, so nothing counts twice.
    """

    __slots__ = ("_clock", "_published", "transitions")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._published = _Published("idle", 0, False, _NOTHING, 0)
        # A late stack sample is judged by the state at its deadline.
        self.transitions = Transitions()

    def start(self) -> None:
        """Begins to count, as busy; after a `stop`, goes on."""
        now_ns = self._clock.monotonic_ns()
        before = self._published
        self._published = _Published("busy", now_ns, True, before.totals, before.longest_blocked_ns)
        self.transitions.add(now_ns, "busy")

    def busy(self) -> None:
        self._enter("busy", True)

    def idle(self) -> None:
        self._enter("idle", True)

    def blocked(self, reason: BlockReason) -> None:
        self._enter(reason, True)

    def stop(self) -> None:
        """Ends the count: a finished task spends no more time."""
        self._enter("idle", False)

    def _enter(self, state: TaskState, running: bool) -> None:
        before = self._published
        if before.state == state and before.running == running:
            return
        now_ns = self._clock.monotonic_ns()
        totals, longest_ns = before.totals, before.longest_blocked_ns
        if before.running:
            elapsed_ns = now_ns - before.since_ns
            totals = {**totals, before.state: totals[before.state] + elapsed_ns}
            if isinstance(before.state, BlockReason):
                longest_ns = max(longest_ns, elapsed_ns)
        self._published = _Published(state, now_ns, running, totals, longest_ns)
        self.transitions.add(now_ns, state)

    @property
    def since_ns(self) -> int:
        """When the present state began; for the task's own thread."""
        return self._published.since_ns

    def read(self) -> TaskTimes:
        now_ns = self._clock.monotonic_ns()
        seen = self._published
        totals, longest_ns = dict(seen.totals), seen.longest_blocked_ns
        if seen.running:
            # The task may have moved on between the two lines above; its new state then began after `now_ns`.
            elapsed_ns = max(0, now_ns - seen.since_ns)
            totals[seen.state] += elapsed_ns
            if isinstance(seen.state, BlockReason):
                longest_ns = max(longest_ns, elapsed_ns)
        return TaskTimes(
            busy_ns=totals["busy"],
            idle_ns=totals["idle"],
            back_pressured_ns={reason: totals[reason] for reason in BlockReason},
            longest_blocked_ns=longest_ns,
            state=seen.state,
        )
