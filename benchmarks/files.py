"""What reading files costs: processor time of a source against the plainest loop of Python over the same file.

`python -m benchmarks.files` prints a table, in turns, medians of n. `--curve` reads CSV made to hurt, in four sizes:
twice the rows may cost twice the time and no more.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from engine.sources.lines import lines
from engine.sources.protocol import SourceStart

ROWS = 200_000
CURVE = (20_000, 40_000, 80_000, 160_000)


def read(path: Path, start: SourceStart | None = None, **options: Any) -> int:
    """All values of a source, as its task takes them."""
    source = lines(path, **options)
    source.open(start or SourceStart(0, None))
    count = 0
    while (batch := source.read(1000)) is not None:
        count += len(batch.values)
    source.close()
    return count


def _plain(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.rstrip(b"\n"))


def _gunzipped(path: Path) -> int:
    with gzip.open(path, "rb") as file:
        return sum(1 for line in file if line.rstrip(b"\n"))


def _rows(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for row in csv.DictReader(file))


def _values(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if json.loads(line) is not None)


def files(folder: Path) -> list[tuple[str, Path, dict[str, Any], Callable[[Path], int]]]:
    """By name: what is read, how, and the loop beside it."""
    ndjson = b"".join(b'{"n": %d, "origin": "JFK", "dest": "LAX", "delay": %d}\n' % (n, n % 97) for n in range(ROWS))
    plain = b"".join(b"%d,JFK,LAX,%d,2013-01-01T05:00:00Z\n" % (n, n % 97) for n in range(ROWS))
    quoted = b"".join(b'%d,"JFK","Los Angeles, CA",%d,"x ""y"" z"\n' % (n, n % 97) for n in range(ROWS))
    spanning = b"".join(b'%d,JFK,"one\ntwo",%d,x\n' % (n, n % 97) for n in range(ROWS // 2))
    header = b"n,origin,dest,delay,time\n"
    made = {
        "lines": ndjson,
        "lines.gz": gzip.compress(ndjson),
        "plain.csv": header + plain,
        "quoted.csv": header + quoted,
        "spanning.csv": header + spanning,
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return [
        ("lines", folder / "lines", {}, _plain),
        ("lines, gzip", folder / "lines.gz", {}, _gunzipped),
        ("CSV", folder / "plain.csv", {"format": "csv"}, _rows),
        ("CSV, quoted", folder / "quoted.csv", {"format": "csv"}, _rows),
        ("CSV, rows over two lines", folder / "spanning.csv", {"format": "csv"}, _rows),
        ("JSON", folder / "lines", {"format": "json"}, _values),
    ]


def cpu_seconds(act: Callable[[], int]) -> float:
    before = time.process_time()
    act()
    return time.process_time() - before


HURTING: dict[str, tuple[Callable[[int], bytes], dict[str, Any]]] = {
    "nothing wrong": (lambda n: b"".join(b"%d,a,b\n" % i for i in range(n)), {}),
    "a stray quote, then empty quoted fields": (
        lambda n: b'0,"5 inch,x\n' + b"".join(b'%d,"",text\n' % i for i in range(n)),
        {},
    ),
    "each line closes and opens quotes": (lambda n: b'x","y\n' * n, {}),
    "each line opens quotes": (lambda n: b"".join(b'"open,a,%d\n' % i for i in range(n)), {}),
    "text behind each closing quote": (lambda n: b'"a"b,c,d\n' * n, {}),
    "an escape at the end of each line": (lambda n: b"1,2,3\\\n" * n, {"escape": "\\"}),
    "lazy, each line opens quotes": (lambda n: b"".join(b'"open,a,%d\n' % i for i in range(n)), {"lazy_quotes": True}),
}


def curve(folder: Path) -> None:
    path = folder / "hurting.csv"
    print(f"| seconds of processor time for rows | {' | '.join(f'{n:,}' for n in CURVE)} |")
    print("|---|" + "---|" * len(CURVE))
    for name, (make, options) in HURTING.items():
        found: list[str] = []
        for rows in CURVE:
            path.write_bytes(b"id,a,b\n" + make(rows))
            found.append(f"{cpu_seconds(partial(read, path, format='csv', **options)):.2f}")
        print(f"| {name} | {' | '.join(found)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.curve:
            curve(folder)
            return
        ratios: dict[str, list[float]] = {}
        for _ in range(asked.times):
            for what, path, options, loop in files(folder):
                ours = cpu_seconds(partial(read, path, **options))
                theirs = cpu_seconds(partial(loop, path))
                ratios.setdefault(what, []).append(ours / theirs)
        if asked.json:
            print(json.dumps(ratios))
            return
        print(f"| source ÷ loop, processor time | median of {asked.times} | range |\n|---|---|---|")
        for what, found in ratios.items():
            print(f"| {what} | {statistics.median(found):.2f} | {min(found):.2f}–{max(found):.2f} |")


if __name__ == "__main__":
    main()
