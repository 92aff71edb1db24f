"""A request limit that does not learn."""

from __future__ import annotations

from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import FixedSettings


class FixedLimit:
    """The number that was configured."""

    def __init__(self, settings: FixedSettings) -> None:
        self.limit = settings.limit

    def on_sample(self, start_ns: int, rtt_ns: int, in_flight: int, dropped: bool) -> None:
        """Nothing is learned."""

    def state(self) -> RequestLimiterState:
        return RequestLimiterState(algorithm="fixed", limit=self.limit)
