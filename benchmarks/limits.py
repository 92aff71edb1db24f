"""Limits that several benchmarks set."""

from __future__ import annotations

from engine import FlowControlSettings, ThrottlingAlgorithm, ThrottlingSettings, WriteLimitSettings
from engine.core.clock import NS_PER_SECOND


def adaptive(*, limit: int, minimum: int, acceptable_backlog: int) -> FlowControlSettings:
    """A write limit in records per second, throttled down to `minimum` by the adaptive algorithm every two seconds."""
    throttling = ThrottlingSettings(
        enabled=True,
        acceptable_backlog=acceptable_backlog,
        minimum_limit=minimum,
        resolution_ns=2 * NS_PER_SECOND,
        algorithm=ThrottlingAlgorithm.ADAPTIVE,
    )
    return FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=limit, throttling=throttling))
