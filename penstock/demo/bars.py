"""Bars as wide as there is room. Each part has a sign of its own, so that they can be read without colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment

_WIDTH_MIN = 10


@dataclass(frozen=True, slots=True)
class Part:
    """A share of the bar, 0 to 1."""

    share: float
    sign: str
    style: str


class Bar:
    """Parts side by side from the left; `rest` fills what they leave, and `mark` is a share seen in it."""

    def __init__(self, parts: Sequence[Part], *, rest: str = "·", mark: float | None = None) -> None:
        self._parts = parts
        self._rest = rest
        self._mark = mark

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(_WIDTH_MIN, options.max_width), options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        edges = cells([part.share for part in self._parts], width)
        for part, count in zip(self._parts, edges, strict=True):
            yield Segment(part.sign * count, console.get_style(part.style))
        used = sum(edges)
        rest = [self._rest] * (width - used)
        if self._mark is not None and used <= (at := min(width - 1, int(self._mark * width))):
            rest[at - used] = "│"
        yield Segment("".join(rest), console.get_style("bright_black"))
        yield Segment.line()


def cells(shares: Sequence[float], width: int) -> list[int]:
    """How many cells each share takes: rounded at the running sum, so that together they are right to half a cell."""
    counts: list[int] = []
    total = 0.0
    for share in shares:
        before = sum(counts)
        total = min(1.0, total + max(0.0, share))
        counts.append(max(0, int(total * width + 0.5) - before))
    return counts
