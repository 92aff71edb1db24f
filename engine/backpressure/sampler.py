"""Looks at the stacks of all tasks at once, and keeps book for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random

from engine.backpressure.doubt import Doubt
from engine.backpressure.hindsight import OwnWaits
from engine.backpressure.judgement import NoVerdict, verdict_at, verdict_of_look
from engine.backpressure.markers import Look
from engine.backpressure.schedule import Schedule
from engine.backpressure.stacks import current_frames
from engine.backpressure.subjects import Frames, Subject
from engine.backpressure.window import SampleWindow, Verdict
from engine.core.clock import Clock
from engine.core.snapshot import BackPressureSnapshot, BlockReason, SampleBasis

# Deadlines that one look may serve: beyond that the process stood still, and its stacks say nothing of that time.
_DEADLINES_A_LOOK_MAX = 64
_HELD_BACK = Look.HELD_BACK


class SampleBook:
    """The samples of one subject: the last ones, and what decided all of them.

    One caller at a time: the monitor holds the lock.
    """

    __slots__ = ("_by_stack", "_by_transitions", "_disagreements", "_discarded", "_doubt", "last", "subject", "window")

    def __init__(self, subject: Subject, size: int) -> None:
        self.subject = subject
        self.window = SampleWindow(size)
        # What the stack said at the last look; None before it.
        self.last: Verdict | None = None
        self._doubt = Doubt(size)
        self._by_stack = 0
        self._by_transitions = 0
        self._discarded = 0
        self._disagreements = 0

    def basis(self) -> SampleBasis:
        return SampleBasis(
            by_stack=self._by_stack,
            by_transitions=self._by_transitions,
            discarded=self._discarded,
            disagreements=self._disagreements,
        )

    @property
    def unsure(self) -> str | None:
        """Why the ratios of what keeps no transitions are unknown, one sentence; None while they are good enough."""
        return self._doubt.reason(self.window.counts())

    @property
    def waiting_kept(self) -> float:
        """Which part of the waiting that the samples saw is likely to be true; all of it for a task of the engine."""
        return self._doubt.kept(self.window.counts())

    def reading(self, sampled_wall_ns: int | None) -> BackPressureSnapshot | None:
        """The ratios of the last samples; None without any."""
        return self.window.counts().reading(sampled_wall_ns, waiting_kept=self.waiting_kept)

    def _take_foreign(self, seen: Verdict, looked_ns: int, waited_ns: int) -> None:
        hindsight = self.subject.hindsight
        verdict: Verdict | None = seen if hindsight is None else hindsight.verdict(seen, waited_ns)
        self._doubt.looked(looked_ns, None if hindsight is None else hindsight.ran_ns, lost=verdict is None)
        if verdict is None:
            self._discarded += 1
            return
        if verdict is seen:
            self._by_stack += 1
        else:
            self._by_transitions += 1
        self.last = verdict
        self.window.add(verdict)

    def take(self, frames: Frames, deadlines: Sequence[int], looked_ns: int, waited_ns: int = 0) -> None:
        """Judges each deadline by one look, taken after `looked_ns`; the looker waited so long for the interpreter."""
        look = self.subject.look(frames)
        if look is None:
            return
        transitions = self.subject.transitions
        if transitions is None:
            # Nobody knows what it did before: a late look is one sample, not one for every deadline.
            self._take_foreign(verdict_of_look(look, None), looked_ns, waited_ns)
            return
        # Read after the stacks, so that no change before them is overlooked.
        last = transitions.last
        if last is None:
            # Its thread has been made and has not begun.
            return
        since_ns, state = last
        if since_ns <= looked_ns and (look is _HELD_BACK) != isinstance(state, BlockReason):
            self._disagreements += 1
        self.last = verdict = verdict_of_look(look, state)
        for deadline_ns in deadlines:
            if since_ns <= deadline_ns:
                self._by_stack += 1
                self.window.add(verdict)
                continue
            match verdict_at(*transitions.read(), deadline_ns):
                case NoVerdict.FORGOTTEN:
                    self._discarded += 1
                case NoVerdict.NOT_STARTED:
                    pass
                case Verdict() as at_deadline:
                    self._by_transitions += 1
                    self.window.add(at_deadline)


class Sampler:
    """Serves all books at the same deadlines, with one reading of all stacks a look.

    It has no thread: whoever owns it calls `look` when `next_ns` has come, one caller at a time. Books may come and
    go between looks; without any there is no deadline.
    """

    def __init__(
        self,
        clock: Clock,
        delay_ns: int,
        random: Random,
        *,
        stacks: Callable[[], Frames] = current_frames,
        waits: OwnWaits | None = None,
    ) -> None:
        """`waits` tells waiting for the interpreter from waiting for a core, on the thread that looks."""
        self._clock = clock
        self._delay_ns = delay_ns
        self._random = random
        self._stacks = stacks
        self._waits = waits or OwnWaits()
        self._schedule: Schedule | None = None
        self._books: list[SampleBook] = []
        self.ticks = 0
        self.missed = 0
        self.lateness_ns = 0
        self.lateness_max_ns = 0

    @property
    def next_ns(self) -> int | None:
        """The next deadline, monotonic; None while there is nothing to sample."""
        return None if self._schedule is None else self._schedule.next_ns

    def add(self, books: Iterable[SampleBook]) -> None:
        self._books += books
        if self._books and self._schedule is None:
            self._schedule = Schedule(self._clock.monotonic_ns(), self._delay_ns, self._random)

    def remove(self, books: Iterable[SampleBook]) -> None:
        for book in books:
            self._books.remove(book)
        if not self._books:
            self._schedule = None

    def look(self) -> int:
        """Serves the deadlines that have passed, and says how many those were."""
        if self._schedule is None:
            return 0
        looked_ns = self._clock.monotonic_ns()
        deadlines, missed = self._schedule.due(looked_ns, at_most=_DEADLINES_A_LOOK_MAX)
        self.missed += missed
        if not deadlines:
            return 0
        waited_ns = self._waits.waited_ns(looked_ns - deadlines[-1])
        frames = self._stacks()
        for book in self._books:
            book.take(frames, deadlines, looked_ns, waited_ns)
        self.ticks += len(deadlines)
        late_ns = [looked_ns - deadline_ns for deadline_ns in deadlines]
        self.lateness_ns += sum(late_ns)
        self.lateness_max_ns = max(self.lateness_max_ns, *late_ns)
        return len(deadlines)
