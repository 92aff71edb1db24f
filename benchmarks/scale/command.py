"""`python -m benchmarks scale [CURVE …] [--quick] [--pictures FOLDER] [--json FILE] [--markdown FILE]`."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.conditions import conditions
from benchmarks.scale import of_engine, of_log, of_scrape
from benchmarks.scale.curve import Measured
from benchmarks.study import Pace

CURVES = {curve.name: curve for curve in (*of_engine.CURVES, *of_scrape.CURVES, *of_log.CURVES)}
PICTURES = Path(__file__).parents[2] / "docs" / "pictures" / "scale"


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale", description="cost against size")
    parser.add_argument("names", nargs="*", metavar="CURVE", help=f"which; all without one: {', '.join(CURVES)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, one repetition, no pictures")
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="the folder for a picture of each curve")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all points")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write all tables")
    asked = parser.parse_args(given)
    unknown = [name for name in asked.names if name not in CURVES]
    if unknown:
        parser.error(f"no curve {unknown[0]!r}; there are {', '.join(CURVES)}")
    console = Console()
    heading = conditions()
    console.print(heading, markup=False, highlight=False, soft_wrap=True)
    found = [measured(name, quick=asked.quick, console=console) for name in asked.names or CURVES]
    if not asked.quick:
        pictured(found, asked.pictures, console)
    if asked.markdown:
        texts = "\n\n".join(one.text for one in found)
        asked.markdown.write_text(f"{heading}\n\n{texts}\n", encoding="utf-8")
    if asked.json:
        points = {one.curve.name: one.points for one in found}
        asked.json.write_text(json.dumps({"conditions": heading, "points": points}, indent=1) + "\n", encoding="utf-8")
    return 0


def measured(name: str, *, quick: bool, console: Console) -> Measured:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        one = bars.add_task(name, total=None)

        def progressed(what: str, done: int, of: int) -> None:
            bars.update(one, description=f"{name} {what}", completed=done, total=of)

        found = Measured.of(CURVES[name], Pace(quick=quick, progressed=progressed))
    console.print(f"\n{found.text}", markup=False, highlight=False, soft_wrap=True)
    return found


def pictured(found: list[Measured], folder: Path, console: Console) -> None:
    if find_spec("matplotlib") is None:
        console.print("no pictures: matplotlib is not installed (pip install -e '.[bench]')", highlight=False)
        return
    from benchmarks.scale.picture import draw

    folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        draw(one, folder / f"{one.curve.name}.svg")
    console.print(f"pictures are in {folder}", highlight=False)
