"""The limiter of writes: a smooth rate in records per second."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from engine.core.clock import NS_PER_SECOND

# Later than any clock reading.
_NEVER_NS = 2**63


def write_rate_limiter(limit_per_second: float, ramp_up_ns: int, now_ns: int) -> WriteRateLimiter:
    """The limiter that the settings describe: bursty without, warming up with a ramp-up."""
    if ramp_up_ns > 0:
        return WarmingUpLimiter(limit_per_second, ramp_up_ns, now_ns)
    return BurstyLimiter(limit_per_second, now_ns)


class WriteRateLimiter(ABC):
    """Grants records at most at `limit_per_second`; time is monotonic ns and given by the caller.

    One caller at a time: the partition's gate holds the lock.
    Invariant: whether a batch is granted never depends on its size; a large batch is paid for by those after it.
    Invariant: debt is kept in records. It is paid off at whatever rate holds, so a raised limit takes effect at
    once, and lowering a limit does not cheapen what was written before.
    A limit of 0 stops: nothing is granted until the limit rises.
    Source: the limiter of Guava (`RateLimiter`, smooth bursty and warming up), with ns in place of µs.
    """

    __slots__ = (
        "_cool_down_ns",
        "_next_free_ns",
        "_owed_records",
        "_stable_ns",
        "_stored",
        "_stored_max",
        "limit_per_second",
    )

    # Whether stored permits cost the next caller a wait; otherwise they are given away.
    _store_has_price = False

    def __init__(self, limit_per_second: float, now_ns: int) -> None:
        _check(limit_per_second)
        self.limit_per_second = limit_per_second
        # Permits saved while idle, at most `_stored_max`; one takes `_cool_down_ns` to be saved.
        self._stored = 0.0
        self._stored_max = 0.0
        self._stable_ns = math.inf
        self._cool_down_ns = math.inf
        # Debt is open until then. While the limit is 0 no time pays it off, and it stands in records beside.
        self._next_free_ns = now_ns
        self._owed_records = 0.0
        if limit_per_second > 0:
            self._shape(limit_per_second)
        else:
            self._next_free_ns = _NEVER_NS

    def try_acquire(self, records: int, now_ns: int) -> bool:
        """Takes `records` permits unless debt is open. A refusal changes nothing."""
        assert records > 0, "a batch has records"
        next_free_ns = self._next_free_ns
        if next_free_ns > now_ns:
            return False
        stored = self._stored + (now_ns - next_free_ns) / self._cool_down_ns
        if stored > self._stored_max:  # noqa: PLR1730 - each record passes here, and calling min() costs more
            stored = self._stored_max
        if records <= stored:
            spend: float = records
            wait_ns = 0
        else:
            spend = stored
            wait_ns = int((records - stored) * self._stable_ns)
        if self._store_has_price:
            wait_ns += self._price_of_stored_ns(stored, spend)
        self._stored = stored - spend
        self._next_free_ns = now_ns + wait_ns
        return True

    def give_back(self, records: int, now_ns: int) -> None:
        """Takes back permits that were granted and not used: off the debt first, the rest into the store."""
        debt_records = self._debt_records(now_ns)
        if self.limit_per_second == 0:
            self._owed_records = max(0.0, debt_records - records)
            return
        stored = self.stored_records(now_ns) + max(0.0, records - debt_records)
        self._stored = min(self._stored_max, stored)
        self._next_free_ns = now_ns + int(max(0.0, debt_records - records) * self._stable_ns)

    def next_free_ns(self) -> int | None:
        """The monotonic time from which a batch is granted; None while the limit is 0."""
        return None if self.limit_per_second == 0 else self._next_free_ns

    def stored_records(self, now_ns: int) -> float:
        """Records that may be granted at `now_ns` before any debt arises."""
        saved = max(0, now_ns - self._next_free_ns) / self._cool_down_ns
        return min(self._stored_max, self._stored + saved)

    def set_limit(self, limit_per_second: float, now_ns: int) -> None:
        """Changes the rate from now on; see the invariant about debt."""
        _check(limit_per_second)
        if limit_per_second == self.limit_per_second:
            return
        debt_records = self._debt_records(now_ns)
        self._stored = self.stored_records(now_ns)
        stored_max = self._stored_max
        self.limit_per_second = limit_per_second
        if limit_per_second == 0:
            self._stored = self._stored_max = 0.0
            self._stable_ns = self._cool_down_ns = math.inf
            self._next_free_ns = _NEVER_NS
            self._owed_records = debt_records
        else:
            self._shape(limit_per_second)
            self._rescale_stored(stored_max)
            self._next_free_ns = now_ns + int(debt_records * self._stable_ns)

    def take_over_debt(self, other: WriteRateLimiter, now_ns: int) -> None:
        """Owes what another limiter was owed: a replaced limiter forgives nothing."""
        debt_records = other._debt_records(now_ns)
        if self.limit_per_second == 0:
            self._owed_records = debt_records
        else:
            self._next_free_ns = now_ns + int(debt_records * self._stable_ns)

    def _debt_records(self, now_ns: int) -> float:
        if self.limit_per_second == 0:
            return self._owed_records
        return max(0, self._next_free_ns - now_ns) / self._stable_ns

    @abstractmethod
    def expect_back(self, until_ns: int) -> None:
        """Somebody was refused and told to come again, and may take until then; he loses nothing by it."""

    @abstractmethod
    def _shape(self, limit_per_second: float) -> None:
        """Sets what follows from a limit above 0: stable interval, cool-down, greatest store."""

    @abstractmethod
    def _rescale_stored(self, stored_max_before: float) -> None:
        """Fits the stored permits to a new greatest store."""

    @abstractmethod
    def _price_of_stored_ns(self, stored: float, spend: float) -> int:
        """How long the next caller waits for `spend` permits taken from `stored`."""


class BurstyLimiter(WriteRateLimiter):
    """Saves up to one second of permits while idle and gives them away free."""

    __slots__ = ()

    def expect_back(self, until_ns: int) -> None:
        """What is saved while nobody comes is given away free in any case."""

    def _shape(self, limit_per_second: float) -> None:
        self._stable_ns = self._cool_down_ns = NS_PER_SECOND / limit_per_second
        self._stored_max = limit_per_second

    def _rescale_stored(self, stored_max_before: float) -> None:
        # Shrinks with the limit, but does not grow with it: permits that nobody waited for would let a limit
        # that goes down and up write more than its own integral.
        if self._stored_max < stored_max_before:
            self._stored *= self._stored_max / stored_max_before

    def _price_of_stored_ns(self, stored: float, spend: float) -> int:
        return 0


class WarmingUpLimiter(WriteRateLimiter):
    """Begins cold, at a third of the limit, and reaches it after `ramp_up_ns` of full use.

    Stored permits measure coldness: above half the store each costs more than a warm one, up to three times,
    along a straight line. None is free; after `ramp_up_ns` of idling the limiter is cold again.

    Time in which somebody waits who was refused (`expect_back`) is no idling: who then comes late is served as if he
    had come as soon as he could, up to a second ago. He is told whole seconds, and the ramp-up would never end.
    """

    __slots__ = ("_before", "_expected_until_ns", "_ramp_up_ns", "_slope_ns", "_threshold")

    _COLD_FACTOR = 3
    _store_has_price = True

    def __init__(self, limit_per_second: float, ramp_up_ns: int, now_ns: int) -> None:
        assert ramp_up_ns > 0, "without a ramp-up the bursty limiter is meant"
        self._ramp_up_ns = ramp_up_ns
        self._threshold = 0.0
        self._slope_ns = 0.0
        self._expected_until_ns = now_ns
        # The last grant, and what it was taken from; none after anything else has changed.
        self._before: tuple[int, float, int] | None = None
        super().__init__(limit_per_second, now_ns)
        self._stored = self._stored_max

    def try_acquire(self, records: int, now_ns: int) -> bool:
        moment_ns = now_ns
        if now_ns <= self._expected_until_ns and self._next_free_ns < now_ns:
            moment_ns = max(self._next_free_ns, now_ns - NS_PER_SECOND)
        before = (records, self._stored, self._next_free_ns)
        if not super().try_acquire(records, moment_ns):
            return False
        self._before = before
        return True

    def expect_back(self, until_ns: int) -> None:
        self._expected_until_ns = max(self._expected_until_ns, until_ns)

    def give_back(self, records: int, now_ns: int) -> None:
        before, self._before = self._before, None
        if before is not None and before[0] == records:
            # As if nothing had been granted: cold permits cost more than their number says.
            _, self._stored, self._next_free_ns = before
        else:
            super().give_back(records, now_ns)

    def set_limit(self, limit_per_second: float, now_ns: int) -> None:
        self._before = None
        super().set_limit(limit_per_second, now_ns)

    def take_over_debt(self, other: WriteRateLimiter, now_ns: int) -> None:
        self._before = None
        super().take_over_debt(other, now_ns)

    def momentary_rate_per_second(self, now_ns: int) -> float:
        """The rate at which the next permit would be granted: between a third of the limit and all of it."""
        if self.limit_per_second == 0:
            return 0.0
        cold = max(0.0, self.stored_records(now_ns) - self._threshold)
        return NS_PER_SECOND / (self._stable_ns + cold * self._slope_ns)

    def _shape(self, limit_per_second: float) -> None:
        self._stable_ns = NS_PER_SECOND / limit_per_second
        cold_ns = self._COLD_FACTOR * self._stable_ns
        self._threshold = 0.5 * self._ramp_up_ns / self._stable_ns
        self._stored_max = self._threshold + 2 * self._ramp_up_ns / (self._stable_ns + cold_ns)
        self._slope_ns = (cold_ns - self._stable_ns) / (self._stored_max - self._threshold)
        self._cool_down_ns = self._ramp_up_ns / self._stored_max

    def _rescale_stored(self, stored_max_before: float) -> None:
        if stored_max_before > 0:
            self._stored *= self._stored_max / stored_max_before
        else:
            # What stood still is cold.
            self._stored = self._stored_max

    def _price_of_stored_ns(self, stored: float, spend: float) -> int:
        cold = max(0.0, stored - self._threshold)
        take = min(cold, spend)
        # The area under the straight line between the two levels of coldness, in whole µs as in the limiter it
        # follows: then a ramp-up grants at the same moments. What is warm is priced to the nanosecond.
        cold_us = int(take * (self._stable_ns + self._slope_ns * (cold - take / 2)) / 1000)
        return cold_us * 1000 + int((spend - take) * self._stable_ns)


def _check(limit_per_second: float) -> None:
    assert 0 <= limit_per_second < math.inf, "a limit is a number of 0 or more"
