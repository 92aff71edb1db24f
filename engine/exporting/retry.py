"""How long to wait before what failed is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from engine.core.clock import NS_PER_SECOND
from engine.core.durations import format_duration
from engine.core.errors import SettingError

# A target that asks for more than this gets visited all the same.
_ASKED_MAX_NS = 300 * NS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Pauses double from the first to the longest; chance takes up to half of each away."""

    first_ns: int = NS_PER_SECOND // 10
    longest_ns: int = 10 * NS_PER_SECOND

    def __post_init__(self) -> None:
        if self.first_ns <= 0:
            raise SettingError("first", "must be longer than 0", format_duration(self.first_ns))
        if self.longest_ns < self.first_ns:
            raise SettingError("longest", "must not be shorter than first", format_duration(self.longest_ns))


class BackOff:
    """The pauses of one run of failures. Many exporters that failed together do not come back together."""

    def __init__(self, policy: RetryPolicy, random: Random) -> None:
        self._policy = policy
        self._random = random
        # The last pause before chance; 0 while all is well.
        self._step_ns = 0

    @property
    def is_failing(self) -> bool:
        return self._step_ns > 0

    def next_ns(self, asked_ns: int = 0) -> int:
        """The pause after one more failure; not shorter than the target asked for."""
        self._step_ns = min(self._policy.longest_ns, self._step_ns * 2 or self._policy.first_ns)
        pause_ns = self._step_ns - int(self._step_ns / 2 * self._random.random())
        return max(pause_ns, min(asked_ns, _ASKED_MAX_NS))

    def reset(self) -> None:
        self._step_ns = 0
