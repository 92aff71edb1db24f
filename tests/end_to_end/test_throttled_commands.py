"""What an operator sees while an exporter is slow: in the metrics of the commands, and when it is over."""

from __future__ import annotations

from pathlib import Path

from benchmarks.throttled import OFFERED_PER_SECOND, measure


def test_a_throttle_refuses_delays_and_holds_back_and_is_over_when_the_traffic_is(tmp_path: Path) -> None:
    quick, slow, again, idle = measure(tmp_path, 1.5)
    assert slow.throttled_share > 0.95
    assert quick.throttled_share == again.throttled_share == idle.throttled_share == 0

    # Refusals rise, and end with the throttle.
    assert quick.refused_share < 0.05
    assert slow.refused_share > 0.5
    assert again.refused_share < 0.05

    # So do the time a command takes, and the time in which the processor may not write its results.
    assert quick.p99_seconds is not None
    assert slow.p99_seconds is not None
    assert slow.p99_seconds > quick.p99_seconds
    assert slow.processor_blocked_share > quick.processor_blocked_share + 0.05

    # Throughput falls.
    assert quick.processed_per_second > 0.9 * OFFERED_PER_SECOND
    assert slow.processed_per_second < 0.5 * OFFERED_PER_SECOND

    # Nobody wrote any more, the exporter was as slow as before: the throttle ended by itself.
    assert idle.processed_per_second == 0
