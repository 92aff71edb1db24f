"""Compares the throttle's algorithms, and the request limit's, in a simulated plant. `python -m benchmarks control`.

Simulated time, no chance: the figures are the same on every machine and in every run.
"""

from __future__ import annotations

from benchmarks.study import Pace, Report
from engine.core.clock import NS_PER_SECOND
from engine.flow.plant import SimulationResult, simulate, steps
from engine.flow.queue_plant import QueueSecond, simulate_queue
from engine.flow.scenarios import SCENARIOS
from engine.flow.settings import (
    RequestAlgorithm,
    RequestLimitSettings,
    ThrottlingAlgorithm,
    ThrottlingSettings,
    WriteLimitSettings,
)

LIMIT, MINIMUM, ACCEPTABLE, RESOLUTION_NS = 4000, 100, 100_000, 15 * NS_PER_SECOND
OFFERED, QUICK, SLOW, SLOW_FROM, SLOW_UNTIL, SECONDS = 1000, 2000, 200, 40, 80, 120


def settings(algorithm: ThrottlingAlgorithm) -> WriteLimitSettings:
    return WriteLimitSettings(
        enabled=True,
        limit=LIMIT,
        throttling=ThrottlingSettings(
            enabled=True,
            acceptable_backlog=ACCEPTABLE,
            minimum_limit=MINIMUM,
            resolution_ns=RESOLUTION_NS,
            algorithm=algorithm,
        ),
    )


def shown(share: float) -> str:
    """`+0.0%` also for what is a little less."""
    return f"{round(share, 3) + 0.0:+.1%}"


def throttle_row(result: SimulationResult, exported_by_formula: int) -> str:
    settled = result.settled_after_seconds(result.near)
    return (
        f"| {result.scenario.name} | {result.settings.throttling.algorithm} | {shown(result.peak_overshoot)} | "
        f"{result.mean_distance or 0.0:.1%} (≤ {result.near:.1%}) | {'never' if settled is None else f'{settled} s'} | "
        f"{result.throttled_seconds} s | {result.exported_records:,} | "
        f"{result.exported_records / exported_by_formula:.2%} |"
    )


def throttle() -> list[str]:
    rows = [
        "| scenario | algorithm | overshoot | distance (goal) | settled | throttled | exported | ÷ formula |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for scenario in SCENARIOS:
        formula = simulate(scenario, settings(ThrottlingAlgorithm.PROPORTIONAL))
        adaptive = simulate(scenario, settings(ThrottlingAlgorithm.ADAPTIVE))
        rows += [throttle_row(result, formula.exported_records) for result in (formula, adaptive)]
    return [
        f"throttle: limit {LIMIT}/s, minimum {MINIMUM}/s, acceptable {ACCEPTABLE:,}, "
        f"resolution {RESOLUTION_NS // NS_PER_SECOND} s, one hour",
        "",
        *rows,
        "",
        "overshoot: peak backlog above the acceptable one, net of what the minimum limit alone wrote while the "
        "exporter stood still; distance: mean of |backlog − acceptable| while throttled; both ÷ acceptable",
    ]


def queue_cell(phase: tuple[QueueSecond, ...]) -> str:
    """Refused share, mean round trip, most in flight."""
    processed = sum(second.processed for second in phase)
    waited = sum((second.mean_round_trip_ns or 0) * second.processed for second in phase)
    refused = sum(second.offered - second.accepted for second in phase) / sum(second.offered for second in phase)
    round_trip_ms = waited / processed / 1e6 if processed else float("nan")
    return f"{refused:.0%}, {round_trip_ms:,.0f} ms, {max(second.in_flight_max for second in phase):,}"


def request_limit() -> list[str]:
    rows = [
        f"| algorithm | quick: refused, round trip, most in flight | slow, {SLOW_FROM} to {SLOW_UNTIL} s | quick again "
        "| limit at the end |",
        "|---|---|---|---|---|",
    ]
    for algorithm in RequestAlgorithm:
        for windowed in (False, True):
            course = simulate_queue(
                offered=steps((0, OFFERED)),
                capacity=steps((0, QUICK), (SLOW_FROM, SLOW), (SLOW_UNTIL, QUICK)),
                seconds=SECONDS,
                settings=RequestLimitSettings(enabled=True, use_windowed=windowed, algorithm=algorithm),
            )
            phases = (course[:SLOW_FROM], course[SLOW_FROM:SLOW_UNTIL], course[SLOW_UNTIL:])
            rows.append(
                f"| {algorithm}{', windowed' if windowed else ''} | {' | '.join(map(queue_cell, phases))} | "
                f"{course[-1].limit:,} |"
            )
    return [
        f"request limit: {OFFERED} commands/s offered; the processor takes {QUICK}/s, {SLOW}/s while slow; {SECONDS} s",
        "",
        *rows,
    ]


def run(_pace: Pace) -> Report:
    """The same however much time there is."""
    return Report("\n".join([*throttle(), "", *request_limit()]))
