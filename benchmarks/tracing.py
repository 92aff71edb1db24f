"""What a trace of every processed batch costs the tasks that process.

    python -m benchmarks tracing

Telling: what one batch costs the processing thread, by its own CPU time: the note of it alone (a tracer that samples
none), with a span and its exemplars, and beside it such a span made by OpenTelemetry's own tracer. Run: the CPU time of
a processing thread for so many commands in small batches, from a durable log, traced ÷ not traced, in turns.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

from benchmarks.conditions import Spread, ratios
from benchmarks.study import Pace, Report
from engine import EngineOptions, Pipeline, ProcessingContext, Record, WriteSource
from engine.core.clock import SystemClock
from engine.core.columns import Columns
from engine.core.measures import Histogram
from engine.core.record_batch import RecordBatch
from engine.core.unit import Unit
from engine.processing.observation import Observation
from engine.tasks.subtask import Meter
from exporter.otlp import TraceSettings
from exporter.otlp.tracer import BatchTracer
from tests.support.collector import Collector
from tests.support.pipelines import ListSource

_TOLD = 5000
_ATTRIBUTES = 16
_BATCH = 20


class Nowhere(SpanExporter):
    """Takes spans at no cost."""

    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        return


def microseconds_each(act: Callable[[], object]) -> float:
    """By the CPU time of this thread."""
    began = time.thread_time_ns()
    for _ in range(_TOLD):
        act()
    return (time.thread_time_ns() - began) / _TOLD / 1000


def unread() -> Columns:
    raise AssertionError("the content of a batch was read by who tells of it")


def telling(ratio: float) -> float:
    """A batch of 500 commands in two batches of the log, told to a tracer that pushes nothing."""
    tracer = BatchTracer("p", TraceSettings(endpoint="http://127.0.0.1:9", queue_spans=_TOLD, ratio=ratio))
    histograms = {name: Histogram() for name in ("processing_duration", "append_duration", "command_duration")}
    partition: Any = SimpleNamespace(number=1, take_command_duration=lambda: 70_000, **histograms)
    subtask: Any = SimpleNamespace(vertex=SimpleNamespace(task="processor"), meter=Meter())
    observation = Observation(tracer, partition, subtask, SystemClock())
    unit = Unit(source=WriteSource.PROCESSING_RESULT, append_ns=60_000)
    commands: Any = [None] * 500
    read = [
        RecordBatch(
            first_position=first,
            count=250,
            timestamp_ns=0,
            source=WriteSource.USER_COMMAND,
            kinds=frozenset({("command", "record")}),
            decode=unread,
        )
        for first in (1, 251)
    ]

    def batch() -> None:
        observation.began(read, 0)
        observation.handed_over(commands, 1, 500, 1_000_000, unit)

    return microseconds_each(batch)


def with_their_tracer() -> float:
    """A span of as many attributes, into their own queue."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    tracer = provider.get_tracer("benchmark")
    attributes = {f"penstock.attribute.{n}": n for n in range(_ATTRIBUTES)}

    def span() -> None:
        tracer.start_span("process p", kind=SpanKind.CONSUMER, attributes=attributes).end()

    try:
        return microseconds_each(span)
    finally:
        provider.shutdown()


class Echo:
    """A result for each command; knows what its thread has used so far."""

    cpu_ns = 0

    def process(self, record: Record, context: ProcessingContext) -> None:
        context.emit("echo", record.value)
        if record.value["n"] % _BATCH == _BATCH - 1:
            Echo.cpu_ns = time.thread_time_ns()


def run_seconds(commands: int, tracing: TraceSettings | None) -> tuple[float, int]:
    """CPU seconds of the processing thread, and how many batches it told of."""
    values = [{"n": n} for n in range(commands)]
    pipeline = Pipeline("p").source("numbers", ListSource(values, batch=_BATCH)).process(Echo)
    if tracing is not None:
        pipeline.observe(lambda name: BatchTracer(name, tracing).start())
    options = EngineOptions(processing_batch_records=_BATCH, buffer_records=_BATCH)
    with tempfile.TemporaryDirectory() as folder:
        with pipeline.run(folder, options=options) as engine:
            engine.wait()
        return Echo.cpu_ns / 1e9, sum(engine.snapshot().observed.values())


def run(pace: Pace) -> Report:
    told: dict[str, list[float]] = {"none sampled": [], "all sampled": [], "OpenTelemetry's tracer": []}
    for _ in pace.repetitions(9, 3, "telling"):
        told["none sampled"].append(telling(0.0))
        told["all sampled"].append(telling(1.0))
        told["OpenTelemetry's tracer"].append(with_their_tracer())
    commands = pace.of(60_000, 2_000)
    plain: list[float] = []
    traced: list[float] = []
    batches: list[int] = []
    with Collector() as collector:
        settings = TraceSettings(endpoint=collector.url)
        for repetition in pace.repetitions(12, 4, "run"):
            # Each goes first every other time.
            for traces in (settings, None) if repetition % 2 else (None, settings):
                seconds, spans = run_seconds(commands, traces)
                (plain if traces is None else traced).append(seconds)
                if traces is not None:
                    batches.append(spans)
    rows = [f"| {name} | {Spread.of(values).text('{:.1f}')} |" for name, values in told.items()]
    return Report(
        "\n".join(
            [
                "telling of one batch, CPU µs of the processing thread",
                "",
                "| | µs a batch |",
                "|---|---|",
                *rows,
                "",
                f"{commands:,} commands in {Spread.of(batches).text('{:,.0f}')} batches: CPU time of the processing "
                f"thread, traced ÷ not traced: {ratios(traced, plain).text()}",
            ]
        )
    )


if __name__ == "__main__":
    print(run(Pace()).text)
