"""What other instances had admitted here and have neither had written nor given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from exporter.door import NS_PER_SECOND, Clock

# Longer than the engine keeps them.
_KEPT_NS = 6 * NS_PER_SECOND


class Place:
    """Room for one body; it stays taken for whoever has the token."""

    __slots__ = ("token",)

    def __init__(self) -> None:
        self.token: str | None = None


class Reservations:
    """Bounds the bodies whose values wait for a word of the instance that sent them. Any thread."""

    def __init__(self, bytes_max: int, clock: Clock) -> None:
        self._bytes_max = bytes_max
        self._clock = clock
        self._lock = Lock()
        # All guarded by the lock: of bodies that are being admitted, their bytes; of the others the size of each and
        # until when it counts, by token.
        self._coming = 0
        self._kept: dict[str, tuple[int, int]] = {}

    @contextmanager
    def room(self, size: int) -> Iterator[Place | None]:
        """For one more, which may be larger than all where it is alone; None where there is none.

        It is kept behind the `with` where the place was given a token.
        """
        if not self._took(size):
            yield None
            return
        place = Place()
        try:
            yield place
        finally:
            with self._lock:
                self._coming -= size
                if place.token is not None:
                    self._kept[place.token] = (size, self._clock.monotonic_ns() + _KEPT_NS)

    def _took(self, size: int) -> bool:
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            self._kept = {token: kept for token, kept in self._kept.items() if kept[1] > now_ns}
            taken = self._coming + sum(kept[0] for kept in self._kept.values())
            if taken and taken + size > self._bytes_max:
                return False
            self._coming += size
            return True

    def ended(self, token: str) -> None:
        with self._lock:
            self._kept.pop(token, None)
