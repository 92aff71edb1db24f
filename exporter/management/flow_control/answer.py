"""The documented answer: per partition, the request limiter as it is and the write limit as configured."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.door import (
    NS_PER_SECOND,
    FlowControlSettings,
    RequestAlgorithm,
    RequestLimiterState,
    WriteLimitSettings,
)

Json = dict[str, object]


def flow_control_answer(
    settings: Mapping[int, FlowControlSettings], limiters: Mapping[int, RequestLimiterState | None]
) -> Json:
    """Keys, nesting, order and units as documented; see `docs/flow-control.md`."""
    return {
        str(partition): {
            "requestLimiter": _request_limiter(limiters.get(partition)),
            "writeRateLimit": _write_rate_limit(settings[partition].write),
        }
        for partition in sorted(settings)
    }


def _write_rate_limit(write: WriteLimitSettings | None) -> Json | None:
    if write is None:
        return None
    throttling = write.throttling
    return {
        "enabled": write.enabled,
        "limit": write.limit,
        "rampUp": write.ramp_up_ns / NS_PER_SECOND,
        "throttling": {
            "enabled": throttling.enabled,
            "acceptableBacklog": throttling.acceptable_backlog,
            "minRate": throttling.minimum_limit,
            "resolution": throttling.resolution_ns / NS_PER_SECOND,
        },
    }


def _request_limiter(state: RequestLimiterState | None) -> Json | None:
    if state is None:
        return None
    limiter = _limiter(state)
    return {"delegate": limiter} if state.windowed else limiter


def _limiter(state: RequestLimiterState) -> Json:
    match RequestAlgorithm(state.algorithm):
        case RequestAlgorithm.AIMD:
            return {
                "limit": state.limit,
                "minLimit": state.min_limit,
                "maxLimit": state.max_limit,
                "backoffRatio": state.backoff_ratio,
                # Nanoseconds, unlike every other duration of the answer; so it is documented.
                "expectedRTT": state.expected_rtt_ns,
            }
        case RequestAlgorithm.VEGAS | RequestAlgorithm.LEGACY_VEGAS:
            return {
                "limit": state.limit,
                "estimatedLimit": state.estimated_limit,
                "rtt_noload": state.rtt_noload_ns,
                "maxLimit": state.max_limit,
                "smoothing": state.smoothing,
            }
        case RequestAlgorithm.FIXED | RequestAlgorithm.GRADIENT | RequestAlgorithm.GRADIENT2:
            return {"limit": state.limit}
