"""Where the demo stands in its script: pure, on an injected clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.clock import NS_PER_SECOND, Clock
from penstock.demo.script import Phase, Until


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What to show of the script now."""

    phase: Phase
    # From 1, among `phases`; phases of one name that follow one another count once.
    number: int
    phases: int
    # From 1.
    round: int
    elapsed_seconds: float
    # Since the demo began.
    total_seconds: float

    @property
    def progress(self) -> float:
        """0 to 1."""
        return min(1.0, self.elapsed_seconds / self.phase.seconds)


class Timeline:
    """Goes through `phases` from its first `advance` on. One caller at a time.

    Without `repeat` it is over behind the last phase; `seconds` ends it at that time in any case.
    """

    def __init__(
        self, phases: Sequence[Phase], clock: Clock, *, repeat: bool = False, seconds: float | None = None
    ) -> None:
        assert all(phase.seconds > 0 for phase in phases), "a phase takes time"
        self._phases = phases
        self._clock = clock
        self._repeat = repeat
        self._seconds = seconds
        self._numbers = _numbers(phases)
        self._began_ns: int | None = None
        self._phase_began_ns = 0
        self._index = 0
        self._round = 1

    def advance(self, *, throttled: bool) -> Moment | None:
        """The present moment, told whether a partition is throttled; None when it is over."""
        now_ns = self._clock.monotonic_ns()
        if self._began_ns is None:
            self._began_ns = self._phase_began_ns = now_ns
        total_seconds = (now_ns - self._began_ns) / NS_PER_SECOND
        if self._seconds is not None and total_seconds >= self._seconds:
            return None
        while (end_ns := self._end_ns(now_ns, throttled=throttled)) is not None:
            self._phase_began_ns = end_ns
            self._index += 1
            if self._index == len(self._phases):
                if not self._repeat:
                    self._index -= 1
                    return None
                self._index = 0
                self._round += 1
        return Moment(
            phase=self._phases[self._index],
            number=self._numbers[self._index],
            phases=self._numbers[-1],
            round=self._round,
            elapsed_seconds=(now_ns - self._phase_began_ns) / NS_PER_SECOND,
            total_seconds=total_seconds,
        )

    def _end_ns(self, now_ns: int, *, throttled: bool) -> int | None:
        """When the present phase ended; None while it lasts."""
        phase = self._phases[self._index]
        end_ns = self._phase_began_ns + round(phase.seconds * NS_PER_SECOND)
        if end_ns <= now_ns:
            return end_ns
        met = (phase.until is Until.THROTTLED and throttled) or (phase.until is Until.FREE and not throttled)
        return now_ns if met else None


def _numbers(phases: Sequence[Phase]) -> list[int]:
    numbers: list[int] = []
    for index, phase in enumerate(phases):
        same = index > 0 and phases[index - 1].name == phase.name
        numbers.append((numbers[-1] if numbers else 0) + (0 if same else 1))
    return numbers
