"""A curve: what is made larger, what that costs, and how fast the cost may grow."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks.scale.growth import Growth, growth
from benchmarks.study import Pace

# Of each cost, by its name.
Costs = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """`exponent` is what the cause allows: 1 where twice the size is twice the work, 0 where size should not matter."""

    name: str
    unit: str
    exponent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """`points` measures one size after the other, smallest first, and hands back one set of costs each repetition."""

    name: str
    cause: str
    setup: str
    costs: Sequence[Cost]
    points: Callable[[Pace], Iterator[tuple[int, Sequence[Costs]]]]


@dataclass(frozen=True, slots=True)
class Measured:
    """A curve's points: of each size the median of the repetitions."""

    curve: Curve
    points: Mapping[int, Costs]

    @classmethod
    def of(cls, curve: Curve, pace: Pace) -> Measured:
        points = {
            size: {cost.name: statistics.median(found[cost.name] for found in repetitions) for cost in curve.costs}
            for size, repetitions in curve.points(pace)
        }
        return cls(curve, points)

    def by_size(self, cost: Cost) -> dict[float, float]:
        return {size: found[cost.name] for size, found in self.points.items()}

    def growth(self, cost: Cost) -> Growth:
        return growth(self.by_size(cost))

    @property
    def text(self) -> str:
        """A table: a row a size, and the exponents below."""
        costs = self.curve.costs
        grown = [self.growth(cost) for cost in costs]
        rows = [
            f"| {self.curve.cause} | {' | '.join(f'{cost.name}, {cost.unit}' for cost in costs)} |",
            "|" + "---|" * (len(costs) + 1),
            *(
                f"| {size:,} | {' | '.join(shown(found[cost.name]) for cost in costs)} |"
                for size, found in self.points.items()
            ),
            f"| exponent | {' | '.join(f'{g.exponent:.2f}' for g in grown)} |",
            f"| allowed | {' | '.join(f'{cost.exponent:g}' for cost in costs)} |",
            f"| steepest step | {' | '.join(f'{g.steepest:.2f}, to {g.steepest_at:,.0f}' for g in grown)} |",
            f"| verdict | {' | '.join(verdict(g, cost) for g, cost in zip(grown, costs, strict=True))} |",
        ]
        return "\n".join([f"**{self.curve.name}**: {self.curve.setup}", "", *rows])


def verdict(found: Growth, cost: Cost) -> str:
    return "within" if found.is_within(cost.exponent) else "**grows faster**"


def shown(value: float) -> str:
    """Three digits that count, without an exponent."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}"


def each_apart(
    measure: Callable[[int], Costs], sizes: Sequence[int], quick_sizes: Sequence[int]
) -> Callable[[Pace], Iterator[tuple[int, Sequence[Costs]]]]:
    """Points whose every repetition has a new process: threads and memory of one size do not weigh on the next."""

    def points(pace: Pace) -> Iterator[tuple[int, Sequence[Costs]]]:
        for size in quick_sizes if pace.quick else sizes:
            yield size, [apart(measure, size) for _ in pace.repetitions(3, 1, f"{size:,}")]

    return points


def apart(measure: Callable[..., Costs], *arguments: Any) -> Costs:
    """Calls a module's function in a process of its own. Raises what it raises."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, *arguments).result()
