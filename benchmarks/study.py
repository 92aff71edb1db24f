"""What every benchmark is to the runner: `run(pace)` measures, and hands back a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Pace:
    """How much time a benchmark may take, and whom to tell how far it is. One thread uses it."""

    def __init__(self, *, quick: bool = False, progressed: Callable[[str, int, int], None] | None = None) -> None:
        self.quick = quick
        self._progressed = progressed or (lambda _what, _done, _of: None)

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def repetitions(self, full: int, quick: int, what: str = "") -> Iterator[int]:
        """0, 1, … so many times, telling of each."""
        number = self.of(full, quick)
        for repetition in range(number):
            self._progressed(what, repetition, number)
            yield repetition
        self._progressed(what, number, number)


@dataclass(frozen=True, slots=True)
class Report:
    """A benchmark's own tables, and the samples of the goals that it measures, one each repetition.

    `missing` says for a goal why there are no samples.
    """

    text: str
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


class Study(Protocol):
    """A module of benchmarks/."""

    def run(self, pace: Pace, /) -> Report:
        """Measures; raises what went wrong."""
        ...
