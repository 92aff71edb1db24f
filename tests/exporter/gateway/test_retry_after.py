"""Who comes back when it was told gets through at the limit's rate, on simulated time."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Engine, EngineOptions, FlowControlSettings, ManualClock, Pipeline, Refusal, WriteLimitSettings
from engine.core.identity import partition_of
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
