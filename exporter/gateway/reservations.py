"""What other instances had admitted here and have neither had written nor given back."""

from __future__ import annotations

from threading import Lock

from exporter.door import NS_PER_SECOND, Clock

# Longer than the engine keeps them.
_KEPT_NS = 6 * NS_PER_SECOND


class Reservations:
    """Bounds the bodies whose values wait for a word of the instance that sent them. Any thread."""

    def __init__(self, bytes_max: int, clock: Clock) -> None:
        self._bytes_max = bytes_max
        self._clock = clock
        self._lock = Lock()
        # Size of the body and until when it counts, by token, in the order they came; guarded by the lock.
        self._kept: dict[str, tuple[int, int]] = {}

    def have_room(self, size: int) -> bool:
        """For one more, which may be larger than all where it is alone."""
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            self._kept = {token: kept for token, kept in self._kept.items() if kept[1] > now_ns}
            return not self._kept or size + sum(kept[0] for kept in self._kept.values()) <= self._bytes_max

    def begun(self, token: str, size: int) -> None:
        with self._lock:
            self._kept[token] = (size, self._clock.monotonic_ns() + _KEPT_NS)

    def ended(self, token: str) -> None:
        with self._lock:
            self._kept.pop(token, None)
