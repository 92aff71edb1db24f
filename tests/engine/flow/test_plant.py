"""The gate in a simulated plant: what the throttle promises over an hour, for both of its algorithms."""

from __future__ import annotations

from functools import cache

import pytest

from engine.core.clock import NS_PER_SECOND
from engine.flow.plant import Scenario, SimulationResult, alternating, simulate, steps
from engine.flow.queue_plant import simulate_queue
from engine.flow.scenarios import (
    DEGRADED,
    IDLE,
    OUTAGE,
    OVERLOAD_OUTAGE,
    RESTART,
    SAW_TOOTH,
    SCENARIOS,
    STEADY,
)
from engine.flow.settings import (
    AimdSettings,
    RequestAlgorithm,
    RequestLimitSettings,
    ThrottlingAlgorithm,
    ThrottlingSettings,
    WriteLimitSettings,
)

FORMULA, ADAPTIVE = ThrottlingAlgorithm.PROPORTIONAL, ThrottlingAlgorithm.ADAPTIVE
ACCEPTABLE, MINIMUM, RESOLUTION_S = 100_000, 100, 15


@cache
def simulated(scenario: Scenario, algorithm: ThrottlingAlgorithm) -> SimulationResult:
    throttling = ThrottlingSettings(
        enabled=True,
        acceptable_backlog=ACCEPTABLE,
        minimum_limit=MINIMUM,
        resolution_ns=RESOLUTION_S * NS_PER_SECOND,
        algorithm=algorithm,
    )
    return simulate(scenario, WriteLimitSettings(enabled=True, limit=4000, throttling=throttling))


def peak(result: SimulationResult) -> float:
    """Overshoot including what the minimum limit wrote."""
    return max(moment.backlog_records for moment in result.moments) / ACCEPTABLE - 1


@pytest.mark.parametrize(
    ("scenario", "overshoot"),
    [(STEADY, 0.0), (DEGRADED, 0.93), (OUTAGE, 1.37), (OVERLOAD_OUTAGE, 2.04), (SAW_TOOTH, 0.48)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_formula_overshoots_as_documented(scenario: Scenario, overshoot: float) -> None:
    assert peak(simulated(scenario, FORMULA)) == pytest.approx(overshoot, abs=0.03)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_adaptive_rule_overshoots_by_no_more_than_a_tenth(scenario: Scenario) -> None:
    assert simulated(scenario, ADAPTIVE).peak_overshoot <= 0.10


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_adaptive_rule_stays_near_the_acceptable_backlog_while_it_throttles(scenario: Scenario) -> None:
    result = simulated(scenario, ADAPTIVE)
    assert result.mean_distance is not None
    goal = max(0.15, scenario.capacity(scenario.last_change) * RESOLUTION_S / ACCEPTABLE)
    assert result.mean_distance <= goal


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_adaptive_rule_exports_as_much_as_the_formula(scenario: Scenario) -> None:
    formula = simulated(scenario, FORMULA).exported_records
    assert simulated(scenario, ADAPTIVE).exported_records >= 0.995 * formula


@pytest.mark.parametrize("algorithm", ThrottlingAlgorithm)
def test_the_throttle_ends_when_traffic_stops(algorithm: ThrottlingAlgorithm) -> None:
    result = simulated(IDLE, algorithm)
    assert result.moments[899].throttled
    assert not result.moments[-1].throttled
    assert result.moments[-1].backlog_records == 0


@pytest.mark.parametrize("algorithm", ThrottlingAlgorithm)
def test_a_restart_does_not_let_the_backlog_run_away(algorithm: ThrottlingAlgorithm) -> None:
    result = simulated(RESTART, algorithm)
    after = [moment.backlog_records for moment in result.moments[1200:]]
    assert max(after) <= 1.05 * ACCEPTABLE
    # Nor does it starve the exporter until the rate is measured again.
    assert min(after) >= 0.8 * ACCEPTABLE


@pytest.mark.parametrize("algorithm", ThrottlingAlgorithm)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_limit_in_the_plant_stays_in_its_bounds_and_is_throttled_exactly_when_lowered(
    scenario: Scenario, algorithm: ThrottlingAlgorithm
) -> None:
    for moment in simulated(scenario, algorithm).moments:
        assert MINIMUM <= moment.limit_per_second <= 4000
        assert moment.throttled == (moment.limit_per_second < 4000)


def test_the_adaptive_rule_keeps_its_promise_at_a_resolution_too_coarse_for_the_limit() -> None:
    outage = Scenario(
        name="stop", offered=steps((0, 10_000)), capacity=steps((0, 9000), (600, 0)), seconds=900, last_change=600
    )
    throttling = ThrottlingSettings(
        enabled=True, minimum_limit=0, resolution_ns=600 * NS_PER_SECOND, algorithm=ADAPTIVE
    )
    result = simulate(outage, WriteLimitSettings(enabled=True, limit=10_000, throttling=throttling))
    assert result.peak_overshoot <= 0.02
    # The working exporter was kept busy all the same.
    assert result.exported_records >= 0.98 * 9000 * 600


def test_the_adaptive_rule_bears_an_exporter_that_acknowledges_in_lumps() -> None:
    bulk = Scenario(name="bulk", offered=steps((0, 4000)), capacity=alternating(1, *([0] * 19), 20_000), seconds=1800)
    result = simulated(bulk, ADAPTIVE)
    assert result.peak_overshoot <= 0.10
    # Once the backlog stands, every lump of 20,000 in 20 s finds enough to take.
    assert result.exported_records >= 0.97 * 1000 * 1800


def test_without_throttling_the_plant_only_counts() -> None:
    result = simulate(
        Scenario(name="idle", offered=steps((0, 10.5)), capacity=steps((0, 100)), seconds=60),
        WriteLimitSettings(enabled=True, limit=1000),
    )
    assert (result.offered_records, result.accepted_records) == (630, 630)
    assert result.exported_records >= 620
    assert result.throttled_seconds == 0
    assert result.mean_distance is None


def test_settling_is_measured_from_the_last_change_of_the_loads() -> None:
    assert simulated(STEADY, FORMULA).settled_after_seconds(0.15) == 0
    formula, adaptive = (simulated(DEGRADED, algorithm) for algorithm in (FORMULA, ADAPTIVE))
    slow, quick = formula.settled_after_seconds(0.15), adaptive.settled_after_seconds(0.15)
    assert slow is not None
    assert quick is not None
    assert quick < slow / 5
    assert formula.settled_after_seconds(0.0) is None


def test_loads_alternate_and_step_at_their_seconds() -> None:
    load = alternating(300, 700, 1500)
    assert [load(at) for at in (0, 299.9, 300, 600)] == [700, 700, 1500, 700]
    assert [steps((0, 1), (10, 2))(at) for at in (0, 9.9, 10)] == [1, 1, 2]


def test_a_request_limit_bounds_the_queue_of_a_slow_processor_and_opens_again() -> None:
    course = simulate_queue(
        offered=steps((0, 400)),
        capacity=steps((0, 1000), (10, 50), (40, 1000)),
        seconds=60,
        settings=RequestLimitSettings(enabled=True, use_windowed=False, aimd=AimdSettings(initial_limit=50)),
    )
    assert all(second.accepted == 400 for second in course[2:10])
    slow = course[35:40]
    # Round trips settle around the timeout of 200 ms instead of growing for ever.
    assert all(second.mean_round_trip_ns is not None for second in slow)
    assert all((second.mean_round_trip_ns or 0) < 0.4 * NS_PER_SECOND for second in slow)
    assert all(second.accepted == 400 for second in course[45:])


def test_without_a_request_limit_the_queue_of_a_slow_processor_grows() -> None:
    course = simulate_queue(
        offered=steps((0, 400)), capacity=steps((0, 50)), seconds=10, settings=RequestLimitSettings()
    )
    assert course[-1].limit is None
    assert course[-1].in_flight_max > 3000


@pytest.mark.parametrize("algorithm", RequestAlgorithm)
def test_no_algorithm_refuses_what_the_processor_takes_easily(algorithm: RequestAlgorithm) -> None:
    course = simulate_queue(
        offered=steps((0, 200)),
        capacity=steps((0, 2000)),
        seconds=20,
        settings=RequestLimitSettings(enabled=True, algorithm=algorithm),
    )
    assert sum(second.accepted for second in course) == sum(second.offered for second in course)
