"""The summary of a demo."""

from __future__ import annotations

from dataclasses import replace

from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import EngineSnapshot
from penstock.demo.tally import Tally
from tests.support.snapshots import engine_snapshot, flow, partition


def snapshot(*, throttled: bool, limit: float = 1000, backlog: int = 0, throttled_seconds: float = 0) -> EngineSnapshot:
    gate = flow(
        throttled=throttled,
        write_limit_per_second=limit,
        write_limit_max_per_second=1000.0,
        throttled_ns=round(throttled_seconds * NS_PER_SECOND),
        acceptable_backlog_records=8000,
    )
    return engine_snapshot(partitions=(partition(1, flow=gate, backlog_records=backlog),))


def told(*seen: EngineSnapshot) -> str:
    tally = Tally()
    for one in seen:
        tally.observe(one)
    return tally.summary(seen[-1], 164, "/tmp/x, removed")


def test_it_says_how_often_and_how_long_and_how_deep_writes_were_throttled() -> None:
    text = told(
        snapshot(throttled=False),
        snapshot(throttled=True, limit=400, backlog=5000),
        snapshot(throttled=True, limit=250, backlog=7000),
        snapshot(throttled=False, backlog=3000, throttled_seconds=40),
        snapshot(throttled=True, limit=600, backlog=4500, throttled_seconds=40),
        snapshot(throttled=False, throttled_seconds=70.4),
    )
    assert "throttled 2 times, for 1 min 10 s in all" in text
    assert "lowest limit 250 of 1,000 records/s" in text
    assert "highest backlog 7,000 of 8,000 acceptable" in text


def test_a_partition_that_was_never_throttled_says_so_and_no_limit() -> None:
    text = told(snapshot(throttled=False, backlog=12))
    assert "partition 1  never throttled\n               highest backlog 12 of 8,000 acceptable\n" in text
    assert "limit" not in text


def test_it_says_how_long_it_ran_and_what_became_of_the_data() -> None:
    text = told(snapshot(throttled=False))
    assert text.startswith("The demo ran for 2 min 44 s.\n")
    assert "\n  data         /tmp/x, removed\n" in text


def test_it_says_what_to_do_next() -> None:
    assert told(snapshot(throttled=False)).splitlines()[-1].startswith("  next         penstock new orders: ")


def test_what_is_not_exported_is_counted() -> None:
    assert "all of them" in told(snapshot(throttled=False))
    assert "all but 3 records" in told(snapshot(throttled=False, backlog=3))


def test_an_unlimited_engine_has_a_summary_too() -> None:
    bare = replace(snapshot(throttled=False), partitions=(partition(1),))
    assert "highest backlog 0\n" in told(bare)
