"""A curve as a picture: each cost against the size, both logarithmic, its exponent beside it. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.scale.curve import Measured

# The same points give the same file, byte by byte, and text stays text.
_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "penstock", "font.size": 10, "font.family": "sans-serif"}
_COLUMNS_MAX = 3
_WIDTH, _HEIGHT = 3.6, 2.9


def draw(measured: Measured, path: Path) -> None:
    """One small diagram a cost; the dashed line is the growth that the cause allows."""
    costs = measured.curve.costs
    columns = min(len(costs), _COLUMNS_MAX)
    lines = -(-len(costs) // columns)
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * lines), layout="constrained")
        for number, cost in enumerate(costs, start=1):
            axes = figure.add_subplot(lines, columns, number)
            points = measured.by_size(cost)
            sizes, values = list(points), list(points.values())
            axes.loglog(sizes, values, "o-", color="#1f6f8b", markersize=4)
            allowed = [values[0] * (size / sizes[0]) ** cost.exponent for size in sizes]
            axes.loglog(sizes, allowed, "--", color="#999999", linewidth=1)
            axes.set_title(f"{cost.name}: exponent {measured.growth(cost).exponent:.2f}", fontsize=10)
            axes.set_xlabel(measured.curve.cause)
            axes.set_ylabel(cost.unit)
            axes.grid(visible=True, which="major", linewidth=0.4, color="#dddddd")
            axes.minorticks_off()
            # A cost that hardly moves is not blown up to look as if it did, and a power of ten is always in sight.
            axes.set_ylim(min(values) / 4, max(values) * 4)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
