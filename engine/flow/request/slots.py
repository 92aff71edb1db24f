"""User commands in flight: from acceptance until their last record is processed."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.flow.request.algorithms import request_limit
from engine.flow.request.limit import RequestLimit, RequestLimiterState
from engine.flow.settings import RequestLimitSettings


class Slot:
    """One user command (an atomic batch counts as one) in flight."""

    __slots__ = ("ended", "in_flight", "start_ns")

    def __init__(self, start_ns: int, in_flight: int) -> None:
        # When it was admitted, and how many were in flight then, itself included.
        self.start_ns = start_ns
        self.in_flight = in_flight
        self.ended = False


class RequestSlots:
    """Counts slots against the request limit and teaches the limit their round trips.

    One caller at a time: the gate holds the lock. Slots outlive a change of the algorithm.
    Invariant: `in_flight` is the number of slots taken and not ended; each ends exactly once. Who takes one counts it
    here and then makes it, whatever the limit says: it has asked, or need not ask.
    """

    def __init__(self, settings: RequestLimitSettings, random: Random) -> None:
        self._random = random
        self._settings = settings
        # None while disabled; the hot path asks it directly.
        self.rule: RequestLimit | None = request_limit(settings, random)
        self.in_flight = 0
        # Stored slots by the position whose processing ends them; a failed one is skipped when its turn comes.
        self._stored: list[tuple[int, int, Slot]] = []
        self._processed = -1
        self._round_trip_ns = 100 * NS_PER_MS

    @property
    def limit(self) -> int | None:
        return None if self.rule is None else self.rule.limit

    @property
    def is_exhausted(self) -> bool:
        return self.rule is not None and self.in_flight >= self.rule.limit

    @property
    def retry_after_ns(self) -> int:
        """A guess when a slot comes free: one round trip, as long as the last took."""
        return min(max(self._round_trip_ns, NS_PER_MS), NS_PER_SECOND)

    def state(self) -> RequestLimiterState | None:
        return None if self.rule is None else self.rule.state()

    def configure(self, settings: RequestLimitSettings) -> None:
        """Begins anew with another algorithm or its settings; the same settings change nothing."""
        if settings != self._settings:
            self._settings = settings
            self.rule = request_limit(settings, self._random)

    def stored(self, slot: Slot, last_position: int, now_ns: Callable[[], int]) -> bool:
        """The slot's records are in the log, the last at this position. Returns whether it came free at once."""
        if slot.ended:
            return False
        # A quick processor may be done before the writer comes to say what it wrote.
        if last_position <= self._processed:
            self._complete(slot, now_ns())
            return True
        heappush(self._stored, (last_position, id(slot), slot))
        return False

    def processed(self, position: int, now_ns: Callable[[], int]) -> bool:
        """Everything up to `position` is processed. Returns whether a slot came free."""
        self._processed = max(self._processed, position)
        stored = self._stored
        if not stored or stored[0][0] > position:
            return False
        before = self.in_flight
        moment_ns = now_ns()
        while stored and stored[0][0] <= position:
            slot = heappop(stored)[2]
            if not slot.ended:
                self._complete(slot, moment_ns)
        return self.in_flight < before

    def completed(self, slot: Slot, now_ns: int) -> bool:
        """What the slot stands for is done. Returns whether it was still taken."""
        if slot.ended:
            return False
        self._complete(slot, now_ns)
        return True

    def give_back(self, slot: Slot) -> bool:
        """Ends a slot without a sample. Returns whether it was still taken."""
        if slot.ended:
            return False
        slot.ended = True
        self.in_flight -= 1
        return True

    def give_back_all(self) -> None:
        """Ends what waits to be processed, at a stop: nobody will report it."""
        for _, _, slot in self._stored:
            self.give_back(slot)
        self._stored.clear()

    def _complete(self, slot: Slot, now_ns: int) -> None:
        slot.ended = True
        self.in_flight -= 1
        start_ns = slot.start_ns
        self._round_trip_ns = round_trip_ns = now_ns - start_ns or 1
        if self.rule is not None:
            self.rule.on_sample(start_ns, round_trip_ns, slot.in_flight, False)
