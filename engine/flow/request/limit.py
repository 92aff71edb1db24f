"""What a request limit is: a number of commands in flight, learned from their round trips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimiterState:
    """A request limit as outsiders see it. What an algorithm does not have is None."""

    # As the settings name it: aimd, fixed, vegas …
    algorithm: str
    limit: int
    windowed: bool = False
    min_limit: int | None = None
    max_limit: int | None = None
    backoff_ratio: float | None = None
    expected_rtt_ns: int | None = None
    estimated_limit: float | None = None
    # 0 until it was measured.
    rtt_noload_ns: int | None = None
    smoothing: float | None = None


class RequestLimit(Protocol):
    """Computes how many user commands may be in flight.

    One caller at a time: the gate holds the lock, and reads `limit` at each admission, so it is a plain
    attribute. The caller promises `rtt_ns` ≥ 1 and `in_flight` ≥ 1: the commands in flight when this one was
    admitted, itself included; `dropped` when the command never came back. The limit stays at least 1.
    """

    limit: int

    def on_sample(self, start_ns: int, rtt_ns: int, in_flight: int, dropped: bool) -> None:
        """Learns from one round trip that began at `start_ns` (monotonic)."""
        ...

    def state(self) -> RequestLimiterState: ...
