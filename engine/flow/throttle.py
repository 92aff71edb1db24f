"""How far the exporting backlog lowers the write limit: pure rules, no state and no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.flow.settings import ThrottlingAlgorithm, ThrottlingSettings

# The adaptive rule decides so many times a resolution. While the exporter works, the backlog settles below the
# acceptable one by what is exported between two decisions, so deciding more often brings it nearer.
_ADAPTIVE_DECISIONS = 5
# However small the acceptable backlog, the ticker is not asked to come more often.
_ADAPTIVE_STEP_NS_MIN = 100 * NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleDecision:
    """The rate that writes are limited to from now on, and why. `throttled` ⇔ below the configured limit."""

    limit_per_second: float
    throttled: bool
    # See `throttle_factor`.
    factor: float | None
    reason: str


def unthrottled(limit_per_second: float, reason: str) -> ThrottleDecision:
    """The configured limit itself."""
    return ThrottleDecision(limit_per_second=limit_per_second, throttled=False, factor=None, reason=reason)


def throttle_factor(backlog_records: int | None, acceptable_backlog: int) -> float | None:
    """Acceptable backlog ÷ backlog, an empty one taken as 1; None while unknown or while nothing is acceptable."""
    if backlog_records is None or acceptable_backlog == 0:
        return None
    return acceptable_backlog / max(1, backlog_records)


def decide(
    *,
    backlog_records: int | None,
    exporting_rate_per_second: float | None,
    limit_per_second: int,
    throttling: ThrottlingSettings,
    stored_records: float = 0.0,
) -> ThrottleDecision:
    """The throttle's rate, always within [minimum limit, configured limit].

    `backlog_records` None: nobody exports, so nothing is known and nothing is throttled. A rate of None: not
    measured yet. `stored_records`: what the limiter would grant at once, besides the rate. While at least
    twice the backlog is acceptable, no algorithm throttles.
    """
    if not throttling.enabled:
        return unthrottled(limit_per_second, "throttling is off")
    if backlog_records is None:
        return unthrottled(limit_per_second, "without exporters there is no backlog to throttle on")
    acceptable = throttling.acceptable_backlog
    # Exporters ahead of what is known to be written are a matter of reading order, not of a backlog.
    backlog = max(0, backlog_records)
    if acceptable >= 2 * backlog:
        wanted, why = float(limit_per_second), "at most half of it, no throttling"
    else:
        match throttling.algorithm:
            case ThrottlingAlgorithm.PROPORTIONAL:
                wanted, why = _proportional(backlog, exporting_rate_per_second, acceptable)
            case ThrottlingAlgorithm.ADAPTIVE:
                wanted, why = _adaptive(backlog, stored_records, limit_per_second, throttling)
            case _:
                assert_never(throttling.algorithm)
    rate = min(max(wanted, float(throttling.minimum_limit)), float(limit_per_second))
    return ThrottleDecision(
        limit_per_second=rate,
        throttled=rate < limit_per_second,
        factor=throttle_factor(backlog, acceptable),
        reason=f"backlog {backlog} of {acceptable} acceptable records: {why}",
    )


def _proportional(backlog: int, rate: float | None, acceptable: int) -> tuple[float, str]:
    """Acceptable ÷ backlog times the exporting rate.

    At the acceptable backlog records are written as fast as they are exported, which is where it settles.
    Source: the documented formula of Zeebe's write throttling (8.6), with its edges defined.
    """
    if rate is None:
        return 0.0, "the exporting rate is unknown yet"
    return acceptable / backlog * rate, f"{rate:.1f} records/s exported, times {acceptable / backlog:.3f}"


def _adaptive(backlog: int, stored: float, limit: int, throttling: ThrottlingSettings) -> tuple[float, str]:
    """What may still be written until the next decision, spread over the time until then.

    Then not even an exporter that stops this moment lets the backlog pass the acceptable one. No rate is
    measured, so none can be out of date: with a working exporter, whatever its speed, the backlog settles
    within two decisions where just as much room is left as is exported between them.
    """
    room = throttling.acceptable_backlog - backlog - stored
    rate = room * NS_PER_SECOND / step_ns(limit, throttling)
    return rate, f"room for {max(0.0, room):.0f} more until the next decision"


def step_ns(limit_per_second: int, throttling: ThrottlingSettings) -> int:
    """How long a decision holds: the documented `resolution`, for the adaptive rule a part of it.

    It is a smaller part where the full limit would write half of the acceptable backlog in less: half of it is
    never throttled, and the other half must not be passed before the next decision.
    """
    if throttling.algorithm is ThrottlingAlgorithm.PROPORTIONAL:
        return throttling.resolution_ns
    longest_ns = throttling.acceptable_backlog * NS_PER_SECOND // (2 * limit_per_second)
    part_ns = min(throttling.resolution_ns // _ADAPTIVE_DECISIONS, longest_ns)
    return min(throttling.resolution_ns, max(part_ns, _ADAPTIVE_STEP_NS_MIN))
