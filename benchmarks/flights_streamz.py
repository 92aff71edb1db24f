"""The flights job as a stream of streamz, which keeps nothing: `python -m benchmarks.flights_job streamz …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from streamz import Stream

from benchmarks.flight import Mapped, parse, told


def streamz(source: Path, folder: Path) -> int:
    records = 0
    with source.open("rb") as lines, (folder / "out.ndjson").open("wb") as out:
        stream = Stream()
        counted = stream.map(parse).accumulate(_counted, start={}, returns_state=True)
        counted.map(lambda value: orjson.dumps(value) + b"\n").sink(out.write)
        for line in lines:
            stream.emit(line)
            records += 1
    return records


def _counted(counts: dict[str, int], value: Mapped) -> tuple[dict[str, int], dict[str, Any]]:
    count = counts[value[0]] = counts.get(value[0], 0) + 1
    return counts, told(value[0], count, value)
