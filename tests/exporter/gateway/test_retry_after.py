"""Who comes back when it was told gets through at the limit's rate, on simulated time."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Engine, EngineOptions, FlowControlSettings, ManualClock, Pipeline, Refusal, WriteLimitSettings
from engine.core.clock import NS_PER_SECOND
from engine.core.identity import partition_of
from engine.flow.write_limiter import WriteRateLimiter, write_rate_limiter
from exporter.gateway.answers import refused

SECONDS = 30
KEYS = ["first", "second"] if partition_of("first", 2) != partition_of("second", 2) else ["first", "third"]


def retry_after(refusal: Refusal) -> int:
    return int(dict(refused(refusal).headers)[b"retry-after"])


@pytest.mark.parametrize("limit", [7, 100, 4000])
@pytest.mark.parametrize(("records", "partitions"), [(1, 1), (30, 1), (2000, 1), (10, 2), (500, 2)])
def test_who_obeys_gets_through_at_the_limits_rate_within_five_percent(
    tmp_path: Path, limit: int, records: int, partitions: int
) -> None:
    clock = ManualClock()
    engine = Engine(
        Pipeline("p", partitions=partitions).key_by("k"),
        tmp_path,
        flow_control=FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=limit)),
        options=EngineOptions(storage="memory", run_forever=True),
        clock=clock,
    )
    values = [{"k": KEYS[n % partitions]} for n in range(records)]
    written = 0
    with engine:
        clock.advance(1)
        # The last batch before each refusal is paid for by the wait behind it: count from one refusal to another.
        while not isinstance(refusal := engine.write(values), Refusal):
            pass
        began_ns = clock.monotonic_ns()
        while clock.monotonic_ns() - began_ns < SECONDS * 1_000_000_000 or not isinstance(refusal, Refusal):
            if isinstance(refusal, Refusal):
                clock.advance(retry_after(refusal))
            else:
                written += records
            refusal = engine.write(values)
        seconds = (clock.monotonic_ns() - began_ns) / 1e9
    rate = written / seconds
    assert rate == pytest.approx(limit * partitions, rel=0.05)


# -- with a ramp-up, and when limits change ---


def engine_of(folder: Path, clock: ManualClock, limit: int, ramp_up_s: int, partitions: int) -> Engine:
    return Engine(
        Pipeline("p", partitions=partitions).key_by("k"),
        folder,
        flow_control=settings_of(limit, ramp_up_s),
        options=EngineOptions(storage="memory", run_forever=True),
        clock=clock,
    )


def settings_of(limit: int, ramp_up_s: int) -> FlowControlSettings:
    write = WriteLimitSettings(enabled=True, limit=limit, ramp_up_ns=ramp_up_s * NS_PER_SECOND)
    return FlowControlSettings(write=write)


def obeying(engine: Engine, clock: ManualClock, records: int, partitions: int, seconds: int) -> int:
    """Records that one client gets through who waits as long as he is told, from now on."""
    values = [{"k": KEYS[n % partitions]} for n in range(records)]
    written, end_ns = 0, clock.monotonic_ns() + seconds * NS_PER_SECOND
    while clock.monotonic_ns() < end_ns:
        answer = engine.write(values)
        if isinstance(answer, Refusal):
            clock.advance(min(retry_after(answer), (end_ns - clock.monotonic_ns()) / NS_PER_SECOND))
        else:
            written += records
    return written


def impatient(limiter: WriteRateLimiter, now_ns: int, records: int, seconds: int) -> tuple[int, int]:
    """What the limiter grants to who is always there, and the time at which it stops."""
    written, end_ns = 0, now_ns + seconds * NS_PER_SECOND
    while now_ns < end_ns:
        assert limiter.try_acquire(records, now_ns)
        written += records
        next_free_ns = limiter.next_free_ns()
        assert next_free_ns is not None
        now_ns = max(now_ns, next_free_ns)
    return written, now_ns


@pytest.mark.parametrize("limit", [7, 100, 1000])
@pytest.mark.parametrize(("records", "partitions"), [(1, 1), (30, 1), (500, 1), (10, 2), (100, 2)])
def test_who_obeys_during_a_ramp_up_gets_through_what_who_is_always_there_does(
    tmp_path: Path, limit: int, records: int, partitions: int
) -> None:
    clock = ManualClock()
    with engine_of(tmp_path, clock, limit, 20, partitions) as engine:
        written = obeying(engine, clock, records, partitions, 60)
        engine.stop(drain=False)
    each = records // partitions
    wanted, _ = impatient(write_rate_limiter(limit, 20 * NS_PER_SECOND, 0), 0, each, 60)
    assert written == pytest.approx(wanted * partitions, rel=0.05, abs=records)


@pytest.mark.parametrize("ramp_up_s", [0, 5])
@pytest.mark.parametrize(("records", "partitions"), [(1, 1), (50, 1), (10, 2)])
def test_who_obeys_gets_through_at_the_new_limit_after_it_was_changed(
    tmp_path: Path, ramp_up_s: int, records: int, partitions: int
) -> None:
    clock = ManualClock()
    with engine_of(tmp_path, clock, 1000, ramp_up_s, partitions) as engine:
        obeying(engine, clock, records, partitions, 20)
        for limit in (100, 1000, 400, 2000, 100):
            changed = dict.fromkeys(range(1, partitions + 1), settings_of(limit, ramp_up_s))
            engine.apply_flow_control(changed)
            # What was told before the change, and a burst that was saved before it, are over.
            obeying(engine, clock, records, partitions, 5)
            written = obeying(engine, clock, records, partitions, 30)
            assert written == pytest.approx(30 * limit * partitions, rel=0.05, abs=2 * records), limit
        engine.stop(drain=False)


def test_a_batch_for_two_partitions_is_told_the_longer_wait(tmp_path: Path) -> None:
    clock = ManualClock()
    with engine_of(tmp_path, clock, 10, 0, 2) as engine:
        clock.advance(2)
        assert not isinstance(engine.write([{"k": KEYS[0]}] * 15), Refusal)
        assert not isinstance(engine.write([{"k": KEYS[1]}] * 60), Refusal)
        refusal = engine.write([{"k": key} for key in KEYS])
        assert isinstance(refusal, Refusal)
        assert refusal.retry_after_ns == 5 * NS_PER_SECOND
        clock.advance(5)
        assert not isinstance(engine.write([{"k": key} for key in KEYS]), Refusal)
        engine.stop(drain=False)
