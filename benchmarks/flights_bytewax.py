"""The flights job as a dataflow of bytewax, one worker, recovery off: `python -m benchmarks.flights_job bytewax …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.files import FileSink, FileSource
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main

from benchmarks.flight import Mapped, mapped, told

# Its own default.
BATCH = 1000


def bytewax(source: Path, folder: Path) -> int:
    out = folder / "out.ndjson"
    run_main(dataflow(source, out))
    with out.open("rb") as lines:
        return sum(1 for _ in lines)


def dataflow(source: Path, out: Path) -> Dataflow:
    flow = Dataflow("flights")
    lines = op.input("read", flow, FileSource(source, batch_size=BATCH))
    values = op.map("parse", lines, lambda line: mapped(orjson.loads(line)))
    keyed = op.key_on("by aircraft", values, lambda value: value[0])
    counted = op.stateful_map("count", keyed, _counted)
    written = op.map("format", counted, lambda pair: (pair[0], orjson.dumps(pair[1]).decode()))
    op.output("write", written, FileSink(out))
    return flow


def _counted(count: int | None, value: Mapped) -> tuple[int, dict[str, Any]]:
    count = (count or 0) + 1
    return count, told(value[0], count, value)
