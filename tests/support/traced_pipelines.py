"""Pipelines whose processed batches are traced; a worker process can import them."""

from __future__ import annotations

from typing import Any

from engine import Pipeline, ProcessingContext, Record
from engine.core.observing import BatchObserver, ProcessedBatch
from exporter.otlp import TraceSettings
from exporter.otlp.tracer import BatchTracer
from tests.support.pipelines import ListSource


class Echo:
    """Says what it hears; 13 is not to its liking."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.value["n"] == 13:
            context.reject("13 is not to my liking")
        context.emit("echo", record.value)


def numbers(count: int) -> list[dict[str, Any]]:
    return [{"n": n, "k": f"key {n % 7}"} for n in range(count)]


def traced(url: str, count: int, ratio: float = 1.0) -> Pipeline:
    """So many commands over two partitions, and then it waits for more."""

    def tracer(pipeline: str) -> BatchObserver:
        return BatchTracer(pipeline, TraceSettings(endpoint=url, ratio=ratio)).start()

    return (
        Pipeline("traced", partitions=2)
        .source("numbers", ListSource(numbers(count), batch=20, endless=True))
        .process(Echo, key="k")
        .observe(tracer)
    )


class Notebook:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.batches: list[ProcessedBatch] = []
        self.closed = 0

    def processed(self, batch: ProcessedBatch) -> tuple[tuple[str, str], ...]:
        self.batches.append(batch)
        return (("page", str(batch.last_position)),)

    def counts(self) -> dict[str, int]:
        return {"kept": len(self.batches)}

    def close(self) -> None:
        self.closed += 1
