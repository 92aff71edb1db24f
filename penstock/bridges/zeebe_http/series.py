"""The metrics of one broker, read from its Prometheus text into numbers by name and labels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# A broker of a few dozen partitions has some ten thousand series.
SERIES_MAX = 200_000
_LINE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+\S+)?")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Series:
    """What a broker says: for each name the labels with their values. What is NaN is not there."""

    by_name: Mapping[str, list[tuple[Mapping[str, str], float]]]

    def of(self, *names: str, **labels: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """Of the first of these names that is there: the names of several versions of Zeebe, newest first."""
        for name in names:
            if name in self.by_name:
                for found, value in self.by_name[name]:
                    if all(found.get(key) == wanted for key, wanted in labels.items()):
                        yield found, value
                return

    def one(self, *names: str, **labels: str) -> float | None:
        """The only one, or the largest of several; None without any."""
        return max((value for _, value in self.of(*names, **labels)), default=None)


def read_series(text: str, *, prefixes: tuple[str, ...] = ("zeebe_", "atomix_role")) -> Series:
    """Lines that begin with one of the prefixes; what cannot be read is left out."""
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    taken = 0
    for line in text.splitlines():
        if not line.startswith(prefixes) or "_bucket{" in line:
            continue
        parts = _LINE.fullmatch(line.strip())
        if parts is None or taken >= SERIES_MAX:
            continue
        try:
            value = float(parts["value"])
        except ValueError:
            continue
        if math.isfinite(value):
            taken += 1
            found.setdefault(parts["name"], []).append((dict(_LABEL.findall(parts["labels"] or "")), value))
    return Series(found)
