"""The pipeline of the hour: what each worker process builds for itself. Imported by `benchmarks.hour`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from engine import Pipeline, ProcessingContext, Record
from engine.exporting.protocol import ExporterContext
from engine.sources.generator import generator

STALLING, STEADY = "stalling", "steady"
KEYS = 1000
_LOOK_SECONDS = 0.1


class Counting:
    """Counts per key, and tells the count."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        count = context.state.get(record.key, 0) + 1
        context.state.put(record.key, count)
        context.emit("counted", {"n": record.value["n"], "count": count})


class Outside:
    """Takes everything, but stands still while there is a file of the given name."""

    def __init__(self, stalled: Path | None) -> None:
        self._stalled = stalled
        self._pause = threading.Event()

    def open(self, context: ExporterContext) -> None:
        return

    def export(self, records: Sequence[Record]) -> None:
        while self._stalled is not None and self._stalled.exists():
            self._pause.wait(_LOOK_SECONDS)

    def close(self) -> None:
        return


def pipeline(stalled: str) -> Pipeline:
    """Two partitions, a generator for each worker, a step, state, and two exporters."""
    # Every change of the throttle's limit would be told, each second of the stall.
    logging.getLogger("penstock").setLevel(logging.ERROR)
    built = Pipeline("hour", partitions=2)
    for number in (1, 2):
        built.source(f"made-up-{number}", generator(rate=1e9, keys=KEYS, seed=number))
    return (
        built.map("as-is", lambda value: value)
        .process(Counting, key="key")
        .export(STEADY, lambda: Outside(None))
        .export(STALLING, lambda: Outside(Path(stalled)))
    )
