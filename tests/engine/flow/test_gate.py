"""The gate: order of checks, what is counted, what is reported, on a clock turned by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.core.clock import NS_PER_MS, NS_PER_SECOND, ManualClock
from engine.core.errors import StoppedError
from engine.core.records import WriteSource
from engine.core.snapshot import FlowSnapshot, Outcome
from engine.flow.events import LimitChanged, ThrottlingEnded, ThrottlingStarted
from engine.flow.gate import UNLIMITED_BATCH_RECORDS, FlowControl, Permit, Refusal
from engine.flow.settings import (
    AimdSettings,
    FixedSettings,
    FlowControlSettings,
    RequestAlgorithm,
    RequestLimitSettings,
    ThrottlingAlgorithm,
    ThrottlingSettings,
    WriteLimitSettings,
)

COMMAND, RESULT, INTERNAL = WriteSource.USER_COMMAND, WriteSource.PROCESSING_RESULT, WriteSource.INTERNAL
THROTTLING = ThrottlingSettings(enabled=True)


def fixed(limit: int) -> RequestLimitSettings:
    return RequestLimitSettings(
        enabled=True, use_windowed=False, algorithm=RequestAlgorithm.FIXED, fixed=FixedSettings(limit=limit)
    )


def write(limit: int, throttling: ThrottlingSettings | None = None, *, ramp_up_s: int = 0) -> WriteLimitSettings:
    return WriteLimitSettings(
        enabled=True,
        limit=limit,
        ramp_up_ns=ramp_up_s * NS_PER_SECOND,
        throttling=throttling or ThrottlingSettings(),
    )


def gate_with(
    clock: ManualClock,
    *,
    write: WriteLimitSettings | None = None,
    request: RequestLimitSettings | None = None,
    has_exporters: bool = True,
) -> FlowControl:
    settings = FlowControlSettings(write=write, request=request or RequestLimitSettings())
    return FlowControl(clock, settings, partition=1, has_exporters=has_exporters)


def look(gate: FlowControl) -> FlowSnapshot:
    return gate.snapshot(last_written=0, lowest_acknowledged=None)


def admitted(gate: FlowControl, source: WriteSource = COMMAND, records: int = 1) -> Permit:
    permit = gate.try_acquire(source, records)
    assert isinstance(permit, Permit)
    return permit


def refused(gate: FlowControl, source: WriteSource = COMMAND, records: int = 1) -> Refusal:
    refusal = gate.try_acquire(source, records)
    assert isinstance(refusal, Refusal)
    return refusal


# -- admission --------------------------------------------------------------------------------------------------


def test_with_everything_disabled_the_gate_admits_all_and_counts_records() -> None:
    gate = gate_with(ManualClock())
    for source in WriteSource:
        admitted(gate, source, 7).appended(7)
        gate.wait_acquire(source, 3).failed()
    counted = look(gate)
    assert {counted.writes[source, Outcome.ACCEPTED] for source in WriteSource} == {10}
    assert set(counted.writes) == {(source, outcome) for source in WriteSource for outcome in Outcome}
    assert sum(counted.writes.values()) == 50
    assert counted.write_limit_per_second is None
    assert counted.request_limit is None
    assert counted.requests_in_flight == 0
    assert gate.suggested_batch_records() == UNLIMITED_BATCH_RECORDS


def accepted(gate: FlowControl) -> int:
    return look(gate).writes[COMMAND, Outcome.ACCEPTED]


def test_what_came_to_nothing_does_not_count_as_accepted() -> None:
    gate = gate_with(ManualClock())
    gate.give_back(admitted(gate, records=7), COMMAND, 7)
    assert accepted(gate) == 0
    admitted(gate, records=5)
    gate.not_stored(COMMAND, 5)
    admitted(gate, records=5)
    assert accepted(gate) == 5


def test_the_count_of_accepted_records_never_goes_down() -> None:
    gate = gate_with(ManualClock())
    permit = admitted(gate, records=7)
    assert accepted(gate) == 7
    gate.give_back(permit, COMMAND, 7)
    assert accepted(gate) == 7
    admitted(gate, records=4)
    assert accepted(gate) == 7
    admitted(gate, records=4)
    assert accepted(gate) == 8


def test_of_nine_commands_at_one_a_second_the_first_is_admitted_and_the_rest_refused_by_the_write_limit() -> None:
    gate = gate_with(
        ManualClock(), write=write(1, replace(THROTTLING, acceptable_backlog=1, minimum_limit=0), ramp_up_s=10)
    )
    admitted(gate)
    for _ in range(8):
        assert refused(gate).outcome is Outcome.WRITE_RATE_LIMIT_EXHAUSTED
    assert look(gate).writes[COMMAND, Outcome.WRITE_RATE_LIMIT_EXHAUSTED] == 8


@pytest.mark.parametrize("source", WriteSource)
def test_what_finishes_work_is_never_refused(source: WriteSource) -> None:
    gate = gate_with(ManualClock(), write=write(1), request=fixed(1))
    for _ in range(9):
        assert isinstance(gate.try_acquire(source, 1, always_allowed=True), Permit)
        assert isinstance(gate.wait_acquire(source, 1, always_allowed=True), Permit)
    in_flight = 18 if source is COMMAND else 0
    assert look(gate).requests_in_flight == in_flight


def test_internal_writes_always_pass_and_use_up_the_limit_without_going_into_debt_twice() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(10))
    for _ in range(9):
        admitted(gate, INTERNAL)
    assert refused(gate).retry_after_ns == 100 * NS_PER_MS


def test_the_request_limit_is_asked_first_and_only_of_commands() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(1000), request=fixed(1))
    admitted(gate)
    clock.advance(1)
    refusal = refused(gate)
    assert refusal.outcome is Outcome.REQUEST_LIMIT_EXHAUSTED
    assert look(gate).writes[COMMAND, Outcome.REQUEST_LIMIT_EXHAUSTED] == 1
    # The refused command took nothing from the write limit: all that a second stored is there, and one more.
    for _ in range(1000):
        admitted(gate, RESULT)
    assert refused(gate, RESULT).outcome is Outcome.WRITE_RATE_LIMIT_EXHAUSTED


def test_a_command_refused_by_the_write_limit_holds_no_slot() -> None:
    gate = gate_with(ManualClock(), write=write(10), request=fixed(5))
    admitted(gate)
    refused(gate)
    assert look(gate).requests_in_flight == 1


def test_a_refusal_names_limit_partition_and_time_in_one_sentence() -> None:
    gate = gate_with(ManualClock(), write=write(10), request=fixed(2))
    admitted(gate)
    by_rate = refused(gate, records=3)
    assert (by_rate.partition, by_rate.retry_after_ns) == (1, 100 * NS_PER_MS)
    assert (
        by_rate.text
        == "partition 1 refused 3 records: its write limit of 10 records/s is exhausted; try again in 100ms"
    )
    gate.try_acquire(COMMAND, 1, always_allowed=True)
    by_requests = refused(gate)
    assert by_requests.text.startswith(
        "partition 1 refused 1 record: its request limit of 2 commands in flight is exhausted; try again in "
    )


def test_a_batch_is_suggested_as_a_tenth_of_a_second_of_the_limit_and_at_least_one_record() -> None:
    assert gate_with(ManualClock(), write=write(4000)).suggested_batch_records() == 400
    assert gate_with(ManualClock(), write=write(3)).suggested_batch_records() == 1


# -- slots ------------------------------------------------------------------------------------------------------


def test_a_slot_is_held_until_the_last_record_of_the_batch_is_processed() -> None:
    gate = gate_with(ManualClock(), request=fixed(1))
    admitted(gate, records=3).appended(12)
    gate.processed(11)
    refused(gate)
    gate.processed(12)
    admitted(gate)


def test_a_processor_quicker_than_the_writer_leaks_no_slot() -> None:
    gate = gate_with(ManualClock(), request=fixed(1))
    permit = admitted(gate)
    gate.processed(5)
    permit.appended(5)
    assert look(gate).requests_in_flight == 0


def test_where_nobody_processes_a_stored_command_ends_with_its_round_trip() -> None:
    clock = ManualClock()
    request = RequestLimitSettings(enabled=True, use_windowed=False, aimd=AimdSettings(initial_limit=2))
    gate = gate_with(clock, request=request)
    permit = admitted(gate)
    clock.advance_ns(NS_PER_MS)
    permit.completed()
    permit.completed()
    permit.failed()
    assert look(gate).requests_in_flight == 0
    # Half of the limit was used and the trip was quick: one more.
    assert look(gate).request_limit == 3


def test_a_failed_append_gives_the_slot_back_once() -> None:
    gate = gate_with(ManualClock(), request=fixed(2))
    first, second = admitted(gate), admitted(gate)
    first.failed()
    first.failed()
    first.appended(4)
    assert look(gate).requests_in_flight == 1
    second.appended(4)
    second.failed()
    assert look(gate).requests_in_flight == 0
    gate.processed(4)
    assert look(gate).requests_in_flight == 0


def test_commands_in_flight_survive_a_change_of_the_algorithm() -> None:
    gate = gate_with(ManualClock(), request=fixed(3))
    permit = admitted(gate)
    gate.configure(FlowControlSettings(request=RequestLimitSettings(enabled=True)), overridden=True)
    assert look(gate).requests_in_flight == 1
    permit.appended(1)
    gate.configure(FlowControlSettings(), overridden=True)
    gate.processed(1)
    assert look(gate).requests_in_flight == 0


def test_a_round_trip_teaches_the_limit() -> None:
    clock = ManualClock()
    request = RequestLimitSettings(enabled=True, use_windowed=False, aimd=AimdSettings(initial_limit=2, max_limit=10))
    gate = gate_with(clock, request=request)
    admitted(gate).appended(1)
    clock.advance(0.001)
    gate.processed(1)
    assert look(gate).request_limit == 3
    admitted(gate).appended(2)
    clock.advance(1)
    gate.processed(2)
    assert look(gate).request_limit == 2
    state = gate.request_limiter_state()
    assert state is not None
    assert (state.algorithm, state.limit, state.expected_rtt_ns) == ("aimd", 2, 200 * NS_PER_MS)


def test_stopping_leaves_nothing_in_flight() -> None:
    gate = gate_with(ManualClock(), request=fixed(5))
    admitted(gate).appended(1)
    late = admitted(gate)
    gate.stop()
    late.appended(2)
    assert look(gate).requests_in_flight == 0
    with pytest.raises(StoppedError, match="partition 1 is stopping"):
        gate.wait_acquire(RESULT, 1)


# -- the throttle ---------------------------------------------------------------------------------------------


def run(gate: FlowControl, clock: ManualClock, *, seconds: int, written: int, exported: int, rate: int) -> int:
    """Ticks each second while the exporter moves at `rate`; returns where it stands."""
    for _ in range(seconds):
        clock.advance(1)
        exported += rate
        gate.tick(last_written=written, lowest_acknowledged=exported)
    return exported


def test_the_throttle_is_decided_each_resolution_and_not_between() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(1000, THROTTLING))
    assert gate.next_tick_ns() == clock.monotonic_ns()
    gate.tick(last_written=0, lowest_acknowledged=0)
    assert gate.next_tick_ns() == clock.monotonic_ns() + NS_PER_SECOND
    clock.advance(14.999)
    assert gate.tick(last_written=200_000, lowest_acknowledged=3000) == []
    assert look(gate).write_limit_per_second == 1000
    assert gate.next_tick_ns() == 15 * NS_PER_SECOND
    clock.advance(0.001)
    changed, started = gate.tick(last_written=200_000, lowest_acknowledged=3000)
    assert isinstance(changed, LimitChanged)
    assert isinstance(started, ThrottlingStarted)
    assert changed.old_limit_per_second == 1000
    assert changed.new_limit_per_second == pytest.approx(3000 / 15 * 100_000 / 197_000)
    assert (changed.backlog_records, changed.acceptable_backlog_records) == (197_000, 100_000)
    assert changed.factor == pytest.approx(100_000 / 197_000)
    assert changed.exporting_rate_per_second == pytest.approx(200)
    assert "backlog 197000 of 100000" in changed.reason
    assert started.limit_max_per_second == 1000
    assert look(gate).throttled


def test_a_forced_tick_decides_at_once() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(1000, THROTTLING))
    gate.tick(last_written=0, lowest_acknowledged=0)
    clock.advance(1)
    assert gate.tick(last_written=150_000, lowest_acknowledged=0) == []
    assert gate.tick(last_written=150_000, lowest_acknowledged=0, force=True) != []


def test_when_traffic_stops_the_throttle_ends_by_the_ticker_alone() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(1000, THROTTLING))
    exported = run(gate, clock, seconds=60, written=120_000, exported=0, rate=100)
    assert look(gate).throttled
    run(gate, clock, seconds=800, written=120_000, exported=exported, rate=100)
    seen = look(gate)
    assert not seen.throttled
    assert seen.write_limit_per_second == 1000


def test_throttled_time_is_the_sum_of_the_episodes_at_every_moment() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(1000, THROTTLING))
    events = []
    written = exported = 0
    for second in range(1, 1200):
        clock.advance(1)
        written += 900 if second % 400 < 200 else 0
        exported = min(written, exported + 500)
        events += gate.tick(last_written=written, lowest_acknowledged=exported)
        total_ns = sum(episode.throttled_ns for episode in gate.episodes())
        assert look(gate).throttled_ns == total_ns
        assert look(gate).throttled == (bool(gate.episodes()) and gate.episodes()[-1].end_wall_ns is None)
    ended = [event.episode for event in events if isinstance(event, ThrottlingEnded)]
    assert len(ended) >= 2
    assert tuple(ended) == gate.episodes()[: len(ended)]
    for episode in ended:
        assert episode.end_wall_ns == episode.start_wall_ns + episode.throttled_ns
        assert episode.lowest_limit_per_second < 1000
        assert episode.peak_backlog_records > 50_000


def test_an_episode_notes_a_peak_between_two_decisions() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(1000, THROTTLING))
    gate.tick(last_written=100_000, lowest_acknowledged=0)
    clock.advance(1)
    gate.tick(last_written=130_000, lowest_acknowledged=0)
    clock.advance(1)
    gate.tick(last_written=130_000, lowest_acknowledged=120_000)
    assert gate.episodes()[-1].peak_backlog_records == 130_000


def test_a_jump_of_the_wall_clock_does_not_change_throttled_time() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(1000, THROTTLING))
    gate.tick(last_written=200_000, lowest_acknowledged=0)
    clock.advance(30)
    clock.jump_wall(-3600)
    assert look(gate).throttled_ns == 30 * NS_PER_SECOND


def test_a_partition_without_exporters_is_unknown_and_never_throttles() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(7000, replace(THROTTLING, minimum_limit=700)), has_exporters=False)
    assert gate.tick(last_written=4_700_000_000, lowest_acknowledged=None) == []
    seen = gate.snapshot(last_written=4_700_000_000, lowest_acknowledged=None)
    assert seen.write_limit_per_second == 7000
    assert seen.throttle_factor is None
    assert seen.exporting_rate_per_second is None


def test_an_exporter_that_never_acknowledged_throttles_all_the_same() -> None:
    gate = gate_with(ManualClock(), write=write(1000, THROTTLING))
    gate.tick(last_written=100_000, lowest_acknowledged=-1)
    assert look(gate).write_limit_per_second == 100


def test_a_ramp_up_is_no_throttling() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(3000, THROTTLING, ramp_up_s=60))
    gate.tick(last_written=0, lowest_acknowledged=0)
    seen = look(gate)
    assert not seen.throttled
    assert seen.write_limit_per_second == 3000
    assert seen.ramp_up_rate_per_second == pytest.approx(1000)


def test_the_load_is_what_was_written_of_what_is_configured() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(1000))
    for second in range(31):
        gate.tick(last_written=250 * second, lowest_acknowledged=0)
        clock.advance(1)
    assert look(gate).partition_load_ratio == pytest.approx(0.25, rel=0.05)


# -- configuration ----------------------------------------------------------------------------------------------


def test_an_identical_configuration_changes_nothing_but_the_mark() -> None:
    clock = ManualClock()
    request = RequestLimitSettings(enabled=True, use_windowed=False)
    gate = gate_with(clock, write=write(1000, THROTTLING, ramp_up_s=60), request=request)
    gate.tick(last_written=100_000, lowest_acknowledged=0)
    admitted(gate, records=500).appended(1)
    gate.processed(1)
    before, state = look(gate), gate.request_limiter_state()
    same = FlowControlSettings(write=write(1000, THROTTLING, ramp_up_s=60), request=replace(request))
    assert gate.configure(same, overridden=True) == []
    assert look(gate) == replace(before, overridden=True)
    assert gate.request_limiter_state() == state


def test_a_new_limit_holds_at_once_and_is_reported() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(100))
    admitted(gate, RESULT, 1000)
    (changed,) = gate.configure(FlowControlSettings(write=write(1000)), overridden=True)
    assert isinstance(changed, LimitChanged)
    assert (changed.old_limit_per_second, changed.new_limit_per_second) == (100, 1000)
    assert refused(gate).retry_after_ns == NS_PER_SECOND
    assert gate.settings.write == write(1000)


def test_enabling_and_disabling_the_write_limit_are_reported_as_changes_from_and_to_none() -> None:
    gate = gate_with(ManualClock())
    (enabled,) = gate.configure(FlowControlSettings(write=write(100)), overridden=True)
    assert isinstance(enabled, LimitChanged)
    assert (enabled.old_limit_per_second, enabled.new_limit_per_second) == (None, 100)
    (disabled,) = gate.configure(FlowControlSettings(), overridden=False)
    assert isinstance(disabled, LimitChanged)
    assert (disabled.old_limit_per_second, disabled.new_limit_per_second) == (100, None)
    assert look(gate).write_limit_per_second is None


def test_switching_the_throttling_off_ends_the_episode_and_restores_the_limit() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(1000, THROTTLING))
    gate.tick(last_written=100_000, lowest_acknowledged=0)
    clock.advance(20)
    changed, ended = gate.configure(FlowControlSettings(write=write(1000)), overridden=True)
    assert isinstance(changed, LimitChanged)
    assert isinstance(ended, ThrottlingEnded)
    assert ended.episode.throttled_ns == 20 * NS_PER_SECOND
    assert not look(gate).throttled
    assert look(gate).throttled_ns == 20 * NS_PER_SECOND


def test_a_changed_limit_is_throttled_from_the_last_known_backlog() -> None:
    gate = gate_with(ManualClock(), write=write(1000, THROTTLING))
    gate.tick(last_written=100_000, lowest_acknowledged=0)
    assert gate.configure(FlowControlSettings(write=write(2000, THROTTLING)), overridden=True) == []
    seen = look(gate)
    assert (seen.write_limit_per_second, seen.write_limit_max_per_second, seen.throttled) == (100, 2000, True)


def test_a_changed_ramp_up_begins_anew_and_forgives_no_debt() -> None:
    gate = gate_with(ManualClock(), write=write(300))
    admitted(gate, RESULT, 600)
    gate.configure(FlowControlSettings(write=write(300, ramp_up_s=60)), overridden=True)
    seen = look(gate)
    assert seen.ramp_up_rate_per_second == pytest.approx(100)
    assert seen.next_free_ns == 2 * NS_PER_SECOND


def test_a_minimum_of_zero_stops_writes_until_the_backlog_shrinks() -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(1000, replace(THROTTLING, minimum_limit=0)))
    gate.tick(last_written=100_000, lowest_acknowledged=0)
    seen = look(gate)
    assert (seen.write_limit_per_second, seen.next_free_ns) == (0, None)
    assert refused(gate).retry_after_ns == NS_PER_SECOND
    clock.advance(15)
    gate.tick(last_written=100_000, lowest_acknowledged=90_000)
    admitted(gate)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40_000),
            st.none() | st.integers(-10, 10**7),
            st.integers(0, 10**7),
            st.sampled_from([0, 1, 1000, 100_000]),
            st.integers(0, 50),
            st.sampled_from(ThrottlingAlgorithm),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_whatever_the_positions_and_settings_the_limit_stays_in_its_bounds(
    steps: list[tuple[int, int | None, int, int, int, ThrottlingAlgorithm, bool]],
) -> None:
    clock = ManualClock()
    gate = gate_with(clock, write=write(1000, THROTTLING))
    for wait_ms, acknowledged, written, acceptable, minimum, algorithm, reconfigures in steps:
        clock.advance_ns(wait_ms * NS_PER_MS)
        if reconfigures:
            throttling = ThrottlingSettings(
                enabled=True, acceptable_backlog=acceptable, minimum_limit=minimum, algorithm=algorithm
            )
            gate.configure(FlowControlSettings(write=write(50 + acceptable, throttling)), overridden=True)
        gate.tick(last_written=written, lowest_acknowledged=acknowledged, force=reconfigures)
        seen = gate.snapshot(last_written=written, lowest_acknowledged=acknowledged)
        assert seen.write_limit_per_second is not None
        assert seen.write_limit_max_per_second is not None
        settings = gate.settings.write
        assert settings is not None
        assert settings.throttling.minimum_limit <= seen.write_limit_per_second <= settings.limit
        assert seen.throttled == (seen.write_limit_per_second < seen.write_limit_max_per_second)
        assert seen.throttled_ns == sum(episode.throttled_ns for episode in gate.episodes())
        numbers = (seen.throttle_factor, seen.exporting_rate_per_second, seen.partition_load_ratio)
        assert all(number is None or math.isfinite(number) for number in numbers)
        gate.try_acquire(COMMAND, 1)


class SlotsNeverLeak(RuleBasedStateMachine):
    """Whatever becomes of commands, in whatever order, the gate's count is the model's."""

    @initialize(algorithm=st.sampled_from(RequestAlgorithm), windowed=st.booleans())
    def begin(self, algorithm: RequestAlgorithm, windowed: bool) -> None:
        self.clock = ManualClock()
        request = RequestLimitSettings(enabled=True, use_windowed=windowed, algorithm=algorithm)
        self.gate = gate_with(self.clock, request=request, write=write(50))
        self.open: list[Permit] = []
        self.stored: dict[int, Permit] = {}
        self.position = self.processed = 0

    @rule(source=st.sampled_from([COMMAND, RESULT]), always_allowed=st.booleans(), records=st.integers(1, 5))
    def ask(self, source: WriteSource, always_allowed: bool, records: int) -> None:
        permit = self.gate.try_acquire(source, records, always_allowed=always_allowed)
        if isinstance(permit, Refusal):
            assert not always_allowed
        elif source is COMMAND:
            self.open.append(permit)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def store(self, data: st.DataObject) -> None:
        permit = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.position += 1
        permit.appended(self.position)
        if self.position > self.processed:
            self.stored[self.position] = permit

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def fail_before_it_is_stored(self, data: st.DataObject) -> None:
        permit = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        permit.failed()
        permit.failed()

    @precondition(lambda self: self.stored)
    @rule(data=st.data())
    def fail_after_it_was_stored(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from(sorted(self.stored)))
        permit = self.stored.pop(position)
        permit.failed()
        permit.appended(position)

    @rule(ahead=st.integers(0, 3), wait_ms=st.integers(0, 3000))
    def process(self, ahead: int, wait_ms: int) -> None:
        self.clock.advance_ns(wait_ms * NS_PER_MS)
        self.processed = max(self.processed, self.position + ahead - 1)
        self.gate.processed(self.processed)
        self.stored = {p: permit for p, permit in self.stored.items() if p > self.processed}

    @rule(algorithm=st.sampled_from(RequestAlgorithm), enabled=st.just(True))
    def change_the_algorithm(self, algorithm: RequestAlgorithm, enabled: bool) -> None:
        request = RequestLimitSettings(enabled=enabled, algorithm=algorithm, use_windowed=False)
        self.gate.configure(FlowControlSettings(write=write(50), request=request), overridden=True)

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "gate"):
            assert look(self.gate).requests_in_flight == len(self.open) + len(self.stored)


TestSlotsNeverLeak = SlotsNeverLeak.TestCase
