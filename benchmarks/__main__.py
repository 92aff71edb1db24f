"""`python -m benchmarks [--only NAME …] [--quick] [--json FILE] [--markdown FILE]`: measures, and shows every goal.

python -m benchmarks scale [CURVE …]       cost against size, as tables and pictures
python -m benchmarks hour [--minutes 60]   full rate on two workers, one exporter stalled for a sixth of the time
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.runner import LONG, NAMES, measured, show

# Studies that stand alone: what they need is not minutes but an hour, or another table.
ALONE = {"scale": "benchmarks.scale.command", "hour": "benchmarks.hour"}


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="measures, and shows every goal")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which; without one: {', '.join(NAMES)}; or {', '.join(LONG)}"
    )
    parser.add_argument("--only", nargs="+", action="extend", default=[], metavar="NAME", help="the same")
    parser.add_argument("--quick", action="store_true", help="few repetitions: for trying out, not for figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table of goals")
    parsed = parser.parse_args(given)
    parsed.names = list(dict.fromkeys((*parsed.names, *parsed.only))) or list(NAMES)
    unknown = [name for name in parsed.names if name not in (*NAMES, *LONG)]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join((*NAMES, *LONG, *ALONE))}")
    return parsed


def main(given: list[str]) -> int:
    if given and given[0] in ALONE:
        code: int = importlib.import_module(ALONE[given[0]]).main(given[1:])
        return code
    asked = arguments(given)
    console = Console(width=None if sys.stdout.isatty() else 160)
    outcome = measured(asked.names, quick=asked.quick, console=console)
    show(outcome, console, json_file=asked.json, markdown_file=asked.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
