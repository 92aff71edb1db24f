"""Spans of processed batches at a real receiver; one that is away or hangs costs spans, which are counted."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from engine import BatchOutcome, EngineOptions, ProcessedBatch, WriteSource
from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.workers.blueprint import Blueprint
from engine.workers.engine import WorkerEngine
from exporter.catalogue import metric
from exporter.otlp import TraceSettings
from exporter.otlp.points import metrics_data, resource
from exporter.otlp.tracer import BatchTracer
from exporter.prometheus import Exposer, Format
from exporter.scraper import Scraper
from tests.support.collector import Collector, Hang
from tests.support.prometheus import free_port
from tests.support.traced_pipelines import traced
from tests.support.waiting import wait_until

COMMANDS = 500
BATCH = ProcessedBatch(
    task="processor",
    partition=3,
    first_position=11,
    last_position=20,
    commands=8,
    rejected=0,
    written=9,
    triggers=(WriteSource.USER_COMMAND, WriteSource.SCHEDULED),
    outcome=BatchOutcome.PROCESSED,
    started_ns=1_000,
    ended_ns=5_001_000,
    ended_wall_ns=1_700_000_000 * NS_PER_SECOND,
    worked_ns=2 * NS_PER_MS,
)


def settings(url: str, **changes: object) -> TraceSettings:
    return TraceSettings(**{"endpoint": url, **changes})  # type: ignore[arg-type]


def attributes(span: Span) -> dict[str, object]:
    found: dict[str, object] = {}
    for attribute in span.attributes:
        value = attribute.value
        kind = value.WhichOneof("value")
        assert kind is not None
        found[attribute.key] = (
            [one.string_value for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)
        )
    return found


def identifiers(spans: list[Span]) -> set[tuple[str, str]]:
    return {(span.trace_id.hex(), span.span_id.hex()) for span in spans}


def commands(collector: Collector) -> int:
    return sum(int(str(attributes(span)["messaging.batch.message_count"])) for span in collector.spans)


def test_a_span_says_which_batch_it_was_in_the_words_of_the_messaging_conventions() -> None:
    with Collector() as collector:
        tracer = BatchTracer("flights", settings(collector.url, headers={"x-scope-orgid": "ingest"})).start()
        mark = tracer.processed(BATCH)
        assert wait_until(lambda: collector.spans)
        tracer.close()
    (span,) = collector.spans
    assert mark == (("trace_id", span.trace_id.hex()), ("span_id", span.span_id.hex()))
    assert collector.paths == ["/v1/traces"]
    assert collector.headers[0]["content-encoding"] == "gzip"
    assert collector.headers[0]["x-scope-orgid"] == "ingest"
    assert (span.name, span.kind) == ("process flights", Span.SPAN_KIND_CONSUMER)
    assert span.parent_span_id == b""
    assert span.end_time_unix_nano == BATCH.ended_wall_ns
    assert span.end_time_unix_nano - span.start_time_unix_nano == 5 * NS_PER_MS
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert attributes(span) == {
        "messaging.system": "penstock",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "flights",
        "messaging.destination.partition.id": "3",
        "messaging.batch.message_count": 8,
        "penstock.pipeline": "flights",
        "penstock.partition": 3,
        "penstock.task": "processor",
        "penstock.position.first": 11,
        "penstock.position.last": 20,
        "penstock.batch.outcome": "processed",
        "penstock.batch.trigger": ["user_command", "scheduled"],
        "penstock.batch.rejected": 0,
        "penstock.batch.written": 9,
        "penstock.batch.work_seconds": 0.002,
    }
    of_resource = collector.traced[0].resource_spans[0].resource
    said = {attribute.key: attribute.value for attribute in of_resource.attributes}
    assert said["service.name"].string_value == "penstock"
    assert said["service.instance.id"].string_value.endswith("/flights")
    assert said["process.pid"].int_value > 0


def test_a_batch_that_failed_is_an_error_with_its_class_and_a_text_of_bounded_length() -> None:
    with Collector() as collector:
        tracer = BatchTracer("flights", settings(collector.url)).start()
        tracer.processed(replace(BATCH, outcome=BatchOutcome.FAILED, error=("ValueError", "x" * 10_000)))
        assert wait_until(lambda: collector.spans)
        tracer.close()
    (span,) = collector.spans
    assert attributes(span)["error.type"] == "ValueError"
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert span.status.message.startswith("ValueError: xxx")
    assert len(span.status.message) == 500


def test_the_spans_of_a_run_are_its_batches_and_the_exemplars_of_scrape_and_push_lead_to_them(
    tmp_path: Path,
) -> None:
    options = EngineOptions(storage="memory", processing_batch_records=40)
    with Collector() as collector:
        with traced(collector.url, COMMANDS).run(tmp_path, options=options) as engine:
            assert wait_until(lambda: commands(collector) == COMMANDS)
            assert wait_until(lambda: engine.snapshot().observed["success"] == len(collector.spans))
            reading = Scraper(engine).read(lambda reading: reading)
            scraped = Exposer(engine).expose(accept=Format.OPEN_METRICS.value, accept_encoding="").body.decode()
            plain = Exposer(engine).expose(accept=Format.TEXT.value, accept_encoding="").body.decode()
        spans = collector.spans
    assert engine.snapshot().observed == {"success": len(spans), "failure": 0, "dropped": 0}
    assert len(identifiers(spans)) == len(spans)
    assert {attributes(span)["penstock.partition"] for span in spans} == {1, 2}
    assert sorted({str(attributes(span)["penstock.batch.outcome"]) for span in spans}) == ["processed", "rejected"]

    linked = {
        family.metric.name: {
            tuple(value for _, value in exemplar.labels)
            for _, histogram in family.samples
            for exemplar in getattr(histogram, "exemplars", ())
            if exemplar is not None
        }
        for family in reading.families
    }
    with_exemplars = {name for name, found in linked.items() if found}
    assert with_exemplars == {
        "penstock_processing_duration_seconds",
        "penstock_append_duration_seconds",
        "penstock_command_duration_seconds",
    }
    for name in with_exemplars:
        assert linked[name] <= identifiers(spans)

    # On the wires, both of them.
    request = encode_metrics(metrics_data(reading, resource("traced")))
    pushed = {
        (exemplar.trace_id.hex(), exemplar.span_id.hex())
        for scope in request.resource_metrics[0].scope_metrics
        for one in scope.metrics
        if one.WhichOneof("data") == "histogram"
        for point in one.histogram.data_points
        for exemplar in point.exemplars
    }
    assert pushed == set().union(*linked.values())
    in_text = {
        (trace_id, span_id)
        for line in scraped.splitlines()
        if " # {" in line
        for trace_id, span_id in identifiers(spans)
        if f'{{span_id="{span_id}",trace_id="{trace_id}"}}' in line
    }
    assert in_text == pushed
    assert "trace_id" not in plain


def test_only_the_share_that_was_asked_for_becomes_spans_and_exemplars() -> None:
    with Collector() as collector:
        tracer = BatchTracer("flights", settings(collector.url, ratio=0.25, queue_spans=10_000)).start()
        marks = [mark for mark in (tracer.processed(BATCH) for _ in range(2000)) if mark is not None]
        assert wait_until(lambda: len(collector.spans) == len(marks))
        tracer.close()
    # Eight standard deviations on either side.
    assert 345 < len(marks) < 655
    assert {tuple(value for _, value in mark) for mark in marks} == identifiers(collector.spans)
    # Others who sample by the identifier of the trace decide alike.
    assert all(int.from_bytes(span.trace_id[8:], "big") < 1 << 62 for span in collector.spans)
    assert tracer.counts() == {"success": len(marks), "failure": 0, "dropped": 0}


def test_a_ratio_of_0_traces_nothing() -> None:
    tracer = BatchTracer("flights", settings("http://127.0.0.1:9", ratio=0.0))
    assert [tracer.processed(BATCH) for _ in range(100)] == [None] * 100
    assert set(tracer.counts().values()) == {0}


def test_while_a_collector_hangs_the_queue_is_bounded_and_what_has_no_room_is_counted_and_has_no_exemplar() -> None:
    with Collector() as collector:
        collector.before = hang = Hang()
        tracer = BatchTracer("flights", settings(collector.url, queue_spans=100, timeout_ns=90 * NS_PER_SECOND))
        tracer.start()
        assert tracer.processed(BATCH) is not None
        assert hang.was_asked()
        # The collector has the first one in hand and says nothing; all of these return at once.
        marks = [tracer.processed(BATCH) for _ in range(1000)]
        assert marks[100:] == [None] * 900
        assert None not in marks[:100]
        assert tracer.counts() == {"success": 0, "failure": 0, "dropped": 900}
        hang.end()
        assert wait_until(lambda: tracer.counts()["success"] == 101)
        assert tracer.processed(BATCH) is not None
        assert wait_until(lambda: len(collector.spans) == 102)
        tracer.close()
    assert tracer.counts() == {"success": 102, "failure": 0, "dropped": 900}


def test_a_collector_that_goes_and_comes_back_loses_counted_spans_and_then_gets_the_next_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    tracer = BatchTracer("flights", settings(f"http://127.0.0.1:{port}", timeout_ns=700 * NS_PER_MS)).start()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        for lost in (1, 2, 3):
            assert tracer.processed(BATCH) is not None
            assert wait_until(lambda lost=lost: tracer.counts()["failure"] == lost)
        with Collector(port) as collector:
            # On a loaded machine one more may take too long.
            assert wait_until(lambda: tracer.processed(BATCH) and collector.spans)
            tracer.close()
    told = tracer.counts()
    assert told["failure"] >= 3
    assert told["success"] >= 1
    lines = [record.getMessage() for record in caplog.records if record.name == "penstock.otlp"]
    assert lines[0].startswith(f"spans cannot be pushed to http://127.0.0.1:{port}/v1/traces: ")
    assert lines[0].endswith("those of pushes that fail are lost")
    assert lines[1].startswith(f"http://127.0.0.1:{port}/v1/traces is reached again after ")


def test_the_engine_goes_on_while_there_is_no_collector(tmp_path: Path) -> None:
    described = traced(f"http://127.0.0.1:{free_port()}", COMMANDS)
    with described.run(tmp_path, options=EngineOptions(storage="memory")) as engine:
        assert wait_until(
            lambda: sum(sum(p.processing_duration.counts) for p in engine.snapshot().partitions) == COMMANDS
        )
    # The try that was under way at the end may take a moment to be given up.
    assert wait_until(lambda: engine.snapshot().observed["failure"] + engine.snapshot().observed["dropped"] > 0)
    assert engine.snapshot().observed["success"] == 0


def test_a_collector_that_hangs_does_not_hold_up_the_end() -> None:
    with Collector() as collector:
        collector.before = hang = Hang()
        tracer = BatchTracer("flights", settings(collector.url, timeout_ns=100 * NS_PER_SECOND)).start()
        tracer.processed(BATCH)
        assert hang.was_asked()
        tracer.processed(BATCH)
        began = monotonic()
        tracer.close()
        took = monotonic() - began
        counts = tracer.counts()
        assert tracer.processed(BATCH) is None
        hang.end()
    assert took < 60
    assert counts == {"success": 0, "failure": 0, "dropped": 1}


def test_workers_push_their_own_spans_and_the_parent_has_their_exemplars_and_counts(tmp_path: Path) -> None:
    with Collector() as collector:
        engine = WorkerEngine(
            Blueprint("tests.support.traced_pipelines:traced", (collector.url, COMMANDS)),
            tmp_path / "data",
            workers=2,
            name="traced",
            options=EngineOptions(storage="memory"),
        )
        with engine:
            assert wait_until(lambda: commands(collector) == COMMANDS, 60)
            assert wait_until(lambda: engine.snapshot().observed.get("success") == len(collector.spans), 60)
            reading = Scraper(engine).read(lambda reading: reading)
        spans = collector.spans
        processes = {
            attribute.value.int_value
            for request in collector.traced
            for of_resource in request.resource_spans
            for attribute in of_resource.resource.attributes
            if attribute.key == "process.pid"
        }
    assert len(processes) == 2
    (family,) = [f for f in reading.families if f.metric is metric("penstock_processing_duration_seconds")]
    ((_, histogram),) = family.samples
    found = {tuple(value for _, value in known.labels) for known in getattr(histogram, "exemplars", ()) if known}
    assert found
    assert found <= identifiers(spans)
