"""Additive increase, multiplicative decrease."""

from __future__ import annotations

from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import AimdSettings


class AimdLimit:
    """One more after a quick round trip, `backoff_ratio` of it after a slow or lost one.

    Stabilizing: a command that was admitted above the present limit does not lower it again, so the many
    commands in flight when it falls count as one event. Grows only while at least half of it is used.
    Source: Chiu and Jain 1989, in the stabilizing form of Zeebe's request limiter.
    """

    def __init__(self, settings: AimdSettings) -> None:
        self._settings = settings
        self.limit = settings.initial_limit

    def on_sample(self, start_ns: int, rtt_ns: int, in_flight: int, dropped: bool) -> None:
        settings, limit = self._settings, self.limit
        if dropped or rtt_ns > settings.request_timeout_ns:
            if in_flight <= limit:
                limit = int(limit * settings.backoff_ratio)
        elif in_flight * 2 >= limit:
            limit += 1
        self.limit = min(max(limit, settings.min_limit), settings.max_limit)

    def state(self) -> RequestLimiterState:
        return RequestLimiterState(
            algorithm="aimd",
            limit=self.limit,
            min_limit=self._settings.min_limit,
            max_limit=self._settings.max_limit,
            backoff_ratio=self._settings.backoff_ratio,
            expected_rtt_ns=self._settings.request_timeout_ns,
        )
