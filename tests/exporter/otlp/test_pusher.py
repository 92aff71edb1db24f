"""A real receiver gets the pushes; one that is away, refuses or hangs costs a line in the log and no more."""

from __future__ import annotations

import logging
import threading
from time import monotonic

import pytest

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from exporter.otlp import OtlpSettings
from exporter.otlp.pusher import OtlpPusher
from tests.exporter.otlp.test_points import series_of_push, series_of_scrape
from tests.support.collector import Collector, Hang
from tests.support.engines import FakeEngine
from tests.support.prometheus import free_port
from tests.support.waiting import wait_until


def settings(url: str, **changes: object) -> OtlpSettings:
    return OtlpSettings(**{"endpoint": url, "interval_ns": NS_PER_SECOND, **changes})  # type: ignore[arg-type]


def test_what_arrives_at_a_receiver_is_what_was_read() -> None:
    with Collector() as collector:
        pusher = OtlpPusher(FakeEngine(), settings(collector.url, headers={"x-scope-orgid": "ingest"}))
        assert pusher.push()
        reading = pusher._scraper.read(lambda reading: reading)
    (request,) = collector.pushed
    assert collector.paths == ["/v1/metrics"]
    assert collector.headers[0]["content-type"] == "application/x-protobuf"
    assert collector.headers[0]["content-encoding"] == "gzip"
    assert collector.headers[0]["x-scope-orgid"] == "ingest"
    (resource_metrics,) = request.resource_metrics
    assert {a.key: a.value.string_value for a in resource_metrics.resource.attributes}["service.name"] == "penstock"
    # What the exporter says of itself has gone on since.
    ours = ("penstock_scrape_", "penstock_snapshot_age")
    arrived, read = (
        {key: value for key, value in series.items() if not key[0].startswith(ours)}
        for series in (series_of_push(request), series_of_scrape(reading))
    )
    assert arrived == read
    assert len(arrived) > 300


def test_it_pushes_by_itself_and_once_more_at_the_end() -> None:
    engine = FakeEngine()
    with Collector() as collector:
        with OtlpPusher(engine, settings(collector.url)) as pusher:
            assert wait_until(lambda: len(collector.pushed) >= 2)
            before = len(collector.pushed)
        assert len(collector.pushed) in (before + 1, before + 2)
        assert pusher.outcomes == {"success": len(collector.pushed), "failure": 0, "skipped": 0}
    assert "penstock-otlp" not in {thread.name for thread in threading.enumerate()}


def test_a_collector_that_is_busy_is_asked_again_when_it_says() -> None:
    with Collector() as collector:
        collector.statuses = [503, 429]
        collector.retry_after = "0"
        assert OtlpPusher(FakeEngine(), settings(collector.url)).push()
    assert (len(collector.headers), len(collector.pushed)) == (3, 1)


def test_a_collector_that_refuses_for_good_is_not_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    with Collector() as collector:
        collector.statuses = [400]
        pusher = OtlpPusher(FakeEngine(), settings(collector.url))
        with caplog.at_level(logging.WARNING):
            assert not pusher.push()
        assert [r.getMessage() for r in caplog.records if r.name.startswith(("penstock", "opentelemetry"))] == [
            f"metrics cannot be pushed to {collector.url}/v1/metrics: 400 Bad Request; it is tried again and again"
        ]
        assert len(collector.headers) == 1
        assert pusher.push()
    assert pusher.outcomes == {"success": 1, "failure": 1, "skipped": 0}


def test_a_collector_that_goes_and_comes_back_is_two_lines_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    # Shorter than the first pause between two tries, so that a refused one fails at once.
    pusher = OtlpPusher(FakeEngine(), settings(f"http://127.0.0.1:{port}", timeout_ns=700 * NS_PER_MS))
    with caplog.at_level(logging.INFO):
        assert [pusher.push() for _ in range(3)] == [False] * 3
        with Collector(port):
            # On a loaded machine one more may take too long.
            assert wait_until(pusher.push)
    failed = pusher.outcomes["failure"]
    first, second = (record.getMessage() for record in caplog.records if record.name != "urllib3.connectionpool")
    assert first.startswith(f"metrics cannot be pushed to http://127.0.0.1:{port}/v1/metrics: ")
    assert second == f"http://127.0.0.1:{port}/v1/metrics is reached again after {failed} pushes that failed"


def test_an_engine_that_cannot_answer_fails_a_push_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine()
    engine.snapshot_error = RuntimeError("no")
    with Collector() as collector:
        pusher = OtlpPusher(engine, settings(collector.url))
        assert not pusher.push()
        engine.snapshot_error = None
        assert pusher.push()
    assert "RuntimeError: no" in caplog.text


def test_a_collector_that_hangs_neither_queues_pushes_nor_holds_up_the_end() -> None:
    with Collector() as collector:
        collector.before = hang = Hang()
        pusher = OtlpPusher(FakeEngine(), settings(collector.url, timeout_ns=20 * NS_PER_SECOND)).start()
        assert hang.was_asked()
        began = monotonic()
        pusher.stop()
        took = monotonic() - began
        hang.end()
        assert took < 4
        assert pusher.outcomes["success"] == 0


def test_intervals_that_a_slow_push_overran_are_counted_and_left_out() -> None:
    with Collector() as collector:
        first = threading.Event()

        def slow_once() -> None:
            if not first.is_set():
                first.set()
                threading.Event().wait(1.2)

        collector.before = slow_once
        with OtlpPusher(FakeEngine(), settings(collector.url, timeout_ns=20 * NS_PER_SECOND)) as pusher:
            assert wait_until(lambda: pusher.outcomes["success"] >= 2)
        assert pusher.outcomes["skipped"] == 1
