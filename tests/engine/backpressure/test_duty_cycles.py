"""Sampled ratio, timer ratio and truth agree, for tasks that wait and for tasks that compute. Real time, seconds.

`benchmarks/sampler.py` does the same at full length.
"""

from __future__ import annotations

import pytest

from engine.backpressure.levels import level_of
from engine.backpressure.settings import BackPressureSettings
from engine.core.clock import NS_PER_MS
from tests.support.duty_cycle import Outcome, computing, running, sleeping

SETTINGS = BackPressureSettings(num_samples=450, delay_between_samples_ns=5 * NS_PER_MS)
CYCLE_NS = 20 * NS_PER_MS
ERROR_MAX = 0.06
# Of all samples, those in which stack and timer may contradict each other: around a change of state.
DISAGREEMENTS_MAX = 0.02


def check(seen: Outcome) -> None:
    assert seen.samples >= 400
    assert abs(seen.sampled - seen.truth) <= ERROR_MAX, seen
    assert abs(seen.timed - seen.truth) <= ERROR_MAX, seen
    assert seen.basis.disagreements <= DISAGREEMENTS_MAX * seen.samples, seen
    if all(abs(seen.truth - bound) > ERROR_MAX for bound in (0.10, 0.5)):
        assert seen.level == level_of(min(1.0, seen.truth))


def test_for_tasks_that_wait() -> None:
    with running([0, 0.05, 0.1, 0.3, 0.5, 0.7, 1], sleeping, settings=SETTINGS, cycle_ns=CYCLE_NS) as outcomes:
        for seen in outcomes():
            check(seen)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_for_a_task_that_computes_although_the_sampler_is_late_then(share: float) -> None:
    with running([share], computing, settings=SETTINGS, cycle_ns=CYCLE_NS) as outcomes:
        (seen,) = outcomes()
    assert seen.basis.by_transitions > 0, "late looks are what this is about"
    check(seen)
