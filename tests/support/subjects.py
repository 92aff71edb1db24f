"""A subject whose stack shows what a test says."""

from __future__ import annotations

from random import Random

from engine.backpressure.hindsight import Hindsight
from engine.backpressure.markers import Look
from engine.backpressure.sampler import SampleBook, Sampler
from engine.backpressure.subjects import Frames
from engine.core.clock import ManualClock
from engine.tasks.timers import TaskState
from engine.tasks.transitions import Transitions


class PlayedSubject:
    """Looks as it is told; `own` gives it transitions of its own, as tasks of the engine have."""

    def __init__(self, look: Look | None = Look.NEITHER, *, own: list[tuple[int, TaskState]] | None = None) -> None:
        self.shown = look
        self.looks = 0
        self.over = False
        self.transitions: Transitions | None = None if own is None else Transitions(own)
        self.hindsight: Hindsight | None = None

    @property
    def is_over(self) -> bool:
        return self.over

    def look(self, frames: Frames) -> Look | None:
        self.looks += 1
        return None if self.over else self.shown


class InTheMiddle(Random):
    """Puts every deadline into the middle of its slot."""

    def randrange(self, *args: int) -> int:  # type: ignore[override]
        return args[0] // 2


def sampler_of(clock: ManualClock, *books: SampleBook, delay_ns: int = 100) -> Sampler:
    sampler = Sampler(clock, delay_ns, InTheMiddle(), stacks=dict)
    sampler.add(books)
    return sampler
