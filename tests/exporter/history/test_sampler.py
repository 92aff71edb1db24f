"""The sampler records, tells, and never lets an engine that cannot answer take it down."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import msgspec
import pytest

from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import EngineSnapshot
from exporter.history import HistorySampler
from tests.support.engines import FakeEngine
from tests.support.snapshots import engine_snapshot, flow, partition
from tests.support.waiting import wait_until


class TickingEngine(FakeEngine):
    """Each snapshot is a second later."""

    def snapshot(self) -> EngineSnapshot:
        told = super().snapshot()
        self.told = replace(told, taken_monotonic_ns=told.taken_monotonic_ns + NS_PER_SECOND)
        return told


def test_each_sample_is_recorded_and_told_after_what_happened_since() -> None:
    engine = TickingEngine(engine_snapshot())
    sampler = HistorySampler(engine)
    watcher = sampler.feed.subscribe(lambda: None)
    sampler.sample()
    engine.told = replace(engine.told, partitions=(partition(1, flow=flow(throttled=True)),))
    sampler.sample()
    events = watcher.take()
    assert [event.name for event in events] == ["sample", "throttling", "sample"]
    assert msgspec.json.decode(events[1].data)["throttled"] is True
    newest = msgspec.json.decode(events[2].data)
    assert newest["partitions"][0]["columns"]["throttled"] == [1]
    assert newest["times"] == sampler.recorder.columns()["times"][-1:]  # type: ignore[index]


def test_an_engine_that_cannot_answer_leaves_a_gap_and_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    engine = TickingEngine(engine_snapshot())
    sampler = HistorySampler(engine)
    sampler.sample()
    engine.snapshot_error = RuntimeError("no")
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            sampler.sample()
    assert len(caplog.records) == 1
    engine.snapshot_error = None
    sampler.sample()
    assert len(sampler.recorder.columns()["times"]) == 2  # type: ignore[arg-type]


def test_the_thread_samples_by_itself_and_ends_with_stop() -> None:
    sampler = HistorySampler(TickingEngine(engine_snapshot()))
    sampler.start()
    assert wait_until(lambda: len(sampler.recorder.columns()["times"]) >= 2)  # type: ignore[arg-type]
    sampler.stop()
    sampler.stop()
    assert "penstock-history" not in {thread.name for thread in threading.enumerate()}
    assert sampler.feed.subscribe(lambda: None).is_over
