"""Writers that wait: their order, what wakes them, and that they reach the limit in real time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from engine.core.clock import Clock, ManualClock, SystemClock
from engine.core.errors import StoppedError
from engine.core.records import WriteSource
from engine.core.snapshot import BlockReason, Outcome
from engine.flow.gate import FlowControl, Permit, Refusal
from engine.flow.settings import (
    FixedSettings,
    FlowControlSettings,
    RequestAlgorithm,
    RequestLimitSettings,
    WriteLimitSettings,
)
from tests.support.waiting import WAIT_SECONDS, wait_until

COMMAND, RESULT = WriteSource.USER_COMMAND, WriteSource.PROCESSING_RESULT


def settings(limit: int | None = None, *, requests: int | None = None) -> FlowControlSettings:
    request = RequestLimitSettings()
    if requests is not None:
        request = RequestLimitSettings(
            enabled=True,
            use_windowed=False,
            algorithm=RequestAlgorithm.FIXED,
            fixed=FixedSettings(limit=requests),
        )
    write = None if limit is None else WriteLimitSettings(enabled=True, limit=limit)
    return FlowControlSettings(write=write, request=request)


def gate_with(configured: FlowControlSettings, clock: Clock | None = None) -> FlowControl:
    return FlowControl(clock or ManualClock(), configured, partition=1, has_exporters=True)


def waiting(gate: FlowControl) -> int:
    return gate.snapshot(last_written=0, lowest_acknowledged=None).waiting_writers


class Writer(Thread):
    """Waits at the gate in a thread of its own and remembers what it was told."""

    def __init__(self, gate: FlowControl, source: WriteSource, records: int, ended: list[str], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._gate, self._source, self._records, self._ended = gate, source, records, ended
        self.reasons: list[BlockReason] = []
        self.permit: Permit | None = None

    def run(self) -> None:
        try:
            self.permit = self._gate.wait_acquire(self._source, self._records, blocked=self.reasons.append)
            self._ended.append(self.name)
        except StoppedError:
            self._ended.append(f"{self.name} stopped")


@contextmanager
def writers(gate: FlowControl) -> Iterator[tuple[Callable[..., Writer], list[str]]]:
    """Starts writers one after the other, each only when the one before stands in the queue."""
    ended: list[str] = []
    started: list[Writer] = []

    def start(name: str, source: WriteSource = RESULT, records: int = 1) -> Writer:
        before = waiting(gate)
        writer = Writer(gate, source, records, ended, name)
        started.append(writer)
        writer.start()
        assert wait_until(lambda: waiting(gate) == before + 1 and writer.reasons)
        return writer

    try:
        yield start, ended
    finally:
        gate.stop()
        for writer in started:
            writer.join(WAIT_SECONDS)
            assert not writer.is_alive()


def test_whoever_need_not_wait_is_told_nothing() -> None:
    gate = gate_with(settings(1, requests=1))
    reasons: list[BlockReason] = []
    gate.wait_acquire(COMMAND, 1, blocked=reasons.append)
    assert reasons == []
    assert waiting(gate) == 0


def test_waiters_are_served_in_order_of_arrival_whatever_their_source() -> None:
    clock = ManualClock()
    gate = gate_with(settings(1), clock)
    gate.try_acquire(RESULT, 1000)
    with writers(gate) as (start, ended):
        for number, source in enumerate([RESULT, COMMAND, WriteSource.SCHEDULED, WriteSource.INTER_PARTITION]):
            start(str(number), source)
        for turn, seconds in enumerate([1000, 1, 1, 1]):
            clock.advance(seconds)
            gate.tick(last_written=0, lowest_acknowledged=0)
            assert wait_until(lambda: len(ended) == 4 - waiting(gate))
            assert ended == ["0", "1", "2", "3"][: turn + 1]


def test_a_raised_limit_frees_a_waiter_at_once() -> None:
    gate = gate_with(settings(1))
    gate.try_acquire(RESULT, 3600)
    with writers(gate) as (start, ended):
        start("a", records=5)
        gate.configure(settings(), overridden=True)
        assert wait_until(lambda: ended == ["a"])


def test_a_raised_limit_shortens_a_wait_that_has_begun() -> None:
    gate = gate_with(settings(1), SystemClock())
    gate.try_acquire(RESULT, 3600)
    with writers(gate) as (start, ended):
        start("a")
        gate.configure(settings(36_000), overridden=True)
        assert wait_until(lambda: ended == ["a"])


def test_a_stop_frees_all_waiters() -> None:
    gate = gate_with(settings(1, requests=1))
    gate.try_acquire(COMMAND, 3600)
    with writers(gate) as (start, ended):
        for name in "abc":
            start(name, COMMAND if name == "b" else RESULT)
        gate.stop()
        assert wait_until(lambda: sorted(ended) == ["a stopped", "b stopped", "c stopped"])
    assert waiting(gate) == 0


def test_a_writer_waiting_for_a_slot_lets_results_pass_and_gets_the_slot_they_free() -> None:
    gate = gate_with(settings(requests=1))
    holder = gate.wait_acquire(COMMAND, 1)
    with writers(gate) as (start, ended):
        writer = start("command", COMMAND)
        assert writer.reasons == [BlockReason.REQUEST_LIMIT]
        gate.wait_acquire(RESULT, 1)
        assert isinstance(gate.try_acquire(RESULT, 1), Permit)
        holder.appended(1)
        assert ended == []
        gate.processed(1)
        assert wait_until(lambda: ended == ["command"])


def test_a_wait_that_goes_over_to_another_reason_says_so() -> None:
    clock = ManualClock()
    gate = gate_with(settings(1, requests=1), clock)
    holder = gate.wait_acquire(COMMAND, 1)
    with writers(gate) as (start, ended):
        writer = start("command", COMMAND)
        holder.failed()
        assert wait_until(lambda: len(writer.reasons) == 2)
        clock.advance(1)
        gate.tick(last_written=0, lowest_acknowledged=0)
        assert wait_until(lambda: ended == ["command"])
        assert writer.reasons == [BlockReason.REQUEST_LIMIT, BlockReason.WRITE_LIMIT]


def test_nobody_overtakes_waiting_writers() -> None:
    gate = gate_with(settings(1))
    gate.try_acquire(RESULT, 1000)
    with writers(gate) as (start, _):
        start("waits")
        for source in (COMMAND, RESULT):
            refusal = gate.try_acquire(source, 1)
            assert isinstance(refusal, Refusal)
            assert refusal.outcome is Outcome.WRITE_RATE_LIMIT_EXHAUSTED


def test_a_waiter_whose_time_has_come_goes_before_one_who_only_tries() -> None:
    clock = ManualClock()
    gate = gate_with(settings(1), clock)
    gate.try_acquire(RESULT, 1000)
    with writers(gate) as (start, ended):
        start("first", records=10)
        clock.advance(1000)
        assert isinstance(gate.try_acquire(RESULT, 1), Refusal)
        assert wait_until(lambda: ended == ["first"])


def test_a_wait_is_counted_once_as_accepted_and_never_as_refused() -> None:
    gate = gate_with(settings(1))
    gate.try_acquire(RESULT, 1000)
    with writers(gate) as (start, ended):
        start("a", WriteSource.SCHEDULED, 7)
        gate.configure(settings(), overridden=True)
        assert wait_until(lambda: ended == ["a"])
        counted = gate.snapshot(last_written=0, lowest_acknowledged=None).writes
        assert counted[WriteSource.SCHEDULED, Outcome.ACCEPTED] == 7
        assert sum(n for (_, outcome), n in counted.items() if outcome is not Outcome.ACCEPTED) == 0


def test_a_waiter_that_gives_up_leaves_the_queue_to_the_next() -> None:
    gate = gate_with(settings(1), SystemClock())
    gate.try_acquire(RESULT, 3600)

    def gives_up(reason: BlockReason) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gate.wait_acquire(RESULT, 1, blocked=gives_up)
    assert waiting(gate) == 0
    with writers(gate) as (start, ended):
        start("next")
        gate.configure(settings(36_000), overridden=True)
        assert wait_until(lambda: ended == ["next"])


def test_who_gives_up_when_its_turn_has_come_has_not_been_accepted() -> None:
    clock = ManualClock()
    gate = gate_with(settings(10), clock)
    gate.try_acquire(RESULT, 30)

    def gives_up_late(reason: BlockReason) -> None:
        # Whoever looks first serves the one that waits; it hears of it only after this.
        clock.advance(10)
        gate.tick(last_written=0, lowest_acknowledged=None)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gate.wait_acquire(RESULT, 7, blocked=gives_up_late)
    writes = gate.snapshot(last_written=0, lowest_acknowledged=None).writes
    assert writes[RESULT, Outcome.ACCEPTED] == 30


def test_the_next_in_the_queue_need_not_be_woken_by_one_that_gave_up() -> None:
    gate = gate_with(settings(100), SystemClock())
    gate.try_acquire(RESULT, 30)
    with writers(gate) as (start, ended):

        def gives_up_when_another_queues(reason: BlockReason) -> None:
            start("next")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            gate.wait_acquire(RESULT, 1, blocked=gives_up_when_another_queues)
        # Nobody changes a limit or tries: its own time comes.
        assert wait_until(lambda: ended == ["next"])
