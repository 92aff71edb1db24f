"""What an operator sees while an exporter is slow: in the metrics of the commands, and when it is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.throttled import OFFERED_PER_SECOND, measure
from tests.support.surfaces import WORKERS, WORKERS_IDS


@pytest.mark.parametrize("workers", WORKERS, ids=WORKERS_IDS)
def test_a_throttle_refuses_delays_and_holds_back_and_is_over_when_the_traffic_is(workers: int, tmp_path: Path) -> None:
    quick, slow, again, idle = measure(tmp_path, 1.5, workers=workers)
    assert slow.throttled_share > 0.95
    assert quick.throttled_share == again.throttled_share == idle.throttled_share == 0

    # Refusals rise, and end with the throttle.
    assert quick.refused_share < 0.05
    assert slow.refused_share > 0.5
    assert again.refused_share < 0.05

    # So do the time a command takes, and the time in which the processor may not write its results.
    # A busy machine makes the quick ones slow, too, but never the slow ones quick: unthrottled they take a millisecond.
    assert slow.p99_seconds is not None
    assert slow.p99_seconds >= 0.005
    assert slow.processor_blocked_share > quick.processor_blocked_share + 0.05

    # Throughput falls.
    assert quick.processed_per_second > 0.9 * OFFERED_PER_SECOND
    assert slow.processed_per_second < 0.5 * OFFERED_PER_SECOND

    # Nobody wrote any more, the exporter was as slow as before: the throttle ended by itself.
    assert idle.processed_per_second == 0
