"""A scrape tells what it can, says what it could not, and keeps count."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.core.clock import ManualClock
from engine.core.snapshot import FlowSnapshot, HistogramSnapshot
from exporter.scraper import Family, Scraper
from tests.support.engines import FakeEngine
from tests.support.snapshots import TAKEN_MONOTONIC_NS, busy_snapshot, engine_snapshot, partition


def told(families: Iterable[Family], name: str) -> dict[tuple[str, ...], object]:
    return {labels[1:]: value for family in families if family.metric.name == name for labels, value in family.samples}


def families(scraper: Scraper) -> tuple[Family, ...]:
    return scraper.scrape(lambda all_families: all_families)


class BrokenFlow:
    """A gate whose every number raises."""

    def __getattr__(self, name: str) -> FlowSnapshot:
        raise RuntimeError(f"no {name}")


def test_a_part_that_cannot_be_read_leaves_the_others_standing_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    broken = engine_snapshot(partitions=(partition(1, flow=BrokenFlow(), last_written_position=5),))
    scraper = Scraper(FakeEngine(broken))
    with caplog.at_level(logging.ERROR):
        seen = families(scraper)
    assert told(seen, "penstock_last_written_position") == {("1",): 5}
    assert told(seen, "penstock_throttled") == {}
    assert told(seen, "penstock_condition") == {}
    assert told(seen, "penstock_start_time_seconds")
    assert told(seen, "penstock_collector_success") == {
        # How the engine is, cannot be said without its gates.
        ("engine",): 0,
        ("bridges",): 1,
        ("sources",): 1,
        ("flow_control",): 0,
        ("log",): 1,
        ("exporting",): 1,
        ("tasks",): 1,
        ("gateway",): 1,
        ("kafka",): 1,
        ("instances",): 1,
    }
    assert told(seen, "penstock_scrape_errors_total") == {(): 1}
    assert "penstock_throttled cannot be read" in caplog.text


def test_every_collector_succeeds_and_no_error_is_counted_when_all_is_well() -> None:
    seen = families(Scraper(FakeEngine()))
    assert set(told(seen, "penstock_collector_success").values()) == {1}
    assert told(seen, "penstock_scrape_errors_total") == {(): 0}


def test_a_scrape_without_a_snapshot_fails_as_a_whole_and_is_counted_by_the_next() -> None:
    engine = FakeEngine()
    scraper = Scraper(engine)
    engine.snapshot_error = RuntimeError("gone")
    with pytest.raises(RuntimeError, match="gone"):
        families(scraper)
    engine.snapshot_error = None
    assert told(families(scraper), "penstock_scrape_errors_total") == {(): 1}


def test_the_age_of_the_snapshot_is_the_time_since_it_was_taken_and_never_negative() -> None:
    clock = ManualClock(monotonic_ns=TAKEN_MONOTONIC_NS)
    scraper = Scraper(FakeEngine(), clock=clock)
    clock.advance(2.5)
    assert told(families(scraper), "penstock_snapshot_age_seconds") == {(): 2.5}
    ahead = Scraper(FakeEngine(), clock=ManualClock(monotonic_ns=0))
    assert told(families(ahead), "penstock_snapshot_age_seconds") == {(): 0.0}


def test_the_duration_of_a_scrape_includes_its_rendering_and_is_told_by_the_next() -> None:
    clock = ManualClock(monotonic_ns=TAKEN_MONOTONIC_NS)
    scraper = Scraper(FakeEngine(), clock=clock)
    (before,) = told(families(scraper), "penstock_scrape_duration_seconds").values()
    assert isinstance(before, HistogramSnapshot)
    assert sum(before.counts) == 0
    scraper.scrape(lambda _: clock.advance(0.2))
    (after,) = told(families(scraper), "penstock_scrape_duration_seconds").values()
    assert isinstance(after, HistogramSnapshot)
    assert sum(after.counts) == 2
    assert after.sum == pytest.approx(0.2)


def test_parallel_scrapes_see_the_same_series() -> None:
    scraper = Scraper(FakeEngine(busy_snapshot()), clock=ManualClock(monotonic_ns=TAKEN_MONOTONIC_NS))

    def shape() -> list[tuple[str, tuple[tuple[str, ...], ...]]]:
        return [(f.metric.name, tuple(labels for labels, _ in f.samples)) for f in families(scraper)]

    with ThreadPoolExecutor(8) as pool:
        shapes = [future.result(timeout=30) for future in [pool.submit(shape) for _ in range(40)]]
    assert all(one == shapes[0] for one in shapes)
    (duration,) = told(families(scraper), "penstock_scrape_duration_seconds").values()
    assert isinstance(duration, HistogramSnapshot)
    assert sum(duration.counts) == 40
