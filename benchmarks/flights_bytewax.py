"""The flights job as a dataflow of bytewax, one worker: `python -m benchmarks.flights_job bytewax …`.

With recovery its state and its place in the file are kept in SQLite, once a second: after a crash it goes on from the
last second, where the engine goes on from the last unit.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.files import FileSink, FileSource
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main

from benchmarks.flight import Mapped, mapped, told

# Its own defaults.
BATCH = 1000
EPOCH = timedelta(seconds=1)


def bytewax(source: Path, folder: Path, *, recovers: bool = False) -> int:
    out = folder / "out.ndjson"
    if recovers:
        kept = folder / "recovery"
        kept.mkdir()
        init_db_dir(kept, 1)
        run_main(dataflow(source, out), epoch_interval=EPOCH, recovery_config=RecoveryConfig(str(kept)))
    else:
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
