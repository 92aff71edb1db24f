"""Throttling episodes: since when, how deep, at what backlog, and how long in all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

EPISODES_KEPT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One stretch of time in which the throttle held the write limit down. `end_wall_ns` None: it still does."""

    partition: int
    start_wall_ns: int
    end_wall_ns: int | None
    lowest_limit_per_second: float
    peak_backlog_records: int
    # Why the limit was held down, in the throttle's words of the moment when it was lowest.
    reason: str
    # Measured on monotonic time, so that a jump of the wall clock does not change it.
    throttled_ns: int


def by_start(episodes: Iterable[Episode]) -> tuple[Episode, ...]:
    """Those of several partitions in one order."""
    return tuple(sorted(episodes, key=lambda episode: (episode.start_wall_ns, episode.partition)))


class EpisodeLog:
    """Keeps the last episodes of a partition and the throttled time of all. One caller at a time.

    Invariant: the throttled time is the sum over all episodes, also those no longer kept.
    """

    def __init__(self, partition: int, *, kept: int = EPISODES_KEPT) -> None:
        self._partition = partition
        self._ended: deque[Episode] = deque(maxlen=kept)
        self._ended_ns = 0
        # How many have begun.
        self.begun = 0
        # Of the running episode; since None there is none.
        self._since_ns: int | None = None
        self._start_wall_ns = 0
        self._lowest_limit = 0.0
        self._peak_backlog = 0
        self._reason = ""

    @property
    def running(self) -> bool:
        return self._since_ns is not None

    @property
    def last_start_wall_ns(self) -> int | None:
        return self._start_wall_ns if self.begun else None

    def begin(self, *, limit_per_second: float, backlog_records: int, reason: str, now_ns: int, wall_ns: int) -> None:
        assert not self.running, "one episode at a time"
        self.begun += 1
        self._since_ns = now_ns
        self._start_wall_ns = wall_ns
        self._lowest_limit = limit_per_second
        self._peak_backlog = backlog_records
        self._reason = reason

    def observe(self, *, limit_per_second: float, backlog_records: int, reason: str) -> None:
        """Takes note of limit and backlog during the running episode."""
        if limit_per_second < self._lowest_limit:
            self._lowest_limit, self._reason = limit_per_second, reason
        self._peak_backlog = max(self._peak_backlog, backlog_records)

    def end(self, *, now_ns: int, wall_ns: int) -> Episode:
        episode = self._episode(now_ns, end_wall_ns=wall_ns)
        self._ended.append(episode)
        self._ended_ns += episode.throttled_ns
        self._since_ns = None
        return episode

    def throttled_ns(self, now_ns: int) -> int:
        """Throttled time of all episodes, the running one up to now."""
        return self._ended_ns + (0 if self._since_ns is None else now_ns - self._since_ns)

    def episodes(self, now_ns: int) -> tuple[Episode, ...]:
        """Oldest first; the running one is last and has no end."""
        if not self.running:
            return tuple(self._ended)
        return (*self._ended, self._episode(now_ns, end_wall_ns=None))

    def _episode(self, now_ns: int, *, end_wall_ns: int | None) -> Episode:
        assert self._since_ns is not None, "an episode is running"
        return Episode(
            partition=self._partition,
            start_wall_ns=self._start_wall_ns,
            end_wall_ns=end_wall_ns,
            lowest_limit_per_second=self._lowest_limit,
            peak_backlog_records=self._peak_backlog,
            reason=self._reason,
            throttled_ns=now_ns - self._since_ns,
        )
