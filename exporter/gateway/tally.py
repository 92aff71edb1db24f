"""What the gateway counts: plain numbers on the way of a request."""

from __future__ import annotations

from engine.core.snapshot import GatewaySnapshot
from exporter.catalogue import GATEWAY_BOUNDS_SECONDS, GATEWAY_CODES
from exporter.door import Clock, Histogram
from exporter.gateway.answers import Answer


class Tally:
    """Counts answers, records and bytes. The event loop's thread alone counts; any thread may take a snapshot."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Invariant: all codes from the start, so that a snapshot may be taken while it is counted.
        self._requests = dict.fromkeys(GATEWAY_CODES, 0)
        self._records = 0
        self._received_bytes = 0
        self._duration = Histogram(GATEWAY_BOUNDS_SECONDS)

    def now_ns(self) -> int:
        return self._clock.monotonic_ns()

    def received(self, size: int) -> None:
        """A body was read to its end."""
        self._received_bytes += size

    def answered(self, answer: Answer, began_ns: int | None = None) -> None:
        """Without `began_ns` it was a connection that never became a request."""
        self._requests[answer.status] += 1
        self._records += answer.records
        if began_ns is not None:
            self._duration.observe(self._clock.monotonic_ns() - began_ns)

    def snapshot(self, *, connections: int, refused: int = 0, malformed: int = 0) -> GatewaySnapshot:
        return GatewaySnapshot(
            requests=dict(self._requests),
            records=self._records,
            received_bytes=self._received_bytes,
            connections=connections,
            refused_connections=refused,
            malformed_requests=malformed,
            duration=self._duration.snapshot(),
        )
