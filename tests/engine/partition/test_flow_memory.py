"""A throttle goes on where a partition is opened next, from what its last owner had measured."""

from __future__ import annotations

from dataclasses import replace

from engine.core.clock import ManualClock
from engine.core.unit import SourceProgress
from engine.flow.gate import FlowControl
from engine.flow.settings import FlowControlSettings, ThrottlingSettings, WriteLimitSettings
from engine.partition.flow_memory import FLOW, FlowMemory

SETTINGS = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=4000,
        throttling=ThrottlingSettings(enabled=True, acceptable_backlog=1000, minimum_limit=10),
    )
)


class Owner:
    """A gate, and what it lets ride."""

    def __init__(self, clock: ManualClock, *, is_kept: bool = True) -> None:
        self.clock = clock
        self.gate = FlowControl(clock, SETTINGS, partition=1, has_exporters=True)
        self.stored: dict[str, SourceProgress] = {}
        self.memory = FlowMemory(
            self.gate, clock, lambda progress: self.stored.update({progress.source: progress}), is_kept=is_kept
        )

    def work(self, seconds: int, *, written: int, acknowledged: int, per_second: int) -> tuple[int, int]:
        """Exports so fast, and writes as fast; a second at a time."""
        for _ in range(seconds):
            self.clock.advance(1)
            written, acknowledged = written + per_second, acknowledged + per_second
            self.gate.tick(last_written=written, lowest_acknowledged=acknowledged)
            self.memory.store()
        return written, acknowledged

    def limit(self, written: int, acknowledged: int) -> float | None:
        return self.gate.snapshot(last_written=written, lowest_acknowledged=acknowledged).write_limit_per_second


def test_the_limit_of_a_throttled_partition_goes_on_at_its_next_owner_within_a_fifth() -> None:
    clock = ManualClock()
    first = Owner(clock)
    written, acknowledged = first.work(400, written=2000, acknowledged=0, per_second=300)
    before = first.limit(written, acknowledged)
    assert before is not None
    assert 100 < before < 200
    clock.advance(9)
    second = Owner(clock)
    assert second.memory.recall(first.stored, acknowledged)
    second.gate.tick(last_written=written, lowest_acknowledged=acknowledged)
    after = second.limit(written, acknowledged)
    assert after is not None
    assert 0.8 * before <= after <= 1.2 * before
    # And it is measured anew by and by: here, twice as fast.
    written, acknowledged = second.work(400, written=written, acknowledged=acknowledged, per_second=600)
    later = second.limit(written, acknowledged)
    assert later is not None
    assert 1.8 * before <= later <= 2.2 * before


def test_a_rate_that_hardly_changes_asks_for_no_commit() -> None:
    clock = ManualClock()
    owner = Owner(clock)
    owner.work(320, written=0, acknowledged=0, per_second=300)
    assert FLOW in owner.stored
    owner.stored.clear()
    owner.work(100, written=96_000, acknowledged=96_000, per_second=300)
    assert not owner.stored


def test_what_cannot_be_understood_is_measured_anew_and_a_local_log_remembers_nothing() -> None:
    clock = ManualClock()
    owner = Owner(clock)
    assert not owner.memory.recall({FLOW: SourceProgress(FLOW, 0, 0, b"\xc1")}, 0)
    assert not owner.memory.recall({}, 0)
    local = Owner(clock, is_kept=False)
    local.work(400, written=0, acknowledged=0, per_second=300)
    assert not local.stored
    assert not local.memory.recall({FLOW: replace(SourceProgress(FLOW, 0, 0, b"\x91\xca\x43\x96\x00\x00"))}, 0)
